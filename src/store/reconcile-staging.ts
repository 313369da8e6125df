import { realpathSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isProvisionerError } from '../errors.js';
import { type FailedEntry, failedEntry } from '../failed-entry.js';
import type { Liveness } from '../locks/liveness.js';
import { makerOf, PROBE } from '../locks/process-identity.js';
import type { MetadataManager } from '../metadata/metadata-manager.js';
import { letGoOfTree } from '../mounts/let-go-of-tree.js';
import type { StorePaths } from '../paths.js';
import { mountsBelow } from '../syscalls/mount-table.js';
import type { Syscalls } from '../syscalls/syscalls.js';
import type { Sweeper } from './sweeper.js';

export interface ReconciledStaging {
  /** Pulls whose process is dead. */
  readonly pulls: readonly string[];
  /** What was retired. */
  readonly retired: readonly string[];
  /** What could not be, and stays where it is. */
  readonly failed: readonly FailedEntry[];
}

/** Drops the leases and claims of dead processes, and what they and others left in `staging/`. */
export async function reconcileStaging(
  paths: StorePaths,
  metadata: MetadataManager,
  sweeper: Sweeper,
  syscalls: Syscalls,
  { isAlive }: Liveness,
): Promise<ReconciledStaging> {
  // The directories first: a pull opens its lease before it makes its directory.
  const names = await readdir(paths.staging);
  const leases = await metadata.listLeases();
  const dead = leases.filter((lease) => !isAlive(lease.process)).map((lease) => lease.pull);
  await metadata.closeLeases(dead);
  await metadata.dropDeadClaims(isAlive);
  const living = new Set(leases.map((lease) => lease.pull).filter((pull) => !dead.includes(pull)));
  const left = names.filter((name) => {
    const prober = makerOf(name, PROBE);
    return !living.has(name) && (prober === undefined || !isAlive(prober));
  });
  const mounted = namesOfMounts(paths.staging);
  const retired: string[] = [];
  const failed: FailedEntry[] = [];
  for (const name of left) {
    const path = join(paths.staging, name);
    try {
      if (mounted.has(name)) await letGoOfMounts(path, syscalls);
      sweeper.retire(path, 'staging');
      retired.push(path);
    } catch (error) {
      failed.push(failedEntry(error, 'remove what a dead process left', path));
    }
  }
  return { pulls: dead, retired, failed };
}

async function letGoOfMounts(path: string, syscalls: Syscalls): Promise<void> {
  try {
    await letGoOfTree(syscalls, path);
  } catch (error) {
    // The sweep says what is still mounted, deletes nothing of it, and tries again later; without native calls it would not see all mounts.
    if (!isProvisionerError(error, 'ERR_PERMISSION') || syscalls.kind === 'native-free') throw error;
  }
}

/** What stands in a directory and has something mounted on it, or in it. */
function namesOfMounts(directory: string): ReadonlySet<string> {
  const real = realpathSync(directory);
  return new Set(mountsBelow(real).map((path) => path.slice(real.length + 1).split('/', 1)[0] ?? ''));
}
