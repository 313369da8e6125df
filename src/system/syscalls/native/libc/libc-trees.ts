import { koffi } from '../../../koffi.js';

const libc = koffi.load(null);

export const statx = libc.func('int statx(int, const char *, int, uint, void *)') as (
  directory: number,
  path: string | Buffer,
  flags: number,
  mask: number,
  status: Uint8Array,
) => number;
export const copyFileRange = libc.func('long copy_file_range(int, void *, int, void *, ulong, uint)') as (
  from: number,
  fromOffset: null,
  to: number,
  toOffset: null,
  length: number,
  flags: number,
) => number;
export const read = libc.func('long read(int, void *, ulong)') as (
  descriptor: number,
  bytes: Uint8Array,
  length: number,
) => number;
export const lseek = libc.func('int64 lseek(int, int64, int)') as (
  descriptor: number,
  offset: number,
  whence: number,
) => number;
/** The same for positions in a directory, which are no numbers of bytes and take all 64 bits (ext4). */
export const lseekFar = libc.func('int64 lseek(int, int64, int)') as (
  descriptor: number,
  offset: bigint,
  whence: number,
) => number | bigint;
/** ioctl(2) with a number as its argument, as FICLONE takes one. */
export const ioctl = libc.func('int ioctl(int, ulong, ulong)') as (
  descriptor: number,
  request: number,
  argument: number,
) => number;
/** The same with memory that the kernel reads or writes. */
export const ioctlOn = libc.func('int ioctl(int, ulong, void *)') as (
  descriptor: number,
  request: number,
  argument: Uint8Array,
) => number;
export const readlinkat = libc.func('long readlinkat(int, const char *, void *, ulong)') as (
  directory: number,
  path: string | Buffer,
  target: Uint8Array,
  size: number,
) => number;
export const flistxattr = libc.func('long flistxattr(int, void *, ulong)') as (
  descriptor: number,
  names: Uint8Array,
  size: number,
) => number;
export const fgetxattr = libc.func('long fgetxattr(int, const char *, void *, ulong)') as (
  descriptor: number,
  name: string | Buffer,
  value: Uint8Array,
  size: number,
) => number;
export const fsetxattr = libc.func('int fsetxattr(int, const char *, const void *, ulong, int)') as (
  descriptor: number,
  name: string | Buffer,
  value: Uint8Array,
  size: number,
  flags: number,
) => number;
export const fremovexattr = libc.func('int fremovexattr(int, const char *)') as (
  descriptor: number,
  name: string | Buffer,
) => number;
export const lremovexattr = libc.func('int lremovexattr(const char *, const char *)') as (
  path: string | Buffer,
  name: string | Buffer,
) => number;

/** Older C libraries have no function for it, so it goes by its number, which differs from machine to machine. */
const GETDENTS64: Partial<Record<NodeJS.Architecture, number>> = { x64: 217, ppc64: 202, s390x: 220 };
const getdents64Number = GETDENTS64[process.arch] ?? 61;
/** Calls on names and memory given by their addresses, which saves koffi from looking at what it is given. */
const syscallAt = libc.func('long syscall(long, int, uintptr_t, ulong)') as (...values: number[]) => number;
export const getdents64At = (descriptor: number, address: number, size: number): number =>
  syscallAt(getdents64Number, descriptor, address, size);
export const statxAt = libc.func('int statx(int, uintptr_t, int, uint, uintptr_t)') as (
  directory: number,
  name: number,
  flags: number,
  mask: number,
  status: number,
) => number;
export const unlinkNameAt = libc.func('int unlinkat(int, uintptr_t, int)') as (
  directory: number,
  name: number,
  flags: number,
) => number;
/** By number as well: musl has had no function for it for long. */
const RENAMEAT2: Partial<Record<NodeJS.Architecture, number>> = { x64: 316, ppc64: 357, s390x: 347 };
const renameat2Number = RENAMEAT2[process.arch] ?? 276;
const rawRenameat2 = libc.func('long syscall(long, long, const char *, long, const char *, long)') as (
  ...values: unknown[]
) => number;
export const renameat2 = (from: number, path: string, to: number, toPath: string, flags: number): number =>
  rawRenameat2(renameat2Number, from, path, to, toPath, flags);

export const AT_EMPTY_PATH = 0x1000;
export const SEEK_SET = 0;
export const SEEK_DATA = 3;
export const SEEK_HOLE = 4;
/** On ppc64 the direction bits of ioctl numbers lie elsewhere; no Node is built for the others that differ. */
export const FICLONE = process.arch === 'ppc64' ? 0x80049409 : 0x40049409;
