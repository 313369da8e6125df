import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isProvisionerError } from '../base/errors.js';
import { type FailedEntry, failedEntry } from '../base/failed-entry.js';
import type { MetadataManager } from '../metadata/metadata-manager.js';
import { letGoOfTree } from '../mounts/let-go-of-tree.js';
import type { StorePaths } from '../paths.js';
import type { Liveness } from '../system/locks/liveness.js';
import { FILLING, makerOf, PROBE } from '../system/locks/process-identity.js';
import { mountsInside } from '../system/syscalls/mounts/mount-table.js';
import type { Syscalls } from '../system/syscalls/syscalls.js';
import type { Sweeper } from './sweeper.js';

/** What it takes to tell whose a directory in `staging/` is. */
export interface StagingNeeds {
  readonly paths: StorePaths;
  readonly metadata: Pick<MetadataManager, 'listLeases'>;
  readonly liveness: Pick<Liveness, 'isAlive'>;
}

/** And to take away what is nobody's. */
export interface StagingCleaner extends StagingNeeds {
  readonly sweeper: Sweeper;
  readonly syscalls: () => Syscalls;
}

/** What stands in `staging/` and is nobody's who lives. */
export interface AbandonedStaging {
  /** Pulls whose process is dead, and which have a lease still. */
  readonly pulls: readonly string[];
  /** Absolute paths. */
  readonly left: readonly string[];
}

/** What became of it. */
export interface RetiredStaging {
  /** Absolute paths. */
  readonly retired: readonly string[];
  /** What could not be, and stays where it is. */
  readonly failed: readonly FailedEntry[];
}

export type ReconciledStaging = RetiredStaging & Pick<AbandonedStaging, 'pulls'>;

/**
 * Tells what dead processes left in `staging/`: nothing of it is of use to anybody, since a layer is unpacked while it is read, and what was unpacked of one that is not complete
 * cannot be gone on with. Complete ones have left `staging/`. Changes nothing.
 */
export async function abandonedStaging({ paths, metadata, liveness }: StagingNeeds): Promise<AbandonedStaging> {
  // The directories first: a pull opens its lease before it makes its directory.
  const names = await readdir(paths.staging);
  const leases = await metadata.listLeases();
  const dead = new Set(leases.filter((lease) => !liveness.isAlive(lease.process)).map((lease) => lease.pull));
  const living = new Set(leases.map((lease) => lease.pull).filter((pull) => !dead.has(pull)));
  const left = names.filter((name) => {
    const maker = makerOf(name, PROBE) ?? makerOf(name, FILLING);
    return !living.has(name) && (maker === undefined || !liveness.isAlive(maker));
  });
  return { pulls: [...dead], left: left.map((name) => join(paths.staging, name)) };
}

/** Drops the leases and claims of dead processes, and what they and others left in `staging/`. */
export async function reconcileStaging(
  cleaner: StagingCleaner & {
    readonly metadata: Pick<MetadataManager, 'listLeases' | 'closeLeases' | 'dropDeadClaims'>;
  },
): Promise<ReconciledStaging> {
  const { metadata, liveness } = cleaner;
  const { pulls, left } = await abandonedStaging(cleaner);
  await metadata.closeLeases(pulls);
  await metadata.dropDeadClaims(liveness.isAlive);
  return { pulls, ...(await retireStaging(left, cleaner)) };
}

/**
 * For a pull that begins: what dead ones left in `staging/` goes, and what they left in the records stays for a prune or a recovery, since it counts for nothing and a pull need
 * not wait for the disk. Costs a look into one directory where nothing but this process's own pulls is at work.
 * @param own pulls of this process
 */
export async function retireAbandoned(cleaner: StagingCleaner, own: ReadonlySet<string>): Promise<RetiredStaging> {
  const names = await readdir(cleaner.paths.staging);
  if (names.every((name) => own.has(name))) return { retired: [], failed: [] };
  const { left } = await abandonedStaging(cleaner);
  return retireStaging(left, cleaner);
}

/** One entry that resists does not stop the others. */
async function retireStaging(
  left: readonly string[],
  { paths, sweeper, syscalls }: Pick<StagingCleaner, 'paths' | 'sweeper' | 'syscalls'>,
): Promise<RetiredStaging> {
  const retired: string[] = [];
  const failed: FailedEntry[] = [];
  if (left.length === 0) return { retired, failed };
  const mounted = await pathsWithMounts(paths.staging);
  for (const path of left) {
    try {
      if (mounted.has(path)) await letGoForSweep(path, syscalls());
      sweeper.retire(path, 'staging');
      retired.push(path);
    } catch (error) {
      failed.push(failedEntry(error, 'take away what a dead process left', path));
    }
  }
  return { retired, failed };
}

/** What it cannot let go of, the sweep tells, deletes nothing of it, and tries again later. */
async function letGoForSweep(path: string, syscalls: Syscalls): Promise<void> {
  try {
    await letGoOfTree(syscalls, path);
  } catch (error) {
    // Without native calls the sweep would not see all mounts.
    if (!isProvisionerError(error, 'ERR_PERMISSION') || syscalls.kind === 'native-free') throw error;
  }
}

/** What stands in a directory and has something mounted on it, or in it. */
async function pathsWithMounts(directory: string): Promise<ReadonlySet<string>> {
  const names = (await mountsInside(directory)).map(({ path }) => path.split('/', 1)[0] ?? '');
  return new Set(names.map((name) => join(directory, Buffer.from(name, 'latin1').toString('utf8'))));
}
