import type { Command } from 'commander';
import type { Containerizer, Launched, StartOptions } from '../../../containerizer/index.js';
import type { Cli } from '../../cli.js';
import { forkedDocument } from '../../output/documents/launch-document.js';
import { addOwnerFlags, type OwnerFlags } from '../../owner-flags.js';
import { attend } from '../../running/attend.js';
import { OURS, withContainerizer, withProgram } from '../../running/with-containerizer.js';
import { parseDetachKeys } from '../../terminal/detach-keys.js';
import { addSittingFlags, type SittingFlags } from '../../terminal/terminal-flags.js';
import { UsageError } from '../../usage-error.js';

interface ForkFlags extends OwnerFlags, SittingFlags {
  readonly start?: boolean;
  readonly attach?: boolean;
  readonly interactive?: boolean;
  /** False where it is not to stand still. */
  readonly pause: boolean;
}

export function define(command: Command, cli: Cli): void {
  command
    .description(
      'Makes a container that begins as what another one is now, whatever state that is in, and prints its id. `start` runs in it what was run in the other one.',
    )
    .argument('<container-id>', 'the other one')
    .argument('<new-id>', 'that of the new one')
    .argument('[command...]', "what it runs in place of the other one's command")
    .option('--start', 'start it at once')
    .option('-a, --attach', 'with --start, which it stands for: print what it prints, and end as it does')
    .option('-i, --interactive', 'the program reads what comes here; with --attach')
    .option('--no-pause', 'what runs does not stand still while it is copied');
  addSittingFlags(command);
  addOwnerFlags(command);
  command
    .addHelpText(
      'after',
      `
The new one is this owner's. Its ports are published on free ports of this machine, and it has an address of its own.
One that --start or --attach cannot start is removed again.
With --attach the exit status is that of the program, as with \`run\`.

Example:
  provisioner fork --start prepared job-1 && provisioner fork -a prepared job-2 sh -c 'make test'`,
    )
    .action(async (containerId: string, newId: string, words: string[], flags: ForkFlags) => {
      const { detachKeys } = flags;
      if (detachKeys !== undefined) parseDetachKeys(detachKeys);
      const isAttached = flags.attach === true;
      const isTyping = flags.interactive === true;
      if (isTyping && !isAttached)
        throw new UsageError('--interactive needs --attach', 'with this process gone nobody would feed the program');
      const inStore = isAttached ? withProgram : withContainerizer;
      await cli.withStore(
        (session) =>
          inStore(session, async (containers) => {
            const { output, signal } = session;
            const { pause, anyOwner } = flags;
            const isStarted = isAttached || flags.start === true;
            const command = words.length === 0 ? undefined : words;
            // Nothing is made that could not be started.
            const forked = await containers.fork(containerId, newId, {
              ...{ pause, anyOwner, command, signal },
              requireLaunch: isStarted || command !== undefined,
            });
            let launched: Launched | undefined;
            const stdin = isTyping ? 'pipe' : 'none';
            const start = { attach: isAttached, stdin, size: cli.host.terminal?.size(), signal } as const;
            if (isStarted) launched = await startedOrGone(containers, newId, start);
            if (isAttached && launched !== undefined)
              return attend(session, containers, launched, cli.host, { isTyping, detachKeys });
            output.line(newId);
            output.document(() => forkedDocument(newId, forked, launched));
          }),
        { owner: flags.owner, ...(isAttached && { unopened: OURS }) },
      );
    });
}

/** Starts what was made for that. Where it comes to nothing nothing stays, as with `run`: the same command would find its id taken. */
async function startedOrGone(containers: Containerizer, id: string, options: StartOptions): Promise<Launched> {
  try {
    return await containers.start(id, options);
  } catch (error) {
    // Why it was not started is what is told; what cannot be removed now is there to be seen.
    await removeUnstarted(containers, id).catch(() => undefined);
    throw error;
  }
}

/** Somebody else may have started it, and then it is his. */
async function removeUnstarted(containers: Containerizer, id: string): Promise<void> {
  const launch = await containers.get(id);
  if (launch !== undefined && launch.startedAt === undefined) await containers.destroy(id);
}
