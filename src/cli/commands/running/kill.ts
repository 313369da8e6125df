import type { Command } from 'commander';
import type { Cli } from '../../cli.js';
import { addOwnerFlags, type OwnerFlags } from '../../owner-flags.js';
import { toEachContainer } from '../../running/to-each-container.js';

type Flags = OwnerFlags & { readonly signal?: string };

export function define(command: Command, cli: Cli): void {
  command
    .description('Sends a signal to the programs of containers. Prints their ids.')
    .argument('<container-id...>')
    .option('-s, --signal <signal>', 'a name or a number (default: KILL)');
  addOwnerFlags(command);
  command.action(async (containerIds: string[], flags: Flags) => {
    await toEachContainer(cli, containerIds, flags, (containers, id) =>
      containers.kill(id, flags.signal ?? 'SIGKILL', { anyOwner: flags.anyOwner }),
    );
  });
}
