import type { Command } from 'commander';
import type { Cli } from '../../cli.js';
import { launchedDocument } from '../../output/documents/launch-document.js';
import { REFUSED_BY_CREATE, refuse } from '../../running/flags/refused-flags.js';
import { addNewContainerFlags, type NewContainerFlags, newContainer } from '../../running/new-container.js';
import { OURS, withProgram } from '../../running/with-containerizer.js';
import { UsageError } from '../../usage-error.js';

interface CreateFlags extends NewContainerFlags {
  readonly interactive?: boolean;
}

export function define(command: Command, cli: Cli): void {
  command
    .description(
      'Makes a new container up to the moment before its program is executed, and prints its id. `start` lets it go, at once.',
    )
    .argument('<image>', 'a stored image, or a source to pull')
    .argument('[command...]', 'the program and its arguments (default: as the image says)');
  command.option('-i, --interactive', 'taken with --tty: `start -ai` and `attach` sit down at its terminal');
  addNewContainerFlags(command);
  refuse(command, REFUSED_BY_CREATE);
  command
    .addHelpText(
      'after',
      `
Exit status: 0; 125 it could not be made, 126 or 127 where the runtime sees already that its program cannot be executed or is not there.

Example:
  provisioner create --name job-1 app:v2 && provisioner start -a job-1`,
    )
    .action(async (image: string, words: string[], flags: CreateFlags) => {
      if (flags.interactive === true && flags.tty !== true) {
        throw new UsageError(
          '--interactive: nobody can hold a pipe to what is started by somebody else',
          'write --tty too, or `run -i`; or `start -ai` once it has ended',
        );
      }
      const { id, options, storeFlags } = newContainer(flags, words, cli.host);
      await cli.withStore(
        (session) =>
          withProgram(
            session,
            async (containers) => {
              const { output, signal } = session;
              const created = await containers.create(id, image, { ...options, signal });
              output.line(id);
              output.document(() => launchedDocument(created));
            },
            flags.runtime,
          ),
        { ...storeFlags, unopened: OURS },
      );
    });
}
