import { ProvisionerError } from '../../../base/errors.js';
import type { LaunchLimits } from '../../launch-spec.js';
import type { Controller, Hierarchies } from '../hierarchies.js';
import { parseCpuList, printCpuList } from './cpu-list.js';
import { findDisks } from './disk-limits.js';
import type { MachineFacts } from './machine-facts.js';

const MIB = 1024 * 1024;

/** With less, the runtime itself is killed before the program starts. Docker and podman ask for as much. */
const LEAST_MEMORY_BYTES = 6 * MIB;

/** File systems count directories too, and in blocks. */
const LEAST_DISK_BYTES = MIB;

/** A hundredth of the period of 100 ms: less than 1 ms the kernel does not take. As Docker has it. @see Linux, kernel/sched/core.c, min_cfs_quota_period */
const LEAST_CPUS = 0.01;

/** What a container may have that says nothing of it. */
export const DEFAULT_PIDS = 4096;

/** Whether a container is begun, or one that runs gets other limits. */
export interface CheckLimitsOptions {
  /** What is left out stays as it is: no default is checked, and swap may come without memory. Default: false. */
  readonly update?: boolean | undefined;
}

/**
 * Refuses what would be silently ignored, or refused only by the kernel with the container half made. Nothing is changed.
 * @param limits `undefined`: the defaults, which have to be kept too
 * @throws ProvisionerError `ERR_LIMIT_INVALID` for what is no limit, with `limit` and `value`; `ERR_LIMIT_UNSUPPORTED` for what cannot be kept here, with `limit`,
 *   `controller` and `reason`; for disks `ERR_NO_BLOCK_DEVICE`, `ERR_DEVICE_NOT_FOUND`
 */
export function checkLimits(
  limits: LaunchLimits | undefined,
  hierarchies: Hierarchies,
  machine: MachineFacts,
  { update = false }: CheckLimitsOptions = {},
): void {
  const asked = limits ?? {};
  checkMemory(asked, update);
  if (asked.diskBytes !== undefined) checkDiskBytes(asked.diskBytes);
  checkDiskOn(asked, update);
  checkCpus(asked, machine);
  const cpuset = checkCpuset(asked, machine);
  const pids = asked.pids ?? (update ? undefined : DEFAULT_PIDS);
  if (pids !== undefined) {
    // More than a kernel can number is no limit, and it refuses it.
    if (pids !== -1) checkWhole('pids', pids, 1, 4_194_304);
    if (pids !== -1)
      needs(hierarchies, 'pids', 'pids', asked.pids === undefined ? 'say `pids: -1` to have no limit' : undefined);
  }
  if (asked.memoryBytes !== undefined) needs(hierarchies, 'memoryBytes', 'memory');
  if (asked.memoryBytes !== undefined || asked.memorySwapBytes !== undefined)
    checkSwapKept(asked, hierarchies, machine);
  if (asked.cpus !== undefined) needs(hierarchies, 'cpus', 'cpu');
  if (asked.io !== undefined && asked.io.length > 0) {
    needs(hierarchies, 'io', 'io');
    findDisks(asked.io, update);
  }
  if (asked.cpuset !== undefined) {
    needs(hierarchies, 'cpuset', 'cpuset');
    const outside = (cpuset ?? []).filter((each) => !machine.usableCpus.includes(each));
    if (outside.length > 0) {
      const reason = `containers may use ${printCpuList(machine.usableCpus)} here, not ${printCpuList(outside)}`;
      throw unsupported('cpuset', 'cpuset', reason);
    }
  }
}

function checkMemory({ memoryBytes, memorySwapBytes }: LaunchLimits, update: boolean): void {
  if (memoryBytes !== undefined) checkWhole('memoryBytes', memoryBytes, LEAST_MEMORY_BYTES, Number.MAX_SAFE_INTEGER);
  if (memorySwapBytes === undefined || memorySwapBytes === -1) return;
  checkWhole('memorySwapBytes', memorySwapBytes, LEAST_MEMORY_BYTES, Number.MAX_SAFE_INTEGER);
  if (memoryBytes === undefined && !update)
    throw invalid(
      'memorySwapBytes',
      memorySwapBytes,
      'it is memory and swap together, so `memoryBytes` has to be given too',
    );
  if (memoryBytes !== undefined && memorySwapBytes < memoryBytes)
    throw invalid('memorySwapBytes', memorySwapBytes, `it is memory and swap together, so at least ${memoryBytes}`);
}

/** @throws ProvisionerError `ERR_LIMIT_INVALID` */
export function checkDiskBytes(diskBytes: number): void {
  checkWhole('diskBytes', diskBytes, LEAST_DISK_BYTES, Number.MAX_SAFE_INTEGER);
}

function checkDiskOn({ diskBytes, diskOn }: LaunchLimits, update: boolean): void {
  if (diskOn === undefined) return;
  if (update) throw invalid('diskOn', diskOn, 'chosen when a container is launched, and stays so');
  if (diskOn === 'memory' && diskBytes === undefined)
    throw invalid('diskOn', diskOn, 'where a limit is kept, so `diskBytes` has to be given too');
}

function checkCpus({ cpus }: LaunchLimits, { onlineCpus }: MachineFacts): void {
  if (cpus === undefined) return;
  // Written so that NaN is out of bounds too.
  if (!(cpus >= LEAST_CPUS && cpus <= onlineCpus.length))
    throw invalid('cpus', cpus, `between ${LEAST_CPUS} and ${onlineCpus.length}, as many as are online`);
}

function checkCpuset({ cpuset }: LaunchLimits, { onlineCpus }: MachineFacts): readonly number[] | undefined {
  if (cpuset === undefined) return undefined;
  const wanted = parseCpuList(cpuset);
  if (wanted === undefined || cpuset !== cpuset.trim()) throw invalid('cpuset', cpuset, 'a list such as `0-2,7`');
  const absent = wanted.filter((each) => !onlineCpus.includes(each));
  if (absent.length > 0)
    throw invalid('cpuset', cpuset, `of ${printCpuList(onlineCpus)}, which are online; ${printCpuList(absent)} is not`);
  return wanted;
}

/** Without its being counted, swap can only be left to whoever wants it; where there is none, that is the same as a limit. */
function checkSwapKept(limits: LaunchLimits, hierarchies: Hierarchies, machine: MachineFacts): void {
  if (limits.memorySwapBytes === -1) return;
  needs(hierarchies, limits.memoryBytes === undefined ? 'memorySwapBytes' : 'memoryBytes', 'memory');
  if (machine.countsSwap || machine.swapBytes === 0) return;
  throw unsupported(
    limits.memorySwapBytes === undefined ? 'memoryBytes' : 'memorySwapBytes',
    'memory',
    'the kernel does not count swap, and this machine has some',
    'boot with `swapaccount=1`, switch swap off, or say `memorySwapBytes: -1` to let the container have swap',
  );
}

function checkWhole(limit: keyof LaunchLimits, value: number, least: number, most: number): void {
  if (!Number.isSafeInteger(value) || value < least || value > most) {
    const none = limit === 'memoryBytes' || limit === 'diskBytes' ? '' : ', or -1 for no limit';
    throw invalid(limit, value, `a whole number from ${least} to ${most}${none}`);
  }
}

function needs(hierarchies: Hierarchies, limit: keyof LaunchLimits, controller: Controller, hint?: string): void {
  const state = hierarchies.controllers[controller];
  if (!state.usable) throw unsupported(limit, controller, state.reason, hint);
}

function invalid(limit: keyof LaunchLimits, value: number | string, allowed: string): ProvisionerError {
  return new ProvisionerError('ERR_LIMIT_INVALID', `${limit} cannot be ${JSON.stringify(String(value))}: ${allowed}`, {
    details: { limit, value: typeof value === 'number' && !Number.isFinite(value) ? String(value) : value },
  });
}

/** @param reason a clause */
export function unsupported(
  limit: keyof LaunchLimits,
  controller: Controller,
  reason: string,
  hint = 'leave the limit out, or give the controller to the machine, or to the container in which this runs',
): ProvisionerError {
  return new ProvisionerError(
    'ERR_LIMIT_UNSUPPORTED',
    `${limit} cannot be kept here, for the controller ${controller}: ${reason}`,
    {
      hint,
      details: { limit, controller, reason },
    },
  );
}
