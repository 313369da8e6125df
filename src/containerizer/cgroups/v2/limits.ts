import { readCgroupFile, writeIfThere } from '../cgroup-files.js';
import { RATES } from '../limits/disk-limits.js';
import { type LimitFiles, type LimitWrite, writeOf } from '../limits/limit-files.js';
import { parseLimit, parseNumber } from '../numbers.js';

const USUAL_PERIOD_MICROSECONDS = 100_000;

const WORDS = { readBps: 'rbps', writeBps: 'wbps', readIops: 'riops', writeIops: 'wiops' } as const;

/** @see Linux, Documentation/admin-guide/cgroup-v2.rst, "Controllers" */
export const limitFilesV2: LimitFiles = {
  memory: (directory, { memoryBytes, memorySwapBytes }) => {
    const memory = writeOf('memoryBytes', `${directory}/memory.max`, memoryBytes);
    if (memory === undefined) return undefined;
    const memoryWrites = memoryBytes === undefined ? [] : [memory];
    const least = memoryBytes ?? parseLimit(memory.before);
    const together = memorySwapBytes ?? memoryBytes;
    // Here swap has a limit of its own.
    const alone =
      together === -1 ? 'max' : together === undefined || least === undefined ? undefined : together - least;
    const swap = writeOf(
      memorySwapBytes === undefined ? 'memoryBytes' : 'memorySwapBytes',
      `${directory}/memory.swap.max`,
      alone,
    );
    return swap === undefined || alone === undefined ? memoryWrites : [...memoryWrites, swap];
  },
  cpus: (directory, cpus) => {
    const file = `${directory}/cpu.max`;
    const period = parseNumber(readCgroupFile(file)?.split(' ')[1]) ?? USUAL_PERIOD_MICROSECONDS;
    return listOf(writeOf('cpus', file, `${Math.round(cpus * period)} ${period}`));
  },
  cpuset: (directory, cpuset) => listOf(writeOf('cpuset', `${directory}/cpuset.cpus`, cpuset)),
  pids: (directory, pids) => listOf(writeOf('pids', `${directory}/pids.max`, pids === -1 ? 'max' : pids)),
  disks: (directory, disks) => {
    const writes = disks.map(({ major, minor, ...rates }) => {
      const given = RATES.filter((name) => rates[name] !== undefined);
      const disk = `${major}:${minor}`;
      const value = given.map((name) => `${WORDS[name]}=${rates[name] || 'max'}`).join(' ');
      const write = writeOf('io', `${directory}/io.max`, `${disk} ${value}`);
      const line = write?.before.split('\n').find((one) => one.startsWith(`${disk} `)) ?? '';
      const before = new Map(line.split(' ').map((word) => word.split('=') as [string, string]));
      const restored = given.map((name) => `${WORDS[name]}=${before.get(WORDS[name]) ?? 'max'}`).join(' ');
      return write && { ...write, before: `${disk} ${restored}` };
    });
    return writes.includes(undefined) ? undefined : (writes as LimitWrite[]);
  },
  shrink: (directory, memoryBytes) => {
    const used = parseNumber(readCgroupFile(`${directory}/memory.current`));
    if (used === undefined || used <= memoryBytes) return used;
    try {
      // Since Linux 5.19. EAGAIN: not all of it could be had.
      writeIfThere(`${directory}/memory.reclaim`, `${used - memoryBytes}`);
    } catch {
      // What is in use after that is what decides.
    }
    return parseNumber(readCgroupFile(`${directory}/memory.current`));
  },
};

function listOf(write: LimitWrite | undefined): readonly LimitWrite[] | undefined {
  return write === undefined ? undefined : [write];
}
