import type { Command } from 'commander';
import type { Cli } from '../../cli.js';
import { touchedDocument } from '../../output/documents/launch-document.js';
import { addOwnerFlags, type OwnerFlags } from '../../owner-flags.js';
import { withContainerizer } from '../../running/with-containerizer.js';

type Flags = OwnerFlags;

export function define(command: Command, cli: Cli): void {
  command
    .description('Halts all processes of containers; their time limits do not pass meanwhile. Prints their ids.')
    .argument('<container-id...>');
  addOwnerFlags(command);
  command.action(async (containerIds: string[], flags: Flags) => {
    await cli.withStore(
      (session) =>
        withContainerizer(session, async (containers) => {
          const { output, each } = session;
          const done = await each(containerIds, async (id) => {
            await containers.pause(id, { anyOwner: flags.anyOwner });
            output.line(id);
            return touchedDocument(id);
          });
          output.document(() => done);
        }),
      { owner: flags.owner },
    );
  });
}
