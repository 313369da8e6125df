import { realpathSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Liveness } from '../locks/liveness.js';
import { makerOf, PROBE } from '../locks/process-identity.js';
import type { MetadataManager } from '../metadata/metadata-manager.js';
import type { StorePaths } from '../paths.js';
import { mountsBelow } from '../syscalls/mount-table.js';
import type { Syscalls } from '../syscalls/syscalls.js';
import type { Sweeper } from './sweeper.js';

export interface ReconciledStaging {
  /** Pulls whose process is dead. */
  readonly pulls: readonly string[];
  /** What was retired. */
  readonly retired: readonly string[];
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
  const real = realpathSync(paths.staging);
  const retired = names.filter((name) => {
    const path = join(paths.staging, name);
    const prober = makerOf(name, PROBE);
    if (living.has(name) || (prober !== undefined && isAlive(prober))) return false;
    for (const mount of mountsBelow(join(real, name))) syscalls.detachMount(mount);
    sweeper.retire(path, 'staging');
    return true;
  });
  return { pulls: dead, retired: retired.map((name) => join(paths.staging, name)) };
}
