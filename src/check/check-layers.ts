import { lstatSync } from 'node:fs';
import type { CheckedLayer } from '../contents/check-layer.js';
import { systemCode, throwIfAborted } from '../errors.js';
import type { LayerId } from '../image/digest.js';
import type { LayerRecord } from '../metadata/metadata-manager.js';
import type { CheckParts, CheckRun } from './check-parts.js';
import { type Finding, finding } from './findings.js';

/** A layer that others swap or retire while it is being compared is compared again, so often. */
const ATTEMPTS = 3;

/** Compares all recorded layers with what is on disk, as many at a time as there are threads. */
export async function checkLayers(parts: CheckParts, run: CheckRun): Promise<{ findings: Finding[]; entries: number }> {
  const records = await parts.metadata.listLayers();
  const findings: Finding[] = [];
  let entries = 0;
  let done = 0;
  const rest = records.values();
  const work = async (): Promise<void> => {
    for (const record of rest) {
      throwIfAborted(run.signal);
      const checked = await checkRecorded(record, parts, run);
      entries += checked?.entries ?? 0;
      if (checked !== undefined) findings.push(...layerFindings(record, checked));
      done++;
      run.report({ layer: record.id, done, total: records.length });
    }
  };
  await Promise.all(Array.from({ length: parts.pool.size }, work));
  return { findings, entries };
}

/** @returns undefined for a layer that is not recorded any more */
async function checkRecorded(
  record: LayerRecord,
  { metadata, paths, pool }: CheckParts,
  { mode, signal }: CheckRun,
): Promise<CheckedLayer | undefined> {
  const directory = paths.layer(record.id);
  for (let attempt = 1; ; attempt++) {
    const before = inodeOf(directory);
    const checked = await pool.run('check-layer', { directory, mode }, { signal });
    if (checked.count === 0 && checked.bytes === record.bytes) return checked;
    // What goes meanwhile, and what takes its place, is no damage.
    if ((await metadata.getLayer(record.id)) === undefined) return undefined;
    if (attempt === ATTEMPTS || inodeOf(directory) === before) return checked;
  }
}

function inodeOf(path: string): bigint | undefined {
  try {
    return lstatSync(path, { bigint: true }).ino;
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return undefined;
  }
}

function layerFindings(record: LayerRecord, checked: CheckedLayer): Finding[] {
  const { differences, count, bytes } = checked;
  if (count > 0) return [layerFinding(record.id, checked)];
  if (bytes === record.bytes) return [];
  return [
    finding({
      severity: 'leak',
      code: 'LAYER_MISCOUNTED',
      subject: record.id,
      message: `layer ${record.id} takes ${bytes} bytes on disk, its record says ${record.bytes}`,
      differences,
      repairable: true,
    }),
  ];
}

function layerFinding(id: LayerId, { differences, count }: CheckedLayer): Finding {
  const missing = differences.some(({ path, what }) => path === '' && what === 'missing');
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
