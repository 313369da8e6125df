import type { Command } from 'commander';
import type { Cli } from '../../cli.js';
import { touchedDocument } from '../../output/documents/launch-document.js';
import { addOwnerFlags, type OwnerFlags } from '../../owner-flags.js';
import { addLimitFlags, type LimitFlags, limitsOf } from '../../running/launch-flags.js';
import { withContainerizer } from '../../running/with-containerizer.js';
import { UsageError } from '../../usage-error.js';

export function define(command: Command, cli: Cli): void {
  command
    .description('Changes limits of containers that run; what is not named stays. Prints their ids.')
    .argument('<container-id...>');
  addLimitFlags(command);
  addOwnerFlags(command);
  command.action(async (containerIds: string[], flags: LimitFlags & OwnerFlags) => {
    const limits = limitsOf(flags);
    if (Object.keys(limits).length === 0)
      throw new UsageError('there is no limit to change', 'write --memory 512m, for instance');
    await cli.withStore(
      (session) =>
        withContainerizer(session, async (containers) => {
          const { output, each } = session;
          const updated = await each(containerIds, async (id) => {
            await containers.update(id, limits, { anyOwner: flags.anyOwner });
            output.line(id);
            return touchedDocument(id);
          });
          output.document(() => updated);
        }),
      { owner: flags.owner },
    );
  });
}
