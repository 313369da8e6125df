import { setImmediate } from 'node:timers/promises';
import { throwIfAborted } from '../base/errors.js';
import { type FailedEntry, failedEntry } from '../base/failed-entry.js';
import { filterUnhurried, unhurried } from '../base/unhurried.js';
import type { LayerId } from '../image/digest.js';
import type { ImageRecord, RecordsGap } from '../metadata/metadata-manager.js';
import { describeGap } from '../metadata/record-errors.js';
import { checkContainers } from './check-containers.js';
import { checkDirectories, retireUnrecorded } from './check-directories.js';
import { checkImages } from './check-images.js';
import { checkLayerOnDisk, checkLayers } from './check-layers.js';
import type { CheckNeeds, CheckRun } from './check-needs.js';
import { type CheckReport, type Finding, finding, type RepairOutcome } from './findings.js';
import { LayerHealer } from './heal-layers.js';
import { ParkedLayers } from './parked-layers.js';
import { checkVolumes } from './volumes/check-volumes.js';

const SEVERITIES: readonly Finding['severity'][] = ['damage', 'leak', 'note'];

/**
 * Compares everything in a store with its records, while others use it, and repairs what can be repaired when asked to:
 *
 * | finding                                  | repair                                                                           |
 * |------------------------------------------|----------------------------------------------------------------------------------|
 * | a layer is missing or damaged            | a fresh copy from an image's source takes its place; see `LayerHealer`            |
 * | a layer's directory has no record        | it is retired                                                                     |
 * | a layer's record has a wrong disk use    | it is corrected                                                                   |
 * | anything about images, containers, files | none here: pull the image again, destroy the container, recover, or look yourself |
 *
 * A layer is read as containers read it, by way of the page cache: a bit that has flipped on the disk beneath shows once the cache has let go of the file.
 * @throws ProvisionerError `ERR_ABORTED`, `ERR_PERMISSION` for a full check or a repair where the marks of the layers do not show, and what makes a check impossible: `ERR_STORE_DAMAGED` for records that cannot be read at all
 */
export async function checkStore(needs: CheckNeeds, run: CheckRun, repair: boolean): Promise<CheckReport> {
  const started = performance.now();
  // To whom the marks do not show, each opaque directory looks damaged.
  if (run.mode === 'full')
    await needs.reserve.freeing(async () => needs.marks.require('compare every entry of the layers'));
  if (repair) await needs.reserve.freeing(async () => needs.marks.require('repair layers'));
  const parked = new ParkedLayers(needs.paths, needs.metadata, needs.sweeper);
  const failed = await parked.release();
  throwIfAborted(run.signal);
  // A check of an empty store has nothing else to wait for, and must not keep others from the event loop all the same.
  await setImmediate();
  const faults = (await needs.metadata.verify()).map((fault) =>
    finding({
      severity: 'damage',
      code: 'RECORDS_DAMAGED',
      subject: needs.paths.metadata,
      message: `the records at ${needs.paths.metadata} are damaged: ${fault}`,
    }),
  );
  const gap = await needs.metadata.recordsGap();
  if (gap !== undefined) faults.push(incomplete(needs.paths.metadata, gap));
  const { findings: imageFindings, images } = await checkImages(needs, run.signal);
  const { findings: containerFindings, containers } = await checkContainers(needs, run.signal);
  const directoryFindings = await checkDirectories(needs, parked, run.signal);
  const volumeFindings = await checkVolumes(needs);
  const { findings: layerFindings, entries } = await checkLayers(needs, run);
  const layers = (await needs.metadata.listLayers()).length;
  const found = [
    ...faults,
    ...imageFindings,
    ...layerFindings,
    ...containerFindings,
    ...volumeFindings,
    ...directoryFindings,
  ];
  const findings = repair ? await repairAll(found, images, { ...needs, parked, failed }, run) : found;
  return {
    mode: run.mode,
    findings: SEVERITIES.flatMap((severity) => findings.filter((found) => found.severity === severity)),
    failed,
    sound: findings.every(({ severity, outcome }) => severity !== 'damage' || outcome?.state === 'healed'),
    layers,
    images: images.length,
    containers,
    entries,
    milliseconds: performance.now() - started,
  };
}

function incomplete(subject: string, gap: RecordsGap): Finding {
  const message = `the records at ${subject} ${describeGap(gap)}, so they do not name all that is in it: \`provisioner recover\` sees to that`;
  return finding({ severity: 'note', code: 'RECORDS_INCOMPLETE', subject, message });
}

async function repairAll(
  findings: readonly Finding[],
  images: readonly ImageRecord[],
  needs: CheckNeeds & { readonly parked: ParkedLayers; readonly failed: FailedEntry[] },
  { signal }: CheckRun,
): Promise<Finding[]> {
  const holders = new Map<LayerId, ImageRecord[]>();
  const order = new Map<string, number>();
  for await (const image of unhurried(images)) {
    for (const layer of new Set(image.layers)) {
      const others = holders.get(layer);
      if (others === undefined) holders.set(layer, [image]);
      else others.push(image);
    }
    for (const [position, layer] of image.layers.entries()) order.set(layer, position);
  }
  const healer = new LayerHealer(needs, needs.parked, holders, signal);
  const isSeam = ({ code, subject }: Finding): boolean =>
    code.startsWith('LAYER_') && healer.isSeam(subject as LayerId);
  // Seams are made of layers, and a seam may be made of seams below it: stacks are in that order.
  const seams = new Set(await filterUnhurried(findings, isSeam));
  const sorted = [...findings].sort(
    (one, other) =>
      Number(seams.has(one)) - Number(seams.has(other)) ||
      (order.get(one.subject) ?? 0) - (order.get(other.subject) ?? 0),
  );
  const repaired: Finding[] = [];
  try {
    for await (const found of unhurried(sorted)) {
      throwIfAborted(signal);
      repaired.push(found.repairable ? { ...found, outcome: await repairOrTell(found, healer, needs, signal) } : found);
    }
  } finally {
    needs.failed.push(...(await healer.close()));
  }
  return repaired;
}

/** One that cannot be repaired is told, and the others go on. */
async function repairOrTell(...repair: Parameters<typeof repairOne>): Promise<RepairOutcome> {
  const [{ subject }] = repair;
  try {
    return await repairOne(...repair);
  } catch (error) {
    const { message, hint } = failedEntry(error, 'repair it', subject);
    return { state: 'failed', message: hint === null ? message : `${message}; ${hint}`, images: [], parkedFor: [] };
  }
}

async function repairOne(
  found: Finding,
  healer: LayerHealer,
  needs: CheckNeeds,
  signal: AbortSignal | undefined,
): Promise<RepairOutcome> {
  const done = (message: string): RepairOutcome => ({ state: 'healed', message, images: [], parkedFor: [] });
  switch (found.code) {
    case 'LAYER_UNRECORDED': {
      const retirement = await retireUnrecorded(found.subject, needs, signal);
      if (retirement.state === 'kept') return { ...done(`it stays: ${retirement.reason}`), state: 'failed' };
      return done(retirement.state === 'retired' ? 'retired, to be swept' : 'somebody has seen to it meanwhile');
    }
    case 'LAYER_MISCOUNTED': {
      const id = found.subject as LayerId;
      const { bytes, tarBytes, count } = await checkLayerOnDisk(id, needs, { mode: 'quick', signal });
      if (count > 0) return { ...done('it is not as it was any more'), state: 'failed' };
      const tar = tarBytes > 0 ? 'kept' : (await needs.metadata.getLayer(id))?.tar === 'kept' ? 'off' : undefined;
      await needs.metadata.changeLayer(id, { bytes, tarBytes, ...(tar === undefined ? {} : { tar }) });
      return done(`the record now says ${bytes} bytes, ${tarBytes} of them for the tar record`);
    }
    default:
      return healer.heal(found.subject as LayerId);
  }
}
