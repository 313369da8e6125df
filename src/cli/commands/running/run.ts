import type { Command } from 'commander';
import type { Cli } from '../../cli.js';
import { launchedDocument } from '../../output/documents/launch-document.js';
import { attend } from '../../running/attend.js';
import { addNewContainerFlags, type NewContainerFlags, newContainer } from '../../running/new-container.js';
import { uncounted } from '../../running/uncounted.js';
import { OURS, withProgram } from '../../running/with-containerizer.js';
import { parseDetachKeys } from '../../terminal/detach-keys.js';
import { addSittingFlags, type SittingFlags } from '../../terminal/terminal-flags.js';
import { UsageError } from '../../usage-error.js';

interface RunFlags extends NewContainerFlags, SittingFlags {
  readonly detach?: boolean;
  readonly interactive?: boolean;
}

export function define(command: Command, cli: Cli): void {
  command
    .description('Runs a program in a new container, and prints what it prints. The exit status is the program’s.')
    .argument('<image>', 'a stored image, or a source to pull')
    .argument('[command...]', 'the program and its arguments (default: as the image says)')
    .option('-d, --detach', 'print the id when it has been started, and let it run')
    .option('-i, --interactive', 'the program reads what comes here as standard input');
  addNewContainerFlags(command);
  addSittingFlags(command);
  command
    .addHelpText(
      'after',
      `
Exit status: that of the program; 128 and the signal that ended it; 127 there is no such program, 126 it cannot be executed, 125 it could not be started.
A program that is killed with the client's own end goes on: \`logs -f\` and \`wait\` find it again.

With -it somebody sits at the terminal of the program. Ctrl-P and Ctrl-Q leave it: the program goes on, and \`attach\` comes back to it.

Examples:
  provisioner run --rm alpine:3 echo hi
  provisioner run --rm -it alpine:3 sh
  provisioner run -d --name job-1 --memory 512m --cpus 1.5 --timeout 10m -v /data:/data:ro app:v2 python3 main.py`,
    )
    .action(async (image: string, words: string[], flags: RunFlags) => {
      const { host } = cli;
      const { detachKeys } = flags;
      if (detachKeys !== undefined) parseDetachKeys(detachKeys);
      const isTyping = flags.interactive === true;
      if (flags.detach === true && isTyping && flags.tty !== true) {
        throw new UsageError(
          '--detach does not go with --interactive',
          'with this process gone nobody would feed the program; with --tty `attach` does',
        );
      }
      const { id, options, storeFlags } = newContainer(flags, words, host);
      await cli.withStore(
        (session) =>
          withProgram(
            session,
            async (containers) => {
              const { output, signal } = session;
              const launched = await containers.launch(id, image, {
                ...options,
                stdin: isTyping ? 'pipe' : 'none',
                attach: flags.detach !== true,
                signal,
              });
              if (flags.detach === true) {
                output.line(id);
                if (launched.diskLimit?.by === 'counting') output.hint(uncounted(launched.diskLimit));
                output.document(() => launchedDocument(launched));
                return;
              }
              await attend(session, containers, launched, host, { isTyping, detachKeys });
            },
            flags.runtime,
          ),
        { ...storeFlags, unopened: OURS },
      );
    });
}
