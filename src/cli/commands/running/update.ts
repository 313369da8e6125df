import type { Command } from 'commander';
import type { Cli } from '../../cli.js';
import { addOwnerFlags, type OwnerFlags } from '../../owner-flags.js';
import { addLimitFlags, changedLimitsOf, type LimitFlags } from '../../running/flags/limit-flags.js';
import { toEachContainer } from '../../running/to-each-container.js';
import { UsageError } from '../../usage-error.js';

export function define(command: Command, cli: Cli): void {
  command
    .description('Changes limits of containers that run; what is not named stays. Prints their ids.')
    .argument('<container-id...>');
  addLimitFlags(command);
  addOwnerFlags(command);
  command.action(async (containerIds: string[], flags: LimitFlags & OwnerFlags) => {
    const limits = changedLimitsOf(flags);
    if (Object.keys(limits).length === 0)
      throw new UsageError('there is no limit to change', 'write --memory 512m, for instance');
    await toEachContainer(cli, containerIds, flags, (containers, id) =>
      containers.update(id, limits, { anyOwner: flags.anyOwner }),
    );
  });
}
