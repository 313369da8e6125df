import type { Command } from 'commander';
import type { Cli } from '../../cli.js';
import { addOwnerFlags, type OwnerFlags } from '../../owner-flags.js';
import { toEachContainer } from '../../running/to-each-container.js';

export function define(command: Command, cli: Cli): void {
  command
    .description('Halts all processes of containers; their time limits do not pass meanwhile. Prints their ids.')
    .argument('<container-id...>');
  addOwnerFlags(command);
  command.action(async (containerIds: string[], flags: OwnerFlags) => {
    await toEachContainer(cli, containerIds, flags, (containers, id) =>
      containers.pause(id, { anyOwner: flags.anyOwner }),
    );
  });
}
