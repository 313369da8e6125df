import { readCgroupFile } from '../cgroup-files.js';
import { RATES } from '../limits/disk-limits.js';
import { type LimitFiles, type LimitWrite, writeOf } from '../limits/limit-files.js';
import { parseLimit, parseNumber } from '../numbers.js';

/** What the kernel says and reads for 100 ms, the period that runtimes write. */
const USUAL_PERIOD_MICROSECONDS = 100_000;

const THROTTLE = {
  readBps: 'blkio.throttle.read_bps_device',
  writeBps: 'blkio.throttle.write_bps_device',
  readIops: 'blkio.throttle.read_iops_device',
  writeIops: 'blkio.throttle.write_iops_device',
} as const;

/** @see Linux, Documentation/admin-guide/cgroup-v1: memory.rst, cpusets.rst, pids.rst, blkio-controller.rst; scheduler/sched-bwc.rst */
export const limitFilesV1: LimitFiles = {
  memory: (directory, { memoryBytes, memorySwapBytes }) => {
    const memory = writeOf('memoryBytes', `${directory}/memory.limit_in_bytes`, memoryBytes);
    if (memory === undefined) return undefined;
    const together = memorySwapBytes ?? memoryBytes;
    const swap = writeOf(
      memorySwapBytes === undefined ? 'memoryBytes' : 'memorySwapBytes',
      `${directory}/memory.memsw.limit_in_bytes`,
      together,
    );
    const memoryWrites = memoryBytes === undefined ? [] : [memory];
    // A kernel that does not count swap has no such file.
    if (swap === undefined || together === undefined) return memoryWrites;
    // Both together may never be less than memory alone, at no time: so they are raised first, and lowered last. Putting back goes the same way backwards.
    const now = parseLimit(swap.before) ?? Number.POSITIVE_INFINITY;
    const raised = together === -1 || together >= now;
    return raised ? [swap, ...memoryWrites] : [...memoryWrites, swap];
  },
  cpus: (directory, cpus) => {
    const period = parseNumber(readCgroupFile(`${directory}/cpu.cfs_period_us`)) ?? USUAL_PERIOD_MICROSECONDS;
    return listOf(writeOf('cpus', `${directory}/cpu.cfs_quota_us`, Math.round(cpus * period)));
  },
  cpuset: (directory, cpuset) => listOf(writeOf('cpuset', `${directory}/cpuset.cpus`, cpuset)),
  pids: (directory, pids) => listOf(writeOf('pids', `${directory}/pids.max`, pids === -1 ? 'max' : pids)),
  disks: (directory, disks) => {
    const writes = disks.flatMap(({ major, minor, ...rates }) =>
      RATES.flatMap((name) => {
        const rate = rates[name];
        if (rate === undefined) return [];
        const disk = `${major}:${minor}`;
        const file = `${directory}/${THROTTLE[name]}`;
        const write = writeOf('io', file, `${disk} ${rate}`);
        const line = write?.before.split('\n').find((one) => one.startsWith(`${disk} `));
        return [write && { ...write, before: line ?? `${disk} 0` }];
      }),
    );
    return writes.includes(undefined) ? undefined : (writes as LimitWrite[]);
  },
  // It answers EBUSY, after having tried the same.
  shrink: () => undefined,
};

function listOf(write: LimitWrite | undefined): readonly LimitWrite[] | undefined {
  return write === undefined ? undefined : [write];
}
