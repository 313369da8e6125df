import type { Command } from 'commander';
import type { RecoveryReport } from '../../../index.js';
import type { Cli } from '../../cli.js';
import { recoveryDocument } from '../../output/documents/report-document.js';

interface RecoverFlags {
  readonly known: readonly string[];
  readonly destroyUnknown?: boolean;
  readonly owner?: string;
}

export function define(command: Command, cli: Cli): void {
  command
    .description(
      'Puts the store right after a crash or a reboot: mounts again what a reboot took, drops what dead processes left, and sweeps. ' +
        'With --known, the other containers of the owner are destroyed. Prints what it put right.',
    )
    .option('--known <container-id>', 'a container that goes on living; may be repeated', collect, [])
    .option(
      '--destroy-unknown',
      'destroy all containers of the owner that --known does not name, also when it names none',
    )
    .option('--owner <name>', 'whose containers (default: "default")')
    .addHelpText(
      'after',
      `
Without --known and --destroy-unknown all recorded containers are kept. What cannot be put right is told, and does not stop the rest; the exit status is then 1.

Examples:
  provisioner recover
  provisioner recover --known job-1 --known job-2`,
    )
    .action(async ({ known, destroyUnknown = false, owner }: RecoverFlags) => {
      const knownContainerIds = known.length > 0 || destroyUnknown ? known : undefined;
      await cli.withStore(
        async ({ provisioner, output, signal, failed }) => {
          const recovered = await provisioner.recover({ knownContainerIds, signal });
          const report = recoveryDocument(recovered, await provisioner.store.swept());
          for (const line of lines(report)) output.line(line);
          output.document(() => report);
          failed(report.failed);
        },
        { owner, reportsSweep: true },
      );
    });
}

function lines(report: RecoveryReport): string[] {
  const gap = {
    lost: 'the records were lost: what they told of images, names and containers is not known any more',
    older:
      'the records are older than the store: what was pulled, named or provisioned after them is not known any more',
  };
  const told = [
    ...(report.recordsGap === null ? [] : [gap[report.recordsGap]]),
    ...report.droppedLeases.map((pull) => `dropped the lease of pull ${pull}, whose process is dead`),
    ...report.forgottenImages.map((id) => `forgot image ${id}: a layer of it is gone; pull it again`),
    ...report.forgottenLayers.map((id) => `forgot layer ${id}: its directory is gone`),
    ...report.retired.map((path) => `removed ${path}: nothing accounts for it`),
    ...report.remounted.map((path) => `mounted ${path} again`),
    ...report.finished.map((path) => `removed ${path}: a crash had left a part of it`),
    ...report.destroyed.map((id) => `destroyed container ${id}`),
    ...report.untrusted.map(({ containerId, reason }) => `left container ${containerId} alone: ${reason}`),
    ...report.kept.map(({ path, reason }) => `left ${path} alone: no record names it, but ${reason}`),
    ...report.foreign.map((path) => `left ${path} alone: it is no part of a store`),
  ];
  return told.length + report.failed.length === 0 ? ['nothing to put right'] : told;
}

function collect(value: string, others: readonly string[]): string[] {
  return [...others, value];
}
