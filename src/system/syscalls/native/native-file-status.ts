import { endianness } from 'node:os';
import { koffi } from '../../koffi.js';
import { type BytePath, cPath } from '../byte-path.js';
import type { FileTime } from '../syscalls.js';
import { FILE_TYPE_MASK, type FileStatus, type FileUsage } from '../tree-calls.js';
import { AT_SYMLINK_NOFOLLOW, check } from './libc/libc.js';
import { AT_EMPTY_PATH, statx, statxAt } from './libc/libc-trees.js';
import { isMountRoot } from './mounts/native-mount-root.js';

const STATX_TYPE = 0x1;
const STATX_NLINK = 0x4;
const STATX_INO = 0x100;
const STATX_BLOCKS = 0x400;
const STATX_BASIC = 0x7ff;
/** Linux 5.8; older kernels do not say that they know of it. */
const STATX_ATTR_MOUNT_ROOT = 0x2000;
const USAGE = STATX_TYPE | STATX_NLINK | STATX_INO | STATX_BLOCKS;

/** `struct statx`, as 32-bit words. @see statx(2) */
const words = new Uint32Array(64);
const bytes = new Uint8Array(words.buffer);
const address = Number(koffi.address(bytes));
const signed = new Int32Array(words.buffer);
const halves = new Uint16Array(words.buffer);
/** Which half of a 64-bit field holds its low bits. BigInt views would take 30 ns for a field instead of 12. */
const LOW = endianness() === 'LE' ? 0 : 1;
const HIGH = 1 - LOW;

/** @param path empty for the open file itself */
function fill(descriptor: number, path: BytePath, mask: number): void {
  const flags = path === '' ? AT_EMPTY_PATH : AT_SYMLINK_NOFOLLOW;
  check(statx(descriptor, cPath(path), flags, mask, bytes), 'stat', path);
}

function unsigned64(index: number): number {
  return (words[index + LOW] ?? 0) + (words[index + HIGH] ?? 0) * 4294967296;
}

function time(index: number): FileTime {
  const seconds = (words[index + LOW] ?? 0) + (signed[index + HIGH] ?? 0) * 4294967296;
  return { seconds, nanoseconds: words[index + 2] ?? 0 };
}

/** Takes its values from the words that the last call has filled. */
class NativeFileUsage implements FileUsage {
  readonly type = (halves[14] ?? 0) & FILE_TYPE_MASK;
  readonly links = words[4] ?? 0;
  readonly disk = unsigned64(12) * 512;
  mountPoint: boolean | undefined = ((words[2 + LOW] ?? 0) & STATX_ATTR_MOUNT_ROOT) !== 0;
  readonly inode = words[8 + LOW] ?? 0;
  readonly inodeHigh = words[8 + HIGH] ?? 0;
  readonly #major = words[34] ?? 0;
  readonly #minor = words[35] ?? 0;

  get fileSystem(): string {
    return `${this.#major}:${this.#minor}`;
  }
  /** Made of the halves, not of one Number: that would take inode numbers beyond 2^53 for one another. */
  get identity(): string {
    return `${this.fileSystem}:${this.inodeHigh}.${this.inode}`;
  }
}

class NativeFileStatus extends NativeFileUsage implements FileStatus {
  readonly mode = (halves[14] ?? 0) & 0o7777;
  readonly uid = words[5] ?? 0;
  readonly gid = words[6] ?? 0;
  readonly size = unsigned64(10);
  readonly accessed = time(16);
  readonly modified = time(28);
  readonly device = { major: words[32] ?? 0, minor: words[33] ?? 0 };
}

/** @param path empty for the open file itself */
export function nativeStatus(descriptor: number, path: BytePath): FileStatus {
  fill(descriptor, path, STATX_BASIC);
  return new NativeFileStatus();
}

/** The halves of an open file's inode number. */
export function nativeInode(descriptor: number): { readonly inode: number; readonly inodeHigh: number } {
  fill(descriptor, '', STATX_INO);
  return { inode: words[8 + LOW] ?? 0, inodeHigh: words[8 + HIGH] ?? 0 };
}

/** @param path empty for the open file itself */
export function nativeUsage(descriptor: number, path: BytePath): FileUsage {
  fill(descriptor, path, USAGE);
  return new NativeFileUsage();
}

/** As `nativeUsage` of an open directory, which tells of a mount of the same file system on older kernels too. @param tells whether this one does */
export function nativeDirectoryUsage(descriptor: number, tells = kernelTells): FileUsage {
  fill(descriptor, '', USAGE);
  const usage = new NativeFileUsage();
  if (!tells()) usage.mountPoint = isMountRoot(descriptor);
  return usage;
}

/** Of the call that has just been made. */
function kernelTells(): boolean {
  return ((words[14 + LOW] ?? 0) & STATX_ATTR_MOUNT_ROOT) !== 0;
}

/** @param name the address of a name in memory */
export function nativeUsageAt(descriptor: number, name: number): FileUsage {
  check(statxAt(descriptor, name, AT_SYMLINK_NOFOLLOW, USAGE, address), 'stat');
  return new NativeFileUsage();
}
