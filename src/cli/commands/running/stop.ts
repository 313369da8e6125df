import type { Command } from 'commander';
import type { Cli } from '../../cli.js';
import { endedDocument } from '../../output/documents/launch-document.js';
import { addOwnerFlags, type OwnerFlags } from '../../owner-flags.js';
import { timeOf } from '../../running/flags/launch-flags.js';
import { toEachContainer } from '../../running/to-each-container.js';

interface StopFlags extends OwnerFlags {
  readonly time?: string;
  readonly signal?: string;
}

export function define(command: Command, cli: Cli): void {
  command
    .description(
      'Asks the programs of containers to end, and ends all that is in them when they have not after a while. Prints their ids.',
    )
    .argument('<container-id...>')
    .option('-t, --time <age>', 'how long they have (default: 10s); bare numbers are seconds')
    .option('-s, --signal <signal>', "what is sent first (default: the container's own)");
  addOwnerFlags(command);
  command.action(async (containerIds: string[], flags: StopFlags) => {
    const grace = flags.time === undefined ? undefined : timeOf(flags.time, '--time');
    await toEachContainer(cli, containerIds, flags, async (containers, id) => {
      const exit = await containers.stop(id, { grace, signal: flags.signal, anyOwner: flags.anyOwner });
      return endedDocument(id, exit);
    });
  });
}
