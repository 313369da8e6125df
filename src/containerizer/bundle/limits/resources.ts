import { DEFAULT_PIDS } from '../../cgroups/limits/check-limits.js';
import { type DiskLimit, RATES } from '../../cgroups/limits/disk-limits.js';
import type { DeviceNode } from '../../devices/device-edits.js';
import type { LaunchLimits } from '../../launch-spec.js';
import type {
  RuntimeSpecBlockIo,
  RuntimeSpecDeviceRule,
  RuntimeSpecRate,
  RuntimeSpecResources,
} from '../runtime-spec.js';

/** Microseconds; what the kernel begins with. @see the kernel's documentation, scheduler/sched-bwc.rst */
const PERIOD = 100_000;

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

/** Whether every container has a device of these numbers. */
export const isEverybodys = ({ type, major, minor }: Pick<DeviceNode, 'type' | 'major' | 'minor'>): boolean =>
  type === 'c' && NUMBERED.some(([one, other = minor]) => one === major && other === minor);

/**
 * Nothing but those which every container has. Runtimes add a list of their own behind all rules, which no rule of ours takes back: by it nodes of any device can be made, though not opened, by who has
 * the capability for it (MKNOD, which has to be asked for), and with runc, but for 1.2.0 to 1.2.3, `tun` (10:200) can be used.
 * @see runc, `libcontainer/specconv`, `AllowedDevices`; crun, `libcontainer/cgroup-resources.c`, `default_devices`
 */
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

/** A FIFO has no number that could be let through. */
function ruleOf({ type, major, minor, access }: DeviceNode): RuntimeSpecDeviceRule[] {
  return type === 'p' || access === '' ? [] : [{ allow: true, type, major, minor, access }];
}

/**
 * What the runtime writes into the cgroups of a container.
 * @param limits that `checkLimits` has let pass @param countsSwap whether the machine counts swap: where it does not, nothing about it can be written, and nothing has to be @param nodes that it has beside those of every container @param disks with limits
 */
export function resourcesOf(
  limits: LaunchLimits,
  countsSwap: boolean,
  nodes: readonly DeviceNode[] = [],
  disks: readonly DiskLimit[] = [],
): RuntimeSpecResources {
  const { memoryBytes, memorySwapBytes = memoryBytes, cpus, cpuset, pids = DEFAULT_PIDS } = limits;
  const cpu = {
    ...(cpus === undefined ? {} : { quota: Math.round(cpus * PERIOD), period: PERIOD }),
    ...(cpuset === undefined ? {} : { cpus: cpuset }),
  };
  return {
    devices: [...DEVICES, ...nodes.flatMap(ruleOf)],
    pids: { limit: pids },
    ...(memoryBytes !== undefined && {
      memory: { limit: memoryBytes, ...(countsSwap && memorySwapBytes !== undefined && { swap: memorySwapBytes }) },
    }),
    ...(Object.keys(cpu).length > 0 && { cpu }),
    ...(disks.length > 0 && { blockIO: blockIoOf(disks) }),
  };
}

function blockIoOf(disks: readonly DiskLimit[]): RuntimeSpecBlockIo {
  const limited = RATES.map((name): [string, RuntimeSpecRate[]] => [
    THROTTLES[name],
    disks.flatMap(({ major, minor, [name]: rate }) => (rate === undefined ? [] : [{ major, minor, rate }])),
  ]);
  return Object.fromEntries(limited.filter(([, rates]) => rates.length > 0));
}

const THROTTLES = {
  readBps: 'throttleReadBpsDevice',
  writeBps: 'throttleWriteBpsDevice',
  readIops: 'throttleReadIOPSDevice',
  writeIops: 'throttleWriteIOPSDevice',
} as const;
