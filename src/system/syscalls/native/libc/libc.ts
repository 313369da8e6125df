import { constants } from 'node:fs';
import { constants as os } from 'node:os';
import { koffi } from '../../../koffi.js';
import { type BytePath, printablePath } from '../../byte-path.js';
import { noteClosing, noteOpened } from '../../held-descriptors.js';
import { syscallError } from '../../syscalls.js';
import type { Turn } from '../aside.js';

if (process.platform !== 'linux') throw new Error('native system calls are made on Linux only');
if (!['x64', 'arm64', 'riscv64', 'loong64', 'ppc64', 's390x'].includes(process.arch)) {
  // struct timespec and off_t are 64 bits wide below.
  throw new Error(`native system calls need a 64-bit machine, this is ${process.arch}`);
}

// The running executable has the C library in it already, whichever that is and wherever it lies.
const libc = koffi.load(null);

// A path is a string, which koffi writes as UTF-8, or bytes that end with NUL (see `cPath`).
const rawOpenat = libc.func('int openat(int, const char *, int, uint)') as (
  directory: number,
  path: string | Buffer,
  flags: number,
  mode: number,
) => number;
export const openat = (directory: number, path: string | Buffer, flags: number, mode: number): number =>
  noteOpened(rawOpenat(directory, path, flags, mode));
const rawClose = libc.func('int close(int)') as (descriptor: number) => number;
export const close = (descriptor: number): number => rawClose(noteClosing(descriptor));
export const write = libc.func('long write(int, const void *, ulong)') as (
  descriptor: number,
  bytes: Uint8Array,
  length: number,
) => number;
export const fchown = libc.func('int fchown(int, uint, uint)') as (
  descriptor: number,
  uid: number,
  gid: number,
) => number;
export const fchmod = libc.func('int fchmod(int, uint)') as (descriptor: number, mode: number) => number;
export const futimens = libc.func('int futimens(int, const void *)') as (
  descriptor: number,
  times: Uint8Array,
) => number;
export const utimensat = libc.func('int utimensat(int, const char *, const void *, int)') as (
  directory: number,
  path: string | Buffer,
  times: Uint8Array,
  flags: number,
) => number;
export const mkdirat = libc.func('int mkdirat(int, const char *, uint)') as (
  directory: number,
  path: string | Buffer,
  mode: number,
) => number;
export const symlinkat = libc.func('int symlinkat(const char *, int, const char *)') as (
  target: string | Buffer,
  directory: number,
  path: string | Buffer,
) => number;
export const linkat = libc.func('int linkat(int, const char *, int, const char *, int)') as (
  fromDirectory: number,
  from: string | Buffer,
  toDirectory: number,
  to: string | Buffer,
  flags: number,
) => number;
export const mknodat = libc.func('int mknodat(int, const char *, uint, uint64)') as (
  directory: number,
  path: string | Buffer,
  mode: number,
  device: bigint,
) => number;
export const unlinkat = libc.func('int unlinkat(int, const char *, int)') as (
  directory: number,
  path: string | Buffer,
  flags: number,
) => number;
export const fchownat = libc.func('int fchownat(int, const char *, uint, uint, int)') as (
  directory: number,
  path: string | Buffer,
  uid: number,
  gid: number,
  flags: number,
) => number;
export const renameat = libc.func('int renameat(int, const char *, int, const char *)') as (
  fromDirectory: number,
  from: string | Buffer,
  toDirectory: number,
  to: string | Buffer,
) => number;
export const fchmodat = libc.func('int fchmodat(int, const char *, uint, int)') as (
  directory: number,
  path: string | Buffer,
  mode: number,
  flags: number,
) => number;
export const llistxattr = libc.func('long llistxattr(const char *, void *, ulong)') as (
  path: string | Buffer,
  names: Uint8Array,
  size: number,
) => number;
export const lgetxattr = libc.func('long lgetxattr(const char *, const char *, void *, ulong)') as (
  path: string | Buffer,
  name: string | Buffer,
  value: Uint8Array,
  size: number,
) => number;
export const lsetxattr = libc.func('int lsetxattr(const char *, const char *, const void *, ulong, int)') as (
  path: string | Buffer,
  name: string | Buffer,
  value: Uint8Array,
  size: number,
  flags: number,
) => number;
export const syncfs = libc.func('int syncfs(int)') as (descriptor: number) => number;
export const mount = libc.func('int mount(const char *, const char *, const char *, ulong, const char *)') as (
  source: string,
  target: string,
  type: string | null,
  flags: number,
  options: string | null,
) => number;
const rawUmount2 = libc.func('int umount2(const char *, int)');
export const umount2 = rawUmount2 as unknown as (target: string, flags: number) => number;
const rawUmount2Aside = rawUmount2.async as (...values: unknown[]) => void;
/** On another thread. @param judge as in `onOtherThread` */
export const umount2Aside = <T>(turn: Turn, target: string, flags: number, judge: (result: number) => T): Promise<T> =>
  onOtherThread(turn, judge, (done) => rawUmount2Aside(target, flags, done));
export const flock = libc.func('int flock(int, int)') as (descriptor: number, operation: number) => number;
/** Declared without its dots; see below. On 64-bit Linux the third argument is passed alike. */
export const fcntl = libc.func('int fcntl(int, int, void *)') as (
  descriptor: number,
  command: number,
  argument: Uint8Array,
) => number;
/**
 * Newer calls by number, which is the same on every architecture, because older C libraries do not wrap them. Each is declared with its
 * own arguments: a variadic call has its types parsed every time, which took a tenth of a provision. @see fsopen(2), syscall(2)
 */
const FSOPEN = 430;
const FSCONFIG = 431;
const FSMOUNT = 432;
export const FSCONFIG_CMD_CREATE = 6;
const MOVE_MOUNT = 429;
const rawFsopen = libc.func('long syscall(long, const char *, long)') as (...values: unknown[]) => number;
const fsconfigFunction = libc.func('long syscall(long, long, long, const char *, const char *, long)');
const rawFsconfig = fsconfigFunction as typeof rawFsopen;
const rawFsconfigAside = fsconfigFunction.async as (...values: unknown[]) => void;
const rawFsmount = libc.func('long syscall(long, long, long, long)') as typeof rawFsopen;
const rawMoveMount = libc.func('long syscall(long, long, const char *, long, const char *, long)') as typeof rawFsopen;
export const fsopen = (type: string, flags: number): number => rawFsopen(FSOPEN, type, flags);
export const fsconfig = (descriptor: number, command: number, key: string | null, value: string | null): number =>
  rawFsconfig(FSCONFIG, descriptor, command, key, value, 0);
/** `FSCONFIG_CMD_CREATE` on another thread. @param judge as in `onOtherThread` */
export const fsconfigCreateAside = <T>(turn: Turn, descriptor: number, judge: (result: number) => T): Promise<T> =>
  onOtherThread(turn, judge, (done) =>
    rawFsconfigAside(FSCONFIG, descriptor, FSCONFIG_CMD_CREATE, null, null, 0, done),
  );
export const fsmount = (descriptor: number, flags: number, attributes: number): number =>
  rawFsmount(FSMOUNT, descriptor, flags, attributes);
export const moveMount = (from: number, to: string, flags: number): number =>
  rawMoveMount(MOVE_MOUNT, from, '', AT_FDCWD, to, flags);

const OPENAT2 = 437;
const FCHMODAT2 = 452;
const rawOpenat2 = libc.func('long syscall(long, int, const char *, const void *, ulong)') as typeof rawFsopen;
/** @param how `struct open_how`: flags, mode, resolve */
export const openat2 = (directory: number, path: string | Buffer, how: BigUint64Array): number =>
  noteOpened(rawOpenat2(OPENAT2, directory, path, how, how.byteLength));
const rawFchmodat2 = libc.func('long syscall(long, int, const char *, uint, int)') as typeof rawFsopen;
export const AT_FDCWD = -100;
const O_CLOEXEC = 0o2000000;
const O_PATH = 0o10000000;
const RESOLVE_NO_XDEV = 0x01;
const RESOLVE_NO_MAGICLINKS = 0x02;
const RESOLVE_NO_SYMLINKS = 0x04;
const RESOLVE_BENEATH = 0x08;
const howToOpenBeneath = new BigUint64Array([
  BigInt(O_PATH | constants.O_DIRECTORY | O_CLOEXEC),
  0n,
  BigInt(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV),
]);
/**
 * Opens a directory, only to name it, on a way that does not leave `directory`, follows no symlink and enters no mount. Linux 5.6.
 * @see openat2(2)
 */
export const openDirectoryBeneath = (directory: number, path: string | Buffer): number =>
  openat2(directory, path, howToOpenBeneath);
const howToOpenPlain = new BigUint64Array([BigInt(O_PATH | O_CLOEXEC), 0n, BigInt(RESOLVE_NO_SYMLINKS)]);
/** Opens what is at an absolute path, only to name it, on a way that follows no symlink. Linux 5.6. @see openat2(2) */
export const openWithoutSymlinks = (path: string): number => openat2(AT_FDCWD, path, howToOpenPlain);
/** fchmodat with flags, which it has no place for. Linux 6.6. @see fchmodat2(2) */
export const fchmodat2 = (directory: number, path: string | Buffer, mode: number, flags: number): number =>
  rawFchmodat2(FCHMODAT2, directory, path, mode, flags);

export const AT_SYMLINK_NOFOLLOW = 0x100;
export const AT_REMOVEDIR = 0x200;

const CODES = new Map(Object.entries(os.errno).map(([name, value]) => [value, name]));
// Numbers of two names: the table gives either, and others ask for these.
for (const name of ['EAGAIN', 'ENOTSUP'] as const) CODES.set(os.errno[name], name);

/** The error of the call that has just failed on this thread. */
export function lastError(syscall: string, path?: BytePath): NodeJS.ErrnoException {
  return numberedError(koffi.errno(), syscall, path);
}

/** The error of a call that returns its number instead of leaving it in `errno`. */
export function numberedError(number: number, syscall: string, path?: BytePath): NodeJS.ErrnoException {
  return syscallError(CODES.get(number) ?? `E${number}`, syscall, path === undefined ? undefined : printablePath(path));
}

/**
 * The one place where calls are made on other threads.
 * @param _turn shows that its caller has one @param judge makes an outcome of the result, or throws; in it `lastErrno` and `lastError` tell of this call
 */
function onOtherThread<T>(
  _turn: Turn,
  judge: (result: number) => T,
  call: (done: (error: unknown, result: number) => void) => void,
): Promise<T> {
  return new Promise((resolve, reject) => {
    call((error, result) => {
      try {
        if (error) throw error;
        resolve(judge(result));
      } catch (failure) {
        reject(failure);
      }
    });
  });
}

/** Passes a result on, and throws for -1. */
export function check(result: number, syscall: string, path?: BytePath): number {
  if (result < 0) throw lastError(syscall, path);
  return result;
}

/** The number of the error of the call that has just failed on this thread. */
export function lastErrno(): number {
  return koffi.errno();
}
