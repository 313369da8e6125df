import type { BigIntStats } from 'node:fs';

/** What `mknod` can make of it. */
export function typeOf(status: BigIntStats): 'b' | 'c' | 'p' | undefined {
  if (status.isCharacterDevice()) return 'c';
  if (status.isBlockDevice()) return 'b';
  return status.isFIFO() ? 'p' : undefined;
}

/** @see makedev(3) */
export function numbersOf(device: bigint): { readonly major: number; readonly minor: number } {
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & 0xfffff000n);
  const minor = (device & 0xffn) | ((device >> 12n) & 0xffffff00n);
  return { major: Number(major), minor: Number(minor) };
}

/** The most that the kernel has of each; a runtime that is given more makes another device of it, or fails. @see the kernel's `MINORBITS` */
export const MAJOR_MAX = 2 ** 12 - 1;
export const MINOR_MAX = 2 ** 20 - 1;
