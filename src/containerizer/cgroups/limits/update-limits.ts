import { ProvisionerError, systemCode } from '../../../base/errors.js';
import { type BytePath, printablePath } from '../../../system/syscalls/byte-path.js';
import type { LaunchLimits } from '../../launch-spec.js';
import { isGone, writeCgroupFile } from '../cgroup-files.js';
import type { Controller, Hierarchies } from '../hierarchies.js';
import { unsupported } from './check-limits.js';
import { findDisks } from './disk-limits.js';
import type { LimitFiles, LimitWrite } from './limit-files.js';

/** Where the cgroup has a controller, and how its limits are written there. */
export interface LimitPlace {
  readonly driver: { readonly limits: LimitFiles };
  readonly directory: BytePath;
}

/**
 * Writes limits one after the other; when one is not taken, those before it are put back, the last one first.
 * @param place of the cgroup, by controller @returns false when the cgroup went meanwhile @throws as `ContainerCgroup.update`
 */
export function updateLimits(
  limits: LaunchLimits,
  hierarchies: Hierarchies,
  place: (controller: Controller) => LimitPlace | undefined,
): boolean {
  const writes = planWrites(limits, hierarchies, place);
  const done: LimitWrite[] = [];
  for (const write of writes) {
    try {
      writeCgroupFile(write.file, write.value);
      done.push(write);
    } catch (error) {
      const notRestored = putBack(done);
      if (isGone(error)) return false;
      throw notTaken(error, write, notRestored);
    }
  }
  return true;
}

function planWrites(
  { memoryBytes, memorySwapBytes, cpus, cpuset, pids, io = [] }: LaunchLimits,
  hierarchies: Hierarchies,
  place: (controller: Controller) => LimitPlace | undefined,
): LimitWrite[] {
  const plan = (
    limit: keyof LaunchLimits,
    controller: Controller,
    read: (files: LimitFiles, directory: BytePath) => readonly LimitWrite[] | undefined,
  ): readonly LimitWrite[] => {
    const found = place(controller);
    const writes = found && read(found.driver.limits, found.directory);
    if (writes !== undefined) return writes;
    const state = hierarchies.controllers[controller];
    throw unsupported(
      limit,
      controller,
      state.usable ? 'the cgroup of the container was made without it' : state.reason,
    );
  };
  const writes: LimitWrite[] = [];
  // What the kernel is likely to refuse comes first, so that there is least to put back.
  if (memoryBytes !== undefined || memorySwapBytes !== undefined) {
    const limit = memoryBytes === undefined ? 'memorySwapBytes' : 'memoryBytes';
    writes.push(
      ...plan(limit, 'memory', (files, directory) => {
        if (memoryBytes !== undefined) refuseBelowUse(files, directory, memoryBytes);
        return files.memory(directory, { memoryBytes, memorySwapBytes });
      }),
    );
  }
  if (cpuset !== undefined) writes.push(...plan('cpuset', 'cpuset', (files, at) => files.cpuset(at, cpuset)));
  if (cpus !== undefined) writes.push(...plan('cpus', 'cpu', (files, at) => files.cpus(at, cpus)));
  if (pids !== undefined) writes.push(...plan('pids', 'pids', (files, at) => files.pids(at, pids)));
  if (io.length > 0) writes.push(...plan('io', 'io', (files, at) => files.disks(at, findDisks(io, true))));
  return writes;
}

function refuseBelowUse(files: LimitFiles, directory: BytePath, memoryBytes: number): void {
  const used = files.shrink(directory, memoryBytes);
  if (used === undefined || used <= memoryBytes) return;
  throw new ProvisionerError('ERR_LIMIT_UPDATE', `memoryBytes cannot become ${memoryBytes}: ${used} bytes are in use`, {
    hint: 'give it more than is in use, or let the program use less first',
    details: { limit: 'memoryBytes', path: printablePath(directory), errno: 'EBUSY', used, notRestored: [] },
  });
}

/** @returns the limits that could not be put back */
function putBack(done: readonly LimitWrite[]): string[] {
  return done.toReversed().flatMap(({ limit, file, before }) => {
    try {
      writeCgroupFile(file, before);
      return [];
    } catch (error) {
      return isGone(error) ? [] : [limit];
    }
  });
}

function notTaken(
  error: unknown,
  { limit, file, value }: LimitWrite,
  notRestored: readonly string[],
): ProvisionerError {
  const errno = systemCode(error) ?? 'unknown';
  const left = notRestored.length === 0 ? '' : `; ${notRestored.join(' and ')} could not be put back`;
  const reason = errno === 'EBUSY' ? 'more than that is in use' : `the kernel does not take ${value} (${errno})`;
  return new ProvisionerError('ERR_LIMIT_UPDATE', `${limit} cannot be changed: ${reason}${left}`, {
    cause: error,
    hint:
      errno === 'EBUSY'
        ? 'give it more than is in use, or let the program use less first'
        : 'the cgroup around it may allow less',
    details: { limit, path: printablePath(file), errno, notRestored },
  });
}
