import type { Command } from 'commander';
import type { Cli } from '../../cli.js';
import { printBytes } from '../../running/follow-output.js';
import { leftOutWarnings } from '../../running/warn-left-out.js';
import { withContainerizer } from '../../running/with-containerizer.js';
import { writeWholeFile } from '../../running/write-whole-file.js';
import { UsageError } from '../../usage-error.js';

export function define(command: Command, cli: Cli): void {
  command
    .description(
      'Writes the root filesystem of a container as a tar archive to standard output, without what is mounted in it.',
    )
    .argument('<container-id>')
    .option('-o, --output <file>', 'write it to a file, which is there when it is whole')
    .action(async (containerId: string, { output }: { readonly output?: string }) => {
      const { stdout } = cli.host;
      if (output === undefined && stdout.isTTY === true)
        throw new UsageError('an archive is not written to a terminal', 'write it to a file: -o FILE');
      await cli.withStore((session) =>
        withContainerizer(session, async (containers) => {
          const archive = containers
            .files(containerId)
            .export({ signal: session.signal, onLeftOut: leftOutWarnings(session) });
          if (output === undefined) await printBytes(archive, stdout);
          else await writeWholeFile(output, archive);
        }),
      );
    });
}
