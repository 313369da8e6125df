import type { Command } from 'commander';
import type { Cli } from '../../cli.js';
import { endedDocument } from '../../output/documents/launch-document.js';
import { runStatusOf, withContainerizer } from '../../running/with-containerizer.js';

export function define(command: Command, cli: Cli): void {
  command
    .description('Waits until the programs of containers have ended, and prints the exit status of each.')
    .argument('<container-id...>')
    .action(async (containerIds: string[]) => {
      await cli.withStore((session) =>
        withContainerizer(session, async (containers) => {
          const { output, signal, eachAtOnce } = session;
          // At once: one that goes with its end would be gone when its turn comes.
          const wait = (id: string) => containers.wait(id, { signal });
          const exits = await eachAtOnce(containerIds, wait, (exit, id) => {
            output.line(String(runStatusOf(exit)));
            return endedDocument(id, exit);
          });
          output.document(() => exits);
        }),
      );
    });
}
