import { ProvisionerError } from '../../../base/errors.js';
import type { LaunchLimits } from '../../launch-spec.js';
import type { RuntimeSpecDeviceRule, RuntimeSpecResources } from '../runtime-spec.js';
import { parseCpuList } from './cpu-list.js';

const DEFAULT_PIDS = 4096;
/** With less crun ends before the program begins. */
const LEAST_MEMORY = 6 * 1024 * 1024;
/** Microseconds; what the kernel begins with. @see the kernel's documentation, scheduler/sched-bwc.rst */
const PERIOD = 100_000;
/** Microseconds; the kernel refuses less. */
const LEAST_QUOTA = 1000;

const NUMBERED: readonly (readonly [major: number, minor?: number])[] = [
  [1, 3], // null
  [1, 5], // zero
  [1, 7], // full
  [1, 8], // random
  [1, 9], // urandom
  [5, 0], // tty
  [5, 1], // console
  [5, 2], // ptmx
  [136], // pts
];

/** Nothing but those which every container has; no node can be made of another one either. */
const DEVICES: readonly RuntimeSpecDeviceRule[] = [
  { allow: false, access: 'rwm' },
  ...NUMBERED.map(([major, minor]) => ({
    allow: true,
    type: 'c' as const,
    major,
    ...(minor === undefined ? {} : { minor }),
    access: 'rwm',
  })),
];

/**
 * @param onlineCpus of this machine
 * @throws ProvisionerError `ERR_LIMIT_INVALID` for what is below what works, or not there
 */
export function resourcesOf(limits: LaunchLimits, onlineCpus: readonly number[]): RuntimeSpecResources {
  const memory = memoryOf(limits);
  const cpu = { ...quotaOf(limits.cpus, onlineCpus), ...cpusetOf(limits.cpuset, onlineCpus) };
  return {
    devices: DEVICES,
    pids: { limit: pidsOf(limits.pids) },
    ...(memory && { memory }),
    ...(Object.keys(cpu).length > 0 && { cpu }),
  };
}

function memoryOf({ memoryBytes, memorySwapBytes }: LaunchLimits): RuntimeSpecResources['memory'] {
  if (memoryBytes === undefined) {
    if (memorySwapBytes === undefined) return undefined;
    throw invalid('memorySwapBytes', memorySwapBytes, 'goes with memoryBytes only, which it includes');
  }
  if (!Number.isSafeInteger(memoryBytes) || memoryBytes < LEAST_MEMORY)
    throw invalid('memoryBytes', memoryBytes, `must be a whole number from ${LEAST_MEMORY} (6 MiB) on`);
  const swap = memorySwapBytes ?? memoryBytes;
  if (swap !== -1 && (!Number.isSafeInteger(swap) || swap < memoryBytes))
    throw invalid(
      'memorySwapBytes',
      swap,
      'counts memory and swap together: it must be a whole number not below memoryBytes, or -1',
    );
  return { limit: memoryBytes, swap };
}

function quotaOf(cpus: number | undefined, onlineCpus: readonly number[]): { quota?: number; period?: number } {
  if (cpus === undefined) return {};
  const quota = Math.round(cpus * PERIOD);
  if (!(quota >= LEAST_QUOTA && cpus <= onlineCpus.length))
    throw invalid('cpus', cpus, `must be a number from 0.01 to ${onlineCpus.length}, the processors of this machine`);
  return { quota, period: PERIOD };
}

function cpusetOf(cpuset: string | undefined, onlineCpus: readonly number[]): { cpus?: string } {
  if (cpuset === undefined) return {};
  const numbers = parseCpuList(cpuset);
  if (numbers === undefined) throw invalid('cpuset', cpuset, 'must be a list such as `0-2,7`');
  const absent = numbers.filter((number) => !onlineCpus.includes(number));
  if (absent.length > 0)
    throw invalid('cpuset', cpuset, `names processors that are not there: this machine has ${onlineCpus.join(', ')}`);
  return { cpus: cpuset };
}

function pidsOf(pids = DEFAULT_PIDS): number {
  if (pids === -1 || (Number.isSafeInteger(pids) && pids >= 1)) return pids;
  throw invalid('pids', pids, 'must be a whole number from 1 on, or -1 for no limit');
}

function invalid(name: keyof LaunchLimits, value: number | string, why: string): ProvisionerError {
  return new ProvisionerError('ERR_LIMIT_INVALID', `the limit ${name}=${value} ${why}`, {
    details: { limit: name, value },
  });
}
