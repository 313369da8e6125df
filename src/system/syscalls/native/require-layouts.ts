import { type BigIntStats, closeSync, constants, lstatSync, openSync, readdirSync } from 'node:fs';
import { constants as os } from 'node:os';
import { systemCode } from '../../../base/errors.js';
import { koffi } from '../../koffi.js';
import { splitDevice } from '../syscalls.js';
import type { FileStatus, FileUsage } from '../tree-calls.js';
import { AT_FDCWD, close, fcntl, futimens, lastErrno, openat2 } from './libc/libc.js';
import { NativeDirectoryCursor } from './native-directory-cursor.js';
import { nativeStatus, nativeUsage } from './native-file-status.js';
import { F_OFD_GETLK, F_WRLCK, FLOCK_SIZE } from './native-lock-file.js';

/** The calls whose structures are looked into. */
export interface LayoutCalls {
  readonly status: (path: string) => FileStatus;
  readonly usage: (path: string) => FileUsage;
  readonly names: (directory: number) => string[];
  readonly fcntl: typeof fcntl;
  readonly futimens: typeof futimens;
  readonly openat2: typeof openat2;
}

export const LAYOUT_CALLS: LayoutCalls = {
  status: (path) => nativeStatus(AT_FDCWD, path),
  usage: (path) => nativeUsage(AT_FDCWD, path),
  names: namesIn,
  fcntl,
  futimens,
  openat2,
};

/** What the declarations of `libc.ts` take for granted, in bytes. */
const SIZES = { short: 2, int: 4, long: 8, 'unsigned long': 8, size_t: 8, uintptr_t: 8, 'void *': 8 } as const;
/** `struct flock`: what the kernel refuses in each of its fields, by the field's place in bytes. @see fcntl(2) */
const REFUSED_LOCKS = { l_type: [0, 7], l_whence: [2, 7], l_start: [8, -1], l_len: [16, -1], l_pid: [24, 1] } as const;
/** @see utimensat(2) */
const UTIME_OMIT = 0x3ffffffen;
const TOO_MANY_NANOSECONDS = 2_000_000_000n;
const O_PATH = 0o10000000n;
/** Whatever is compared may change between two looks at it, but not each time. */
const LOOKS = 3;

/**
 * Structures are laid out here by hand, as they are on 64-bit Linux. That they are so on this machine is found out before any file depends on it: what `statx` and
 * `getdents64` fill in is compared with what Node says of the same file and directory, and of what `fcntl`, `futimens` and `openat2` are given the kernel refuses
 * each field that has no sense, if it looks for it there. Nothing is changed by that. What mounts take are 64-bit words, and the kernel's answers to those are
 * judged where they are made. 0.2 ms.
 * @throws Error that names the structure
 */
export function requireLayouts(calls: LayoutCalls = LAYOUT_CALLS): void {
  for (const [type, size] of Object.entries(SIZES)) {
    if (koffi.sizeof(type) !== size) throw new Error(`${type} has ${koffi.sizeof(type)} bytes here, not ${size}`);
  }
  requireStatus(calls, '/');
  requireOpenHow(calls);
  onDescriptor('/', (root) => requireDirectoryEntries(calls, root));
  onDescriptor('/dev/null', (device) => {
    requireStatus(calls, '/dev/null');
    requireLock(calls, device);
    requireTimes(calls, device);
  });
}

function requireStatus({ status, usage }: LayoutCalls, path: string): void {
  const look = () => [statusText(status(path), usage(path)), statsText(lstatSync(path, { bigint: true }))];
  requireEqual(look, 'struct statx');
}

function requireDirectoryEntries({ names }: LayoutCalls, root: number): void {
  const sorted = (found: readonly string[]) => found.toSorted().join('/');
  requireEqual(() => [sorted(names(root)), sorted(readdirSync('/', 'latin1'))], 'struct linux_dirent64');
}

function requireLock({ fcntl }: LayoutCalls, device: number): void {
  const question = new Uint8Array(FLOCK_SIZE);
  const view = new DataView(question.buffer);
  const ask = (place: number, value: number): number => {
    question.fill(0);
    setField(view, 0, F_WRLCK);
    setField(view, place, value);
    return fcntl(device, F_OFD_GETLK, question);
  };
  require(ask(0, F_WRLCK) === 0, 'struct flock');
  for (const [field, [place, value]] of Object.entries(REFUSED_LOCKS))
    require(ask(place, value) < 0 && lastErrno() === os.errno.EINVAL, `struct flock, ${field}`);
}

/** @param place whose field it is says how large that is: see `REFUSED_LOCKS` */
function setField(view: DataView, place: number, value: number): void {
  if (place < 8) view.setInt16(place, value, LITTLE_ENDIAN);
  else if (place < 24) view.setBigInt64(place, BigInt(value), LITTLE_ENDIAN);
  else view.setInt32(place, value, LITTLE_ENDIAN);
}
const LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

function requireTimes({ futimens }: LayoutCalls, device: number): void {
  const refused = (...nanoseconds: readonly [accessed: bigint, modified: bigint]): boolean => {
    const words = new BigInt64Array([0n, nanoseconds[0], 0n, nanoseconds[1]]);
    return futimens(device, new Uint8Array(words.buffer)) < 0 && lastErrno() === os.errno.EINVAL;
  };
  const asItShould =
    !refused(UTIME_OMIT, UTIME_OMIT) &&
    refused(TOO_MANY_NANOSECONDS, UTIME_OMIT) &&
    refused(UTIME_OMIT, TOO_MANY_NANOSECONDS);
  require(asItShould, 'struct timespec');
}

function requireOpenHow({ openat2 }: LayoutCalls): void {
  const refused = (...how: readonly [flags: bigint, mode: bigint, resolve: bigint]): boolean => {
    const descriptor = openat2(AT_FDCWD, '/', new BigUint64Array(how));
    if (descriptor < 0) return lastErrno() === os.errno.EINVAL;
    close(descriptor);
    return false;
  };
  // An older kernel, or a filter, refuses all of them in other words; then it is not relied on.
  const plain = openat2(AT_FDCWD, '/', new BigUint64Array([O_PATH, 0n, 0n]));
  if (plain < 0) return;
  close(plain);
  const asItShould = refused(1n << 62n, 0n, 0n) && refused(O_PATH, 1n, 0n) && refused(O_PATH, 0n, 1n << 62n);
  require(asItShould, 'struct open_how');
}

function requireEqual(look: () => string[], structure: string): void {
  for (let looks = 1; looks <= LOOKS; looks++) {
    const [here, there] = look();
    if (here === there) return;
  }
  require(false, structure);
}

function require(asItShould: boolean, structure: string): void {
  if (!asItShould) throw new Error(`${structure} is laid out in another way here`);
}

/** Does nothing where it cannot be opened. */
function onDescriptor(path: string, work: (descriptor: number) => void): void {
  let descriptor: number;
  try {
    descriptor = openSync(path, constants.O_RDONLY);
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return;
  }
  try {
    work(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function namesIn(directory: number): string[] {
  const cursor = new NativeDirectoryCursor(directory, 0n);
  try {
    const names: string[] = [];
    while (cursor.next()) names.push(cursor.name);
    return names;
  } finally {
    cursor.close();
  }
}

function statusText(status: FileStatus, { fileSystem, inode, inodeHigh }: FileUsage): string {
  const { type, mode, links, uid, gid, size, disk, modified, device } = status;
  const times = `${modified.seconds}.${modified.nanoseconds}`;
  const number = (BigInt(inodeHigh) << 32n) | BigInt(inode);
  return [type | mode, links, uid, gid, size, disk, times, device.major, device.minor, fileSystem, number].join(' ');
}

function statsText({ mode, nlink, uid, gid, size, blocks, mtimeNs, rdev, dev, ino }: BigIntStats): string {
  const times = `${mtimeNs / 1_000_000_000n}.${mtimeNs % 1_000_000_000n}`;
  const [device, fileSystem] = [splitDevice(rdev), splitDevice(dev)];
  const place = `${fileSystem.major}:${fileSystem.minor}`;
  return [mode, nlink, uid, gid, size, blocks * 512n, times, device.major, device.minor, place, ino].join(' ');
}
