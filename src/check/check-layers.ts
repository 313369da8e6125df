import { setMaxListeners } from 'node:events';
import { anySignal } from '../base/any-signal.js';
import { systemCode, throwIfAborted } from '../base/errors.js';
import { type CheckedLayer, directoryIdentity } from '../files/contents/check-layer.js';
import type { LayerId } from '../image/digest.js';
import type { LayerRecord } from '../metadata/metadata-manager.js';
import type { CheckNeeds, CheckRun } from './check-needs.js';
import { type Finding, finding } from './findings.js';
import { confirmed, type Suspect } from './suspects.js';

/** A layer that others swap or retire while it is being compared is compared again, so often. */
const ATTEMPTS = 3;

/** Layers are handed to a thread together as long as they have no more entries than this, and there are no more of them than that: asking takes as long as a small layer. */
const BATCH_ENTRIES = 1000;
const BATCH_LAYERS = 64;

/** Compares all recorded layers with what is on disk, in as many threads as there are. When one of them fails, all have ended before it is told. */
export async function checkLayers(needs: CheckNeeds, run: CheckRun): Promise<{ findings: Finding[]; entries: number }> {
  const records = await needs.metadata.listLayers();
  const findings: Finding[] = [];
  const suspects: Suspect[] = [];
  let entries = 0;
  let done = 0;
  const batches = inBatches(records);
  const stop = new AbortController();
  const signal = anySignal(run.signal === undefined ? [stop.signal] : [run.signal, stop.signal]);
  // Each thread has a listener.
  setMaxListeners(0, signal);
  const ours = { ...run, signal };
  let first: { readonly error: unknown } | undefined;
  const work = async (): Promise<void> => {
    for (const batch of batches) {
      throwIfAborted(signal);
      const found = await checkOnDisk(batch, needs, ours);
      for (const [index, record] of batch.entries()) {
        const layer = await settled(record, found[index] as CheckedLayer, needs, ours);
        entries += layer?.checked.entries ?? 0;
        if (layer !== undefined && isMissing(layer.checked)) suspects.push(() => stillMissing(layer, needs));
        else if (layer !== undefined) findings.push(...layerFindings(layer));
        done++;
        run.report({ layer: record.id, done, total: records.length });
      }
    }
  };
  const noted = () =>
    work().catch((error: unknown) => {
      first ??= { error };
      stop.abort(error);
    });
  await Promise.all(Array.from({ length: needs.pool.size }, noted));
  if (first !== undefined) throw first.error;
  return { findings: [...findings, ...(await confirmed(suspects, needs, run.signal))], entries };
}

function* inBatches(records: readonly LayerRecord[]): Generator<LayerRecord[], void, undefined> {
  let batch: LayerRecord[] = [];
  let entries = 0;
  for (const record of records) {
    if (batch.length === BATCH_LAYERS || (batch.length > 0 && entries + record.entries > BATCH_ENTRIES)) {
      yield batch;
      batch = [];
      entries = 0;
    }
    batch.push(record);
    entries += record.entries;
  }
  if (batch.length > 0) yield batch;
}

/** Looks at one layer. */
export async function checkLayerOnDisk(
  id: LayerId,
  needs: CheckNeeds,
  options: Pick<CheckRun, 'mode' | 'signal'>,
): Promise<CheckedLayer> {
  const [checked] = await checkOnDisk([{ id }], needs, options);
  return checked as CheckedLayer;
}

async function checkOnDisk(
  layers: readonly { readonly id: LayerId }[],
  { paths, pool }: CheckNeeds,
  { mode, signal }: Pick<CheckRun, 'mode' | 'signal'>,
): Promise<CheckedLayer[]> {
  return pool.run('check-layers', { directories: layers.map(({ id }) => paths.layer(id)), mode }, { signal });
}

/** A layer's record, and what was found of the layer since. */
interface SettledLayer {
  readonly record: LayerRecord;
  readonly checked: CheckedLayer;
}

/**
 * Looks again at a layer that is not as its record says, because it may have gone meanwhile, or something else have taken its place: that is no damage.
 * @returns undefined for a layer that is not recorded any more, and for one that was another each time
 */
async function settled(
  record: LayerRecord,
  found: CheckedLayer,
  needs: CheckNeeds,
  run: CheckRun,
): Promise<SettledLayer | undefined> {
  let checked = found;
  for (let attempt = 1; ; attempt++) {
    if (checked.count === 0 && isCounted(record, checked)) return { record, checked };
    // What it was compared with may have been corrected, or be of a layer that was pruned and pulled again.
    const now = await needs.metadata.getLayer(record.id);
    if (now === undefined) return undefined;
    if (identityOf(record.id, needs) === checked.identity) return { record: now, checked };
    if (attempt === ATTEMPTS) return undefined;
    checked = await checkLayerOnDisk(record.id, needs, run);
  }
}

/** Undefined, too, for one that cannot be looked at, which is as it was when it was compared. */
function identityOf(id: LayerId, { paths }: CheckNeeds): string | undefined {
  try {
    return directoryIdentity(paths.layer(id));
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return undefined;
  }
}

/** A prune forgets layers before it retires them, with the lock held alone. */
async function stillMissing({ record, checked }: SettledLayer, needs: CheckNeeds): Promise<Finding | undefined> {
  if (identityOf(record.id, needs) !== undefined) return undefined;
  if ((await needs.metadata.getLayer(record.id)) === undefined) return undefined;
  return layerFinding(record.id, checked);
}

function layerFindings({ record, checked }: SettledLayer): Finding[] {
  const { differences, count, bytes, tarBytes } = checked;
  if (count > 0) return [layerFinding(record.id, checked)];
  if (isCounted(record, checked)) return [];
  const counted = `takes ${bytes} bytes on disk, ${tarBytes} of them for its tar record`;
  return [
    finding({
      severity: 'leak',
      code: 'LAYER_MISCOUNTED',
      subject: record.id,
      message: `layer ${record.id} ${counted}; its record says ${record.bytes} and ${record.tarBytes}`,
      differences,
      repairable: true,
    }),
  ];
}

function isCounted(record: LayerRecord, { bytes, tarBytes }: CheckedLayer): boolean {
  return bytes === record.bytes && tarBytes === record.tarBytes;
}

function isMissing({ differences }: CheckedLayer): boolean {
  return differences.some(({ path, what }) => path === '' && what === 'missing');
}

function layerFinding(id: LayerId, checked: CheckedLayer): Finding {
  const { differences, count } = checked;
  const missing = isMissing(checked);
  return finding({
    severity: 'damage',
    code: missing ? 'LAYER_MISSING' : 'LAYER_DAMAGED',
    subject: id,
    message: missing
      ? `layer ${id} is recorded, but its directory is not there`
      : `layer ${id} differs from what was unpacked in ${count} ${count === 1 ? 'way' : 'ways'}`,
    differences,
    differenceCount: count,
    repairable: true,
  });
}
