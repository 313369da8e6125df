import { readCgroupFile } from '../cgroup-files.js';
import { numberOf, parseLimit, parseNumber } from '../numbers.js';
import type { UsageFiles } from '../usage-files.js';

const NANOSECONDS_PER_MICROSECOND = 1000;

/** @see Linux, Documentation/admin-guide/cgroup-v2.rst, "Controllers" */
export const usageV2: UsageFiles = {
  memory: (directory) => ({
    memoryBytes: parseNumber(readCgroupFile(`${directory}/memory.current`)),
    memoryLimitBytes: parseLimit(readCgroupFile(`${directory}/memory.max`)),
  }),
  // Since Linux 5.19.
  peakMemoryBytes: (directory) => parseNumber(readCgroupFile(`${directory}/memory.peak`)),
  // `memory.events` counts those below too. `oom` beside it is how often the limit was met, also where that killed nobody.
  oomKills: (directory) => numberOf(readCgroupFile(`${directory}/memory.events`), 'oom_kill'),
  cpuNanoseconds: (directory) => microseconds(readCgroupFile(`${directory}/cpu.stat`), 'usage_usec'),
  throttling: (directory) => {
    const text = readCgroupFile(`${directory}/cpu.stat`);
    return {
      throttledPeriods: numberOf(text, 'nr_throttled'),
      throttledNanoseconds: microseconds(text, 'throttled_usec'),
    };
  },
  io: (directory) => {
    const text = readCgroupFile(`${directory}/io.stat`);
    return { readBytes: total(text, 'rbytes'), writtenBytes: total(text, 'wbytes') };
  },
};

function microseconds(text: string | undefined, name: string): number | undefined {
  const value = numberOf(text, name);
  return value === undefined ? undefined : value * NANOSECONDS_PER_MICROSECOND;
}

/** Of lines such as `8:0 rbytes=4096 wbytes=0 rios=1 …`. */
function total(text: string | undefined, key: 'rbytes' | 'wbytes'): number | undefined {
  if (text === undefined) return undefined;
  let bytes = 0;
  for (const [, number] of text.matchAll(new RegExp(` ${key}=(\\d+)`, 'g'))) bytes += Number(number);
  return bytes;
}
