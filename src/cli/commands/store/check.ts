import type { Command } from 'commander';
import type { CheckReport, Finding } from '../../../index.js';
import type { Cli } from '../../cli.js';
import { checkDocument } from '../../output/documents/report-document.js';
import { formatDuration } from '../../output/human-units.js';
import { addRegistryFlags, type RegistryFlags, registryOptions } from '../../registry-flags.js';

interface CheckFlags extends RegistryFlags {
  readonly full?: boolean;
  readonly repair?: boolean;
}

export function define(command: Command, cli: Cli): void {
  command
    .description(
      'Compares the store with its records while it is in use: layers by counts and sizes, or with --full every file by content, mode, owner, ' +
        'times, links and extended attributes. Prints what it finds. The exit status is 1 when damage is left, or something was not repaired that should be.',
    )
    .option('--full', 'compare everything in each layer with what was unpacked')
    .option('--repair', 'get damaged layers again from where their images came from, and swap them in');
  addRegistryFlags(command);
  command
    .addHelpText(
      'after',
      `
A container that shows a damaged layer keeps the old files until it is destroyed.

Examples:
  provisioner check
  provisioner check --full --repair`,
    )
    .action(async ({ full, repair, ...flags }: CheckFlags) => {
      const registry = registryOptions(flags);
      await cli.withStore(async ({ provisioner, output, signal, unsuccessful, failed }) => {
        const report = await provisioner.store.check({ full, repair, registry, signal });
        for (const finding of report.findings) for (const line of linesOf(finding)) output.line(line);
        output.line(summaryOf(report));
        output.document(() => checkDocument(report));
        if (!report.sound || report.findings.some(({ outcome }) => outcome?.state === 'failed')) unsuccessful();
        failed(report.failed);
      });
    });
}

/** Differences shown for one layer; `--json` has more. */
const SHOWN = 10;

function linesOf({ severity, message, differences, differenceCount, outcome }: Finding): string[] {
  const lines = [`${severity}: ${message}`];
  for (const { path, what, expected, found } of differences.slice(0, SHOWN)) {
    lines.push(`  ${path === '' ? 'the directory' : path}: ${what}: expected ${expected}, found ${found}`);
  }
  if (differenceCount > SHOWN) lines.push(`  and ${differenceCount - SHOWN} more`);
  if (outcome !== undefined)
    lines.push(`  ${outcome.state === 'healed' ? 'repaired' : 'not repaired'}: ${outcome.message}`);
  return lines;
}

function summaryOf({ mode, findings, sound, layers, images, containers, milliseconds }: CheckReport): string {
  const counted = [
    [layers, 'layer'],
    [images, 'image'],
    [containers, 'container'],
  ] as const;
  const things = counted.map(([count, name]) => `${count} ${name}${count === 1 ? '' : 's'}`).join(', ');
  const damage = findings.filter(({ severity }) => severity === 'damage').length;
  const healed = findings.filter(
    ({ severity, outcome }) => severity === 'damage' && outcome?.state === 'healed',
  ).length;
  const verdict =
    damage === 0 ? 'no damage' : sound ? `${healed} damaged, all healed` : `${damage} damaged, ${healed} healed`;
  return `${mode} check of ${things} in ${formatDuration(milliseconds)}: ${verdict}`;
}
