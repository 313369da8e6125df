import type { Readable } from 'node:stream';
import type { Command } from 'commander';
import { fileError, isProvisionerError, ProvisionerError, throwIfAborted } from '../../../base/errors.js';
import { readForeignText, readToEnd, writeForeignText } from '../../../base/foreign-file.js';
import type { JudgedImage, JudgedLayer, PruneOptions, PrunePlan, PruneReport } from '../../../index.js';
import type { Cli } from '../../cli.js';
import { pruneDocument } from '../../output/documents/prune-document.js';
import { formatSize } from '../../output/human-units.js';
import { formatReason } from '../../output/keep-reason.js';
import type { Output } from '../../output/output.js';
import { parseAge, parseSize } from '../../output/parse-units.js';
import { shortDigest } from '../../output/short-digest.js';
import { hasWarm } from '../../running/waiting-in-pools.js';
import { containerizerOf } from '../../running/with-containerizer.js';
import type { Session } from '../../session.js';
import { UsageError } from '../../usage-error.js';

interface PruneFlags {
  readonly exclude: readonly string[];
  readonly keep?: string;
  readonly olderThan?: string;
  readonly dryRun?: boolean;
  readonly plan?: string;
  readonly apply?: string;
  readonly wait: boolean;
}

export function define(command: Command, cli: Cli): void {
  command
    .description(
      'Removes the images that nobody keeps and the layers that then nobody needs. Kept are excluded and pinned images, images that ' +
        'containers are made of, what --keep and --older-than spare, and what pulls under way need. What cannot be taken away is told and stays; the exit status is then 1.',
    )
    .option(
      '--exclude <image>',
      'keep this image: a name, a digest, or a pattern such as "app:*"; may be repeated',
      collect,
      [],
    )
    .option('--keep <size>', 'keep the most recently used images that fit into this size, such as 20GB')
    .option('--older-than <age>', 'take only images that were not used for this long, such as 7d')
    .option('--dry-run', 'say what would be done, and do nothing')
    .option('--plan <file>', 'with --dry-run: write what would be done to a file ("-" for stdout)')
    .option('--apply <file>', 'do exactly what a plan says, or nothing when the store has changed')
    .option('--no-wait', 'do not wait until the space is given back; a later sweep does it')
    .addHelpText(
      'after',
      `
Examples:
  provisioner prune --exclude app:v2 --exclude 'ghcr.io/me/*'
  provisioner prune --keep 20GB --older-than 7d
  provisioner prune --dry-run --plan prune.json && provisioner prune --apply prune.json`,
    )
    .action(async (flags: PruneFlags) => {
      const run = parseFlags(flags, () => cli.host.stdin());
      await cli.withStore(
        async (session) => {
          const { provisioner, output, signal, failed } = session;
          const report = await run(session);
          if (flags.plan !== undefined) await writePlan(flags.plan, report.plan, output, signal);
          const left = report.dryRun || !flags.wait ? [] : await provisioner.store.swept();
          const all = { ...report, failed: [...report.failed, ...left] };
          if (flags.plan !== '-') show(all, output);
          failed(all.failed);
        },
        { leaveSweep: !flags.wait, reportsSweep: flags.wait },
      );
    });
}

function parseFlags(flags: PruneFlags, stdin: () => Readable): (session: Session) => Promise<PruneReport> {
  const { exclude, keep, olderThan, dryRun = false, plan, apply } = flags;
  if (plan !== undefined && !dryRun) {
    throw new UsageError('--plan is for --dry-run', 'write --dry-run --plan FILE, then --apply FILE');
  }
  if (apply !== undefined) {
    if (exclude.length > 0 || keep !== undefined || olderThan !== undefined || dryRun) {
      throw new UsageError('--apply goes with no other choice', 'what is removed stands in the plan');
    }
    return async ({ provisioner, signal }) =>
      provisioner.store.applyPlan(await readPlan(apply, stdin, signal), { signal });
  }
  const policy = {
    keepBytes: keep === undefined ? undefined : parseSize(keep, '--keep'),
    keepUsedWithin: olderThan === undefined ? undefined : parseAge(olderThan, '--older-than'),
  };
  return (session) => pruneImages(session, exclude, { ...policy, dryRun, signal: session.signal });
}

/** What waits in pools may have to make room, and only what runs containers can do away with it. */
async function pruneImages(session: Session, exclude: readonly string[], options: PruneOptions): Promise<PruneReport> {
  const { provisioner } = session;
  if (options.keepBytes !== undefined && (await hasWarm(provisioner))) {
    try {
      return await (await containerizerOf(session)).pruneImages(exclude, options);
    } catch (error) {
      if (!isProvisionerError(error, 'ERR_PERMISSION', 'ERR_NATIVE_MISSING')) throw error;
    }
  }
  return provisioner.pruneImages(exclude, options);
}

/** Of a pipe, it waits until somebody has written the plan, or until it is interrupted. */
async function readPlan(file: string, stdin: () => Readable, signal: AbortSignal): Promise<PrunePlan> {
  let text: string;
  try {
    text = file === '-' ? await readToEnd(stdin(), signal) : await readForeignText(file, signal);
  } catch (error) {
    throwIfAborted(signal);
    throw fileError(error, 'read the plan', file);
  }
  try {
    return JSON.parse(text) as PrunePlan;
  } catch (error) {
    throw new ProvisionerError('ERR_BAD_OPTION', `not a plan of a prune: ${file} is no JSON`, {
      cause: error,
      hint: 'make one with `provisioner prune --dry-run --plan FILE`',
    });
  }
}

async function writePlan(file: string, plan: PrunePlan, output: Output, signal: AbortSignal): Promise<void> {
  if (file === '-') {
    output.printDocument(plan);
    return;
  }
  try {
    await writeForeignText(file, `${JSON.stringify(plan, undefined, 2)}\n`, signal);
  } catch (error) {
    throwIfAborted(signal);
    throw fileError(error, 'write the plan', file);
  }
}

function show(report: PruneReport, output: Output): void {
  const { dryRun, images, layers, staging, yielded, bytesFreed } = report;
  for (const image of images) output.line(imageLine(image, dryRun));
  for (const layer of layers)
    if (layer.reasons.length === 0 || isKeptWithoutImage(layer)) output.line(layerLine(layer, dryRun));
  for (const id of yielded) output.line(`${verdict([], dryRun)}  container ${id}: it waited in a pool`);
  for (const path of staging) output.line(`${verdict([], dryRun)}  ${path}: of a pull that died`);
  const gone = layers.filter((layer) => layer.reasons.length === 0).length;
  const goneImages = images.filter((image) => image.reasons.length === 0).length;
  const verb = dryRun ? 'would remove' : 'removed';
  output.line(`${verb} ${goneImages} images and ${gone} layers, ${formatSize(bytesFreed)}`);
  output.document(() => pruneDocument(report));
}

/** Kept by something else than an image: worth a line of its own. */
function isKeptWithoutImage(layer: JudgedLayer): boolean {
  return !layer.reasons.some((reason) => reason.kind === 'image');
}

function imageLine({ id, names, reasons }: JudgedImage, dryRun: boolean): string {
  return `${verdict(reasons, dryRun)}  image ${names.length === 0 ? shortDigest(id) : names.join(', ')}${because(reasons)}`;
}

function layerLine({ id, bytes, reasons }: JudgedLayer, dryRun: boolean): string {
  return `${verdict(reasons, dryRun)}  layer ${shortDigest(id)}, ${formatSize(bytes)}${because(reasons)}`;
}

function verdict(reasons: JudgedImage['reasons'], dryRun: boolean): string {
  if (reasons.length > 0) return 'kept   ';
  return dryRun ? 'remove ' : 'removed';
}

function because(reasons: JudgedImage['reasons']): string {
  return reasons.length === 0 ? '' : `: ${reasons.map((reason) => formatReason(reason)).join('; ')}`;
}

function collect(value: string, others: readonly string[]): string[] {
  return [...others, value];
}
