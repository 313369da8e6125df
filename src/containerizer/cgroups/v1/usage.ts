import type { BytePath } from '../../../system/syscalls/byte-path.js';
import { childrenOf, readCgroupFile } from '../cgroup-files.js';
import { numberOf, parseLimit, parseNumber, sum } from '../numbers.js';
import type { UsageFiles } from '../usage-files.js';

/** @see Linux, Documentation/admin-guide/cgroup-v1: memory.rst, cpuacct.rst, blkio-controller.rst; scheduler/sched-bwc.rst */
export const usageV1: UsageFiles = {
  memory: (directory) => ({
    memoryBytes: parseNumber(readCgroupFile(`${directory}/memory.usage_in_bytes`)),
    memoryLimitBytes: parseLimit(readCgroupFile(`${directory}/memory.limit_in_bytes`)),
  }),
  peakMemoryBytes: (directory) => parseNumber(readCgroupFile(`${directory}/memory.max_usage_in_bytes`)),
  oomKills,
  cpuNanoseconds: (directory) => parseNumber(readCgroupFile(`${directory}/cpuacct.usage`)),
  throttling: (directory) => {
    const text = readCgroupFile(`${directory}/cpu.stat`);
    return {
      throttledPeriods: numberOf(text, 'nr_throttled'),
      throttledNanoseconds: numberOf(text, 'throttled_time'),
    };
  },
  io: (directory) => {
    // Without a device that has ever been used there is one line, `Total 0`.
    const text = readCgroupFile(`${directory}/blkio.throttle.io_service_bytes_recursive`);
    return { readBytes: total(text, 'Read'), writtenBytes: total(text, 'Write') };
  },
};

/** Each cgroup counts its own alone, so those below it are added. Kernels before 4.13 count none. */
function oomKills(directory: BytePath): number | undefined {
  const own = numberOf(readCgroupFile(`${directory}/memory.oom_control`), 'oom_kill');
  return childrenOf(directory).reduce((killed, child) => sum(killed, oomKills(`${directory}/${child}`)), own);
}

/** Of lines such as `8:0 Read 4096`. */
function total(text: string | undefined, kind: 'Read' | 'Write'): number | undefined {
  if (text === undefined) return undefined;
  let bytes = 0;
  for (const [, number] of text.matchAll(new RegExp(`^\\S+ ${kind} (\\d+)$`, 'gm'))) bytes += Number(number);
  return bytes;
}
