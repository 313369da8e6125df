import { chmodSync, readdirSync, renameSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { crashPoint } from '../base/crash-points.js';
import { fileError, systemCode, throwIfAborted } from '../base/errors.js';
import { ensureOwnDirectory, makeOwnPlace } from '../base/own-files.js';
import { copyDirectoryAttributes } from '../files/tree/copying/copy-directory-attributes.js';
import type { WhiteoutFormat } from '../files/tree/whiteouts.js';
import type { Sweeper } from '../layer-store/sweeper.js';
import type { StorePaths } from '../paths.js';
import { FILLING, makerOf, type ProcessIdentity, transientName } from '../system/locks/process-identity.js';
import { loadTreeCalls } from '../system/syscalls/load-tree-calls.js';
import type { Syscalls } from '../system/syscalls/syscalls.js';
import type { WorkerPool } from '../workers/worker-pool.js';
import { DEFAULT_MODE, isEmptyOrMissing } from './volume-directory.js';

export interface FillNeeds {
  readonly paths: StorePaths;
  readonly pool: WorkerPool;
  readonly sweeper: Sweeper;
  readonly syscalls: () => Syscalls;
  /** Returns when all that was written to the store's file system would survive a power cut. */
  readonly sync: () => Promise<void>;
  /** Of the store: no root filesystem of it shows its marks as files. */
  readonly whiteouts: WhiteoutFormat;
  readonly privileged: boolean;
}

export interface Filling {
  /** Absolute, a directory without symlinks on the way there, in which nothing changes meanwhile; undefined where there is nothing to copy. */
  readonly from: string | undefined;
  /** Absolute. */
  readonly directory: string;
  /** Where the copy is made, absolute, on the file system of the directory. Default: in `staging/`. */
  readonly draftsIn?: string | undefined;
  /** Of whoever fills it: what is there of a dead one's goes with the next pull, prune or recovery. */
  readonly process: ProcessIdentity;
}

/** Something is in a directory, or mounted there. @see rename(2) */
const IS_TAKEN = new Set(['ENOTEMPTY', 'EEXIST', 'EBUSY']);

/**
 * Puts a copy of a directory, attributes and all, in the place of one that is empty or not there. It is made beside, and appears whole, by one rename; what somebody has put there by then stays.
 * @throws ProvisionerError as `copyLayers`; then all is as it was
 */
export async function fillDirectory(
  needs: FillNeeds,
  { from, directory, draftsIn, process }: Filling,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { paths, sweeper } = needs;
  ensureOwnDirectory(dirname(directory));
  if (!isEmptyOrMissing(directory)) return;
  const draft = makeOwnPlace(join(draftsIn ?? paths.staging, transientName(FILLING, process)));
  try {
    await copyInto(needs, from, draft, signal);
    throwIfAborted(signal);
    renameSync(draft, directory);
  } catch (error) {
    // What cannot be taken away now goes later.
    try {
      if (draftsIn === undefined) sweeper.retire(draft, 'volume');
      else await rm(draft, { recursive: true, force: true });
    } catch {}
    if (!IS_TAKEN.has(systemCode(error) ?? '')) throw fileError(error, 'fill a volume', directory);
  }
  crashPoint('volume.filled');
}

/** What is in the place of `staging/` for a root filesystem alone nobody else tidies. @param isAlive whether whoever makes a draft still does */
export async function removeDeadDrafts(
  draftsIn: string,
  isAlive: (process: ProcessIdentity) => boolean,
): Promise<void> {
  for (const name of readdirSync(draftsIn)) {
    const maker = makerOf(name, FILLING);
    if (maker !== undefined && !isAlive(maker)) await rm(join(draftsIn, name), { recursive: true, force: true });
  }
}

async function copyInto(
  { pool, sync, syscalls, whiteouts, privileged }: FillNeeds,
  from: string | undefined,
  draft: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (from === undefined) {
    chmodSync(draft, DEFAULT_MODE);
    return;
  }
  if (isEmptyOrMissing(from)) {
    // As most are. A thread takes longer to begin, and a journal keeps the order of what is done to directories.
    copyDirectoryAttributes(from, draft, loadTreeCalls(syscalls()), privileged);
    return;
  }
  await pool.run('copy-layers', { layers: [from], target: draft, whiteouts, privileged }, { signal });
  crashPoint('volume.copied');
  await sync();
  crashPoint('volume.synced');
}
