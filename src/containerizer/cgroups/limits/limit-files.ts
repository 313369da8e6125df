import type { BytePath } from '../../../system/syscalls/byte-path.js';
import type { LaunchLimits } from '../../launch-spec.js';
import { readCgroupFile } from '../cgroup-files.js';
import type { DiskLimit } from './disk-limits.js';

/** One file to write, with what puts it back. */
export interface LimitWrite {
  readonly limit: keyof LaunchLimits;
  readonly file: BytePath;
  readonly value: string;
  readonly before: string;
}

/** Memory and swap together, as they are to be. */
export interface MemoryLimits {
  /** Undefined: as it is. */
  readonly memoryBytes: number | undefined;
  /** -1: no limit. Undefined: as much as memory, when that is given. */
  readonly memorySwapBytes: number | undefined;
}

/**
 * Which files say a limit, in either version, in the order in which the kernel takes them. None is written here.
 * All give undefined where the cgroup is not there.
 */
export interface LimitFiles {
  memory(directory: BytePath, limits: MemoryLimits): readonly LimitWrite[] | undefined;
  cpus(directory: BytePath, cpus: number): readonly LimitWrite[] | undefined;
  cpuset(directory: BytePath, cpuset: string): readonly LimitWrite[] | undefined;
  /** @param pids -1: no limit */
  pids(directory: BytePath, pids: number): readonly LimitWrite[] | undefined;
  /** @param disks rates of 0: no limit any more */
  disks(directory: BytePath, disks: readonly DiskLimit[]): readonly LimitWrite[] | undefined;
  /** Asks the kernel to let go of what can be had again, so that memory goes down to this. @returns how much is in use after that; undefined where the kernel itself refuses to go below it */
  shrink(directory: BytePath, memoryBytes: number): number | undefined;
}

/** @returns undefined where the file, or the cgroup, is not there */
export function writeOf(
  limit: LimitWrite['limit'],
  file: BytePath,
  value: string | number | undefined,
): LimitWrite | undefined {
  const before = readCgroupFile(file)?.trim();
  return before === undefined ? undefined : { limit, file, value: `${value}`, before };
}
