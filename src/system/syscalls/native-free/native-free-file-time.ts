import type { FileTime } from '../syscalls.js';

/** Node takes times as doubles, which keep about 200 ns. */
export function toSeconds({ seconds, nanoseconds }: FileTime): number {
  return seconds + nanoseconds / 1e9;
}
