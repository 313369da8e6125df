import type { Command } from 'commander';
import type { Cli } from '../../cli.js';
import { leaseDocument } from '../../output/documents/launch-document.js';
import { formatAge } from '../../output/human-units.js';
import { withContainerizer } from '../../running/with-containerizer.js';

export function define(command: Command, cli: Cli): void {
  command.description('Shows who has processors and devices for himself, and since when.').action(async () => {
    await cli.withStore((session) =>
      withContainerizer(session, async (containers) => {
        const { output } = session;
        const leases = await containers.leases();
        const now = Date.now();
        output.table(
          ['CONTAINER', 'CPUS', 'DEVICES', 'AGE'],
          leases.map(({ containerId, holder, cpus, devices, since }) => [
            containerId ?? `(${holder})`,
            cpus ?? '-',
            devices.length === 0 ? '-' : devices.join(' '),
            formatAge(now - since),
          ]),
        );
        output.document(() => leases.map(leaseDocument));
      }),
    );
  });
}
