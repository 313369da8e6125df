import type { Command } from 'commander';
import type { Cli } from '../../cli.js';
import { launchedDocument } from '../../output/documents/launch-document.js';
import { addOwnerFlags, type OwnerFlags } from '../../owner-flags.js';
import { timeOf } from '../../running/flags/launch-flags.js';
import { toEachContainer } from '../../running/to-each-container.js';

interface RestartFlags extends OwnerFlags {
  readonly time?: string;
  readonly signal?: string;
}

export function define(command: Command, cli: Cli): void {
  command
    .description('Stops containers, as `stop` does, and starts them again. Prints their ids.')
    .argument('<container-id...>')
    .option('-t, --time <age>', 'how long they have to end (default: 10s); bare numbers are seconds')
    .option('-s, --signal <signal>', "what is sent first (default: the container's own)");
  addOwnerFlags(command);
  command.action(async (containerIds: string[], flags: RestartFlags) => {
    const grace = flags.time === undefined ? undefined : timeOf(flags.time, '--time');
    const { signal, anyOwner } = flags;
    await toEachContainer(cli, containerIds, flags, async (containers, id) =>
      launchedDocument(await containers.restart(id, { grace, signal, anyOwner })),
    );
  });
}
