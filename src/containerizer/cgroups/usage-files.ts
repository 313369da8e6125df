import type { BytePath } from '../../system/syscalls/byte-path.js';

/** What the files of a cgroup tell of its use, in either version. What the kernel does not tell, or the cgroup is not there for, is undefined. */
export interface UsageFiles {
  /** With what the page cache holds for it. */
  memory(directory: BytePath): MemoryUsage;
  peakMemoryBytes(directory: BytePath): number | undefined;
  /** Processes killed for want of memory, in it and below it, whoever's limit it was. */
  oomKills(directory: BytePath): number | undefined;
  /** Used by what is in it and below it, and was. */
  cpuNanoseconds(directory: BytePath): number | undefined;
  throttling(directory: BytePath): Throttling;
  io(directory: BytePath): InputOutput;
}

export interface MemoryUsage {
  readonly memoryBytes: number | undefined;
  /** Undefined where there is none. */
  readonly memoryLimitBytes: number | undefined;
}

export interface Throttling {
  /** Periods in which it wanted more processor time than it may have. */
  readonly throttledPeriods: number | undefined;
  /** How long its processes were kept waiting for that, all together. */
  readonly throttledNanoseconds: number | undefined;
}

export interface InputOutput {
  readonly readBytes: number | undefined;
  readonly writtenBytes: number | undefined;
}
