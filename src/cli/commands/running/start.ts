import type { Command } from 'commander';
import type { Cli } from '../../cli.js';
import { launchedDocument } from '../../output/documents/launch-document.js';
import { addOwnerFlags, type OwnerFlags } from '../../owner-flags.js';
import { attend } from '../../running/attend.js';
import { toEachInOrder } from '../../running/to-each-container.js';
import { OURS, withProgram } from '../../running/with-containerizer.js';
import { parseDetachKeys } from '../../terminal/detach-keys.js';
import { addSittingFlags, type SittingFlags } from '../../terminal/terminal-flags.js';
import { UsageError } from '../../usage-error.js';

interface StartFlags extends OwnerFlags, SittingFlags {
  readonly attach?: boolean;
  readonly interactive?: boolean;
}

export function define(command: Command, cli: Cli): void {
  command
    .description(
      'Starts what was created, and what has ended once more: the same program, in the root filesystem as it was left. Prints the ids.',
    )
    .argument('<container-id...>')
    .option('-a, --attach', 'print what it prints, and end as it does; of one container')
    .option('-i, --interactive', 'the program reads what comes here; with --attach');
  addSittingFlags(command);
  addOwnerFlags(command);
  command
    .addHelpText(
      'after',
      `
With --attach the exit status is that of the program, as with \`run\`.`,
    )
    .action(async (containerIds: string[], flags: StartFlags) => {
      const { anyOwner, detachKeys } = flags;
      if (detachKeys !== undefined) parseDetachKeys(detachKeys);
      if (flags.attach !== true) {
        if (flags.interactive === true) {
          throw new UsageError('--interactive needs --attach', 'with this process gone nobody would feed the program');
        }
        return toEachInOrder(cli, containerIds, flags, async (containers, id) =>
          launchedDocument(await containers.start(id, { anyOwner })),
        );
      }
      const [id, ...others] = containerIds;
      if (id === undefined || others.length > 0) {
        throw new UsageError('--attach takes one container', 'start the others without it, and look at their `logs`');
      }
      await cli.withStore(
        (session) =>
          withProgram(session, async (containers) => {
            const isTyping = flags.interactive === true;
            const stdin = isTyping ? 'pipe' : 'none';
            const launched = await containers.start(id, {
              anyOwner,
              attach: true,
              stdin,
              size: cli.host.terminal?.size(),
              signal: session.signal,
            });
            await attend(session, containers, launched, cli.host, { isTyping, detachKeys });
          }),
        { owner: flags.owner, unopened: OURS },
      );
    });
}
