import type { Command } from 'commander';
import type { Cli } from '../../cli.js';
import { addOwnerFlags, type OwnerFlags } from '../../owner-flags.js';
import { attendTerminal } from '../../running/attend.js';
import { OURS, withProgram } from '../../running/with-containerizer.js';
import { parseDetachKeys } from '../../terminal/detach-keys.js';
import { addSittingFlags, type SittingFlags } from '../../terminal/terminal-flags.js';

interface AttachFlags extends OwnerFlags, SittingFlags {
  readonly stdin: boolean;
}

export function define(command: Command, cli: Cli): void {
  command
    .description('Sits down at the terminal of a program that was started with one, beside whoever sits there.')
    .argument('<container-id>')
    .option('--no-stdin', 'only look on');
  addSittingFlags(command);
  addOwnerFlags(command);
  command
    .addHelpText(
      'after',
      `
Ctrl-P and Ctrl-Q leave it: the program goes on. When the program ends, its exit status is that of this command.

Example:
  provisioner run -dit --name box alpine:3 sh && provisioner attach box`,
    )
    .action(async (containerId: string, { stdin: isTyping, detachKeys, anyOwner, owner }: AttachFlags) => {
      const { host } = cli;
      if (detachKeys !== undefined) parseDetachKeys(detachKeys);
      await cli.withStore(
        (session) =>
          withProgram(session, async (containers) => {
            const attached = await containers.attach(containerId, {
              anyOwner,
              size: isTyping ? host.terminal?.size() : undefined,
              signal: session.signal,
            });
            // Others may go on to type there.
            const sitting = { isTyping, isLookingOn: !isTyping, endsInput: false, detachKeys };
            await attendTerminal(session, containers, { ...attached, containerId }, host, sitting);
          }),
        { owner, unopened: OURS },
      );
    });
}
