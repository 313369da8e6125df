import { lstatSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { systemCode } from '../../base/errors.js';
import { layerContents, layerRootfs, layerStacking, layerTar } from '../../paths.js';
import { printablePath, toBytePath } from '../../system/syscalls/byte-path.js';
import type { TreeCalls } from '../../system/syscalls/tree-calls.js';
import { compareTree } from './compare-tree.js';
import { Totals, type TreeEntry } from './contents.js';
import { ContentsReader, type ContentsSummary, digestOfFile } from './contents-file.js';
import { Differences, type LayerDifference } from './differences.js';
import { checksumOf, RecordFileError } from './record-file.js';
import { walkTree } from './walk-tree.js';
import { bytesBeside } from './write-contents.js';

/** `quick`: counts and sizes. `full`: every entry, with its content. */
export type CheckMode = 'quick' | 'full';

export interface CheckLayerRequest {
  /** The layer's directory, absolute. */
  readonly directory: string;
  readonly mode: CheckMode;
}

export interface CheckedLayer {
  /** Which directory the layer had when this began, see `directoryIdentity`; undefined where there was none, or it was moved away meanwhile. */
  readonly identity: string | undefined;
  /** The first hundred. */
  readonly differences: readonly LayerDifference[];
  /** How many there are in all. */
  readonly count: number;
  /** Disk use of the layer's directory in bytes, as `du` counts it; when something differs, of what was looked at. */
  readonly bytes: number;
  /** Names below the layer's rootfs, which is one of them. */
  readonly entries: number;
  /** Size of the layer's tar record; 0 where there is none. */
  readonly tarBytes: number;
}

/**
 * Compares a layer with its record. Both checks find a layer or a record that is missing, a record with any bit flipped, anything beside the layer's files that
 * does not belong there, and a changed number of entries or sum of sizes. The full check finds every other change to what the record keeps, see `TreeEntry`.
 *
 * The layer is read as a container reads it. Synchronous, for a worker thread; in a tree of an ordinary user see `OwnedDescent`.
 * @param pause called often; may throw
 * @throws like Node's `fs`, for what makes a check impossible; damage is no error
 */
export function checkLayer(request: CheckLayerRequest, calls: TreeCalls, pause: () => void): CheckedLayer {
  let identity: string | undefined;
  try {
    identity = directoryIdentity(request.directory);
    if (identity === undefined) return missing('', undefined);
    return checkPresent(request, identity, calls, pause);
  } catch (error) {
    // It was retired in the middle of this.
    if (systemCode(error) === 'ENOENT' && directoryIdentity(request.directory) !== identity)
      return missing('', undefined);
    return unreadable(error, identity);
  }
}

function unreadable(error: unknown, identity: string | undefined): CheckedLayer {
  const differences = new Differences();
  differences.addFailure('', error);
  return { identity, ...differences.result(), bytes: 0, entries: 0, tarBytes: 0 };
}

function missing(path: string, identity: string | undefined): CheckedLayer {
  const differences = new Differences();
  differences.add({ path, what: 'missing', expected: 'directory', found: 'nothing' });
  return { identity, ...differences.result(), bytes: 0, entries: 0, tarBytes: 0 };
}

function checkPresent(
  { directory, mode }: CheckLayerRequest,
  identity: string,
  calls: TreeCalls,
  pause: () => void,
): CheckedLayer {
  const differences = new Differences();
  const rootfs = basename(layerRootfs(directory));
  if (directoryIdentity(join(directory, rootfs)) === undefined) return missing(rootfs, identity);
  checkBeside(directory, differences);
  const record = openRecord(directory, differences);
  let entries = 0;
  let disk = 0;
  try {
    const stacking = digestOfFile(layerStacking(directory));
    if (record !== undefined && record.summary.stacking !== stacking) {
      const path = basename(layerStacking(directory));
      differences.add({ path, what: 'content', expected: told(record.summary.stacking), found: told(stacking) });
    }
    if (record !== undefined) compareTar(directory, record.summary.tar, differences);
    if (mode === 'full' && record !== undefined) {
      entries = record.summary.entries;
      disk = compareTree(directory, record, calls, differences, pause);
    } else {
      const found = survey(directory, rootfs, calls, pause, differences);
      if (found !== undefined) {
        entries = found.totals.entries;
        disk = found.disk;
        if (record !== undefined) compareTotals(record.summary, found.totals, rootfs, differences);
      }
    }
  } finally {
    record?.close();
  }
  const bytes = disk + bytesBeside(rootfs, directory);
  const tarBytes = lstatSync(layerTar(directory), { throwIfNoEntry: false })?.size ?? 0;
  return { identity, ...differences.result(), entries, bytes, tarBytes };
}

function openRecord(directory: string, differences: Differences): ContentsReader | undefined {
  return whole(layerContents(directory), 'the record of the layer', differences, () => ContentsReader.open(directory));
}

/** @param expected the checksum of the record, in hex; null where there is none */
function compareTar(directory: string, expected: string | null, differences: Differences): void {
  const path = layerTar(directory);
  if (expected === null) {
    if (lstatSync(path, { throwIfNoEntry: false }) !== undefined)
      differences.add({ path: basename(path), what: 'extra', expected: 'nothing', found: 'an entry' });
    return;
  }
  const found = whole(path, 'the tar record of the layer', differences, () => checksumOf(path));
  if (found !== undefined && found !== expected)
    differences.add({ path: basename(path), what: 'content', expected: told(expected), found: told(found) });
}

/** Reads a record. @returns undefined when it is missing or damaged, which has been noted */
function whole<T>(path: string, what: string, differences: Differences, read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    const code = systemCode(error);
    if (!(error instanceof RecordFileError) && code !== 'EIO') throw error;
    const missing = error instanceof RecordFileError && error.missing;
    differences.add({
      path: basename(path),
      what: missing ? 'missing' : 'record',
      expected: what,
      found: missing ? 'nothing' : (error as Error).message,
    });
    return undefined;
  }
}

/** What stands in the layer's directory beside its files. */
function checkBeside(directory: string, differences: Differences): void {
  const own = new Set([layerRootfs, layerStacking, layerContents, layerTar].map((path) => basename(path(directory))));
  for (const name of readdirSync(directory, 'latin1')) {
    if (!own.has(name))
      differences.add({ path: printablePath(name), what: 'extra', expected: 'nothing', found: 'an entry' });
  }
}

function survey(
  directory: string,
  rootfs: string,
  calls: TreeCalls,
  pause: () => void,
  differences: Differences,
): { readonly totals: Totals; readonly disk: number } | undefined {
  const totals = new Totals();
  const count = (entry: TreeEntry): void => totals.add(entry);
  try {
    const disk = walkTree(
      directory,
      toBytePath(rootfs),
      { enter: count, entry: count, leave: () => {} },
      { calls, checksum: () => 0, mayHaveXattrs: () => false, pause },
    );
    return { totals, disk };
  } catch (error) {
    differences.addFailure(rootfs, error);
    return undefined;
  }
}

function compareTotals(recorded: ContentsSummary, found: Totals, path: string, differences: Differences): void {
  if (recorded.entries !== found.entries)
    differences.add({ path, what: 'entries', expected: String(recorded.entries), found: String(found.entries) });
  if (recorded.size !== found.size)
    differences.add({ path, what: 'size', expected: String(recorded.size), found: String(found.size) });
}

/**
 * Which directory stands at a path: its inode number with the time at which it was made, since the number of one that is deleted goes to the next. Undefined where
 * there is no directory.
 */
export function directoryIdentity(path: string): string | undefined {
  try {
    const status = lstatSync(path, { bigint: true });
    return status.isDirectory() ? `${status.ino}.${status.birthtimeNs}` : undefined;
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw error;
  }
}

function told(digest: string | null): string {
  return digest === null ? 'nothing' : `sha256:${digest}`;
}
