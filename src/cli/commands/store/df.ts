import type { Command } from 'commander';
import type { DiskUsage } from '../../../index.js';
import type { Cli } from '../../cli.js';
import { usageDocument } from '../../output/documents/report-document.js';
import { formatSize } from '../../output/human-units.js';

export function define(command: Command, cli: Cli): void {
  command
    .description(
      'Shows where the disk space of the store goes. The total is what `du -sx` says of its directory; layers are counted once, ' +
        'and the indented rows are parts of the row above them.',
    )
    .action(async () => {
      await cli.withStore(async ({ provisioner, output, signal }) => {
        const usage = await provisioner.store.usage({ signal });
        output.table(['WHAT', 'COUNT', 'SIZE'], rowsOf(usage));
        output.document(() => usageDocument(usage));
        const { abandoned } = usage.staging;
        if (abandoned.count > 0) {
          output.hint(`dead pulls left ${formatSize(abandoned.bytes)} in staging: \`provisioner prune\` gives it back`);
        }
      });
    });
}

function rowsOf({
  layers,
  containers,
  volumes,
  staging,
  gc,
  parked,
  launches,
  reserve,
  unaccounted,
  records,
  total,
}: DiskUsage): string[][] {
  const shares = [
    ['layers', layers],
    ['  active', layers.active],
    ['  shared', layers.shared],
    ['  unused', layers.unused],
    ['  tar records', layers.tarRecords],
    ['containers', containers],
    ['volumes', volumes],
    ['staging', staging],
    ['  abandoned', staging.abandoned],
    ['gc', gc],
    ['parked', parked],
    ['launches', launches],
    ['reserve', reserve],
    ['unaccounted', unaccounted],
  ] as const;
  return [
    ...shares.map(([name, { count, bytes }]) => [name, String(count), formatSize(bytes)]),
    ['records', '', formatSize(records)],
    ['total', '', formatSize(total)],
  ];
}
