import type { Command } from 'commander';
import { isProvisionerError } from '../../../base/errors.js';
import type { Containerizer, ContainerRecovery } from '../../../containerizer/index.js';
import type { RecoveryReport } from '../../../index.js';
import type { Cli } from '../../cli.js';
import { recoveredDocument } from '../../output/documents/launch-document.js';
import { recoveryDocument } from '../../output/documents/report-document.js';
import { containerizerOf } from '../../running/with-containerizer.js';
import type { Session } from '../../session.js';

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
        async (session) => {
          const { provisioner, output, signal, failed } = session;
          const containers = await containerizerOrNot(session);
          const launches = await containers?.recover({ knownContainerIds });
          const recovered = launches?.store ?? (await provisioner.recover({ knownContainerIds, signal }));
          const report = recoveryDocument(recovered, await provisioner.store.swept());
          for (const line of lines(report, launches)) output.line(line);
          output.document(() => recoveredDocument(report, launches));
          failed([...report.failed, ...(launches?.failed ?? []).map(({ error }) => error as Error)]);
        },
        { owner, reportsSweep: true },
      );
    });
}

/** Undefined where nothing was launched: nothing that runs containers is needed then. Where it is needed and cannot be had, that is told, and all the rest is put right. */
async function containerizerOrNot(session: Session): Promise<Containerizer | undefined> {
  const { hasLaunches } = await import('../../../containerizer/index.js');
  try {
    return (await hasLaunches(session.provisioner)) ? await containerizerOf(session) : undefined;
  } catch (error) {
    if (!isProvisionerError(error, 'ERR_PERMISSION') && !isProvisionerError(error, 'ERR_NATIVE_MISSING')) throw error;
    session.failed([error]);
    return undefined;
  }
}

function lines(report: RecoveryReport, launches: ContainerRecovery | undefined): string[] {
  const gap = {
    lost: 'the records were lost: what they told of images, names and containers is not known any more',
    older:
      'the records are older than the store: what was pulled, named or provisioned after them is not known any more',
  };
  const told = [
    ...(launches?.ended ?? []).map((id) => `container ${id} had ended`),
    ...(launches?.lost ?? []).map((id) => `container ${id} was lost: nobody can say how its program ended`),
    ...(launches?.undone ?? []).map((id) => `removed container ${id}: its start had not been finished`),
    ...(launches?.removed ?? []).map((id) => `removed container ${id}: it was to go with its end`),
    ...(launches?.swept ?? []).map((what) => `removed ${what}: no record names it`),
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
  return told.length + report.failed.length + (launches?.failed.length ?? 0) === 0 ? ['nothing to put right'] : told;
}

function collect(value: string, others: readonly string[]): string[] {
  return [...others, value];
}
