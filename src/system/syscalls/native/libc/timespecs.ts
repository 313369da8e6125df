import type { FileTime } from '../../syscalls.js';

const words = new BigInt64Array(4);
const bytes = new Uint8Array(words.buffer);

/** `struct timespec[2]` for futimens and utimensat; good until the next call. @see utimensat(2) */
export function timespecs(accessed: FileTime, modified: FileTime): Uint8Array {
  words[0] = BigInt(accessed.seconds);
  words[1] = BigInt(accessed.nanoseconds);
  words[2] = BigInt(modified.seconds);
  words[3] = BigInt(modified.nanoseconds);
  return bytes;
}
