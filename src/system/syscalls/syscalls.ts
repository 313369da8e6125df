import type { BytePath } from './byte-path.js';
import type { LockFile, LockFileOptions } from './lock-file.js';

/**
 * The system calls that Node lacks. `native` makes them through koffi on Linux; `native-free` does what plain Node can do on
 * any system and refuses the rest with `ENOTSUP`. Load either with `loadSyscalls` of `load-syscalls.ts`.
 *
 * Calls are synchronous: the long ones are made on worker threads, the short ones (a mount takes 100 µs) on the caller's.
 * A failed call throws an Error with `code` (`ENOENT`, …), `syscall` and `path`, like those of Node's `fs`.
 */
export interface Syscalls {
  readonly kind: 'native' | 'native-free';

  /** Opens a directory for work on the tree below it. The caller closes it. */
  openTree(directory: string): FileTree;

  /**
   * Mounts an overlay file system. The length of the paths and their characters do not matter.
   * @throws `ELOOP` for a directory that is twice among the lower ones, `EINVAL` for more than the kernel's 500
   */
  mountOverlay(mount: OverlayMount): void;
  /** As `mountOverlay`, with the longest step on another thread. */
  mountOverlayAside(mount: OverlayMount): Promise<void>;
  /**
   * Whether an overlay, of whatever mount namespace, has these directories in use, so that a second one on them would break both. Ask only where nobody can be
   * mounting one on them just now. @returns undefined when the kernel does not tell
   */
  isOverlayInUse(directories: Omit<OverlayMount, 'lower' | 'target'>): boolean | undefined;
  /** Mounts a new tmpfs on a directory, whose root only its owner enters. Programs on it may have more rights than who starts them, and devices work. */
  mountTmpfs(target: string, size: TmpfsSize): void;
  /** Gives the tmpfs that is mounted at a directory another size. @throws `EINVAL` when more is in use, or none is mounted there */
  resizeTmpfs(target: string, size: TmpfsSize): void;
  /** Mounts `source` on `target` a second time, read-only, without what is mounted below it. */
  mountBindReadOnly(source: string, target: string): void;
  /**
   * Takes the topmost mount off a path at once, also while it is busy, with all that is mounted further in. No other mount is unmounted by that, though
   * `mountState` tells of an exception. `letGo` and `letGoOfTree` are for everybody who wants a directory to be free of mounts.
   * @returns false when nothing is mounted there
   */
  detachMount(target: string): boolean;
  /** As `detachMount`, on another thread: the kernel waits some 100 µs for all its processors, which others can use. */
  detachMountAside(target: string): Promise<boolean>;
  /**
   * As `detachMountAside`, of what `mountsInside` tells of a directory, whoever may be renaming things in there: what is not below the directory is not
   * detached.
   * @param path in the directory @param id of the mount @returns false when that is not there, or not any more
   */
  detachMountInside(directory: string, path: BytePath, id: number): Promise<boolean>;
  mountState(path: string): MountState;
  /**
   * Whether something is mounted below a directory, on the mount that the directory itself is on: what `mountsInside` tells more of, at a cost that grows with
   * the options of all the mounts of the machine.
   * @returns undefined when the directory is not there, and where the kernel does not tell: before Linux 6.8
   */
  hasMountsInside(directory: string): Promise<boolean | undefined>;
  /**
   * Gives this thread a mount namespace of its own, with the same mounts, for good: what it unmounts from now on stays mounted for all others. Calls that end
   * with `Aside` are made by threads that have not left.
   */
  leaveMounts(): void;

  /** Lets two paths of one file system change places, in one step that others see whole or not at all. */
  exchange(one: string, other: string): void;

  /** Names of the extended attributes of a path, itself when it is a symlink, one character per byte. */
  listXattrs(path: BytePath): string[];
  /** @returns undefined when there is no such attribute */
  getXattr(path: BytePath, name: string): Buffer | undefined;
  setXattr(path: BytePath, name: string, value: Uint8Array): void;
  /** Access and modification time of a path, itself when it is a symlink. */
  setTimes(path: BytePath, accessed: FileTime, modified: FileTime): void;
  /** @param mode with the file type bits, as `stat` has it */
  makeNode(path: BytePath, mode: number, device: DeviceNumber): void;

  /**
   * Whether there is something at an absolute path whose every component is itself and no symlink.
   * @returns undefined where the system cannot tell with one call
   */
  isPlainPath(path: string): boolean | undefined;

  /**
   * Opens a lock file. The caller closes it.
   * @throws `ENOTSUP` where there are no such locks, `ENOENT`
   */
  openLockFile(path: string, options?: LockFileOptions): LockFile;

  /** Returns when all that was written to the file system that holds `path` is on its device. */
  syncFileSystem(path: string): void;

  /**
   * Whether the file system that holds a directory keeps to limits of projects, which are numbers that files bear. False where it has none or is not told to keep to them, and where the kernel
   * cannot be asked: before Linux 5.14.
   */
  keepsProjectLimits(directory: string): boolean;
  /** What the files of a project take on the file system that holds a directory. @param project 1 to 2³² − 2 */
  projectUse(directory: string, project: number): ProjectUse;
  /** From now on the files of a project take no more than that: who writes more is told `EDQUOT` or `ENOSPC`. @param bytes whole KiB, others are rounded up; 0 for no limit */
  limitProject(directory: string, project: number, bytes: number): void;
}

/** What a tmpfs takes at most. */
export interface TmpfsSize {
  /** Rounded up to whole pages. */
  readonly bytes: number;
  /** Files, directories and all else that has a name. */
  readonly entries: number;
}

/** In bytes. */
export interface ProjectUse {
  readonly bytes: number;
  readonly files: number;
  /** 0 for none. */
  readonly limit: number;
}

/**
 * What is mounted at a path.
 * - `alone`: one mount, as far as the kernel tells (from Linux 6.8 on)
 * - `mounted`: something. Upon each other as well, but what happens on the lower ones shows nowhere else, as far as the kernel tells (from Linux 6.8 on)
 * - `coversShared`: something that lies upon a mount of the same path which is shared: to unmount it unmounts what lies upon the peers of the lower one too,
 *   and these may be the host's own. The lower one could be made private, were there a way to name it while it is covered
 * - `unknown`: before Linux 5.8
 */
export type MountState = 'none' | 'alone' | 'mounted' | 'coversShared' | 'unknown';

export interface OverlayMount {
  /** Top first, at least one. */
  readonly lower: readonly string[];
  readonly upper: string;
  readonly work: string;
  readonly target: string;
  /** Keep overlay's marks in `user.overlay.*`, as an unprivileged mount must. Default: false. */
  readonly userXattr?: boolean;
}

/**
 * A directory, and calls on what is below it. Paths are relative to it, and the caller has made sure that no component
 * but the last is a symlink or `..`; the native calls see to it as well. The last one is never followed.
 */
export interface FileTree {
  /** A new regular file, open for writing. @throws `EEXIST` */
  createFile(path: BytePath, mode: number): number;
  /** Writes all of `length` bytes at the file's position. */
  writeFile(descriptor: number, bytes: Uint8Array, offset: number, length: number): void;
  /** Writes all of `length` bytes at `position`. */
  writeFileAt(descriptor: number, bytes: Uint8Array, offset: number, length: number, position: number): void;
  setFileSize(descriptor: number, size: number): void;
  setFileOwner(descriptor: number, uid: number, gid: number): void;
  setFileMode(descriptor: number, mode: number): void;
  setFileTimes(descriptor: number, accessed: FileTime, modified: FileTime): void;
  /** The halves of an open file's inode number, 32 bits each. */
  fileInode(descriptor: number): { readonly inode: number; readonly inodeHigh: number };
  closeFile(descriptor: number): void;

  makeDirectory(path: BytePath, mode: number): void;
  makeSymlink(target: BytePath, path: BytePath): void;
  makeHardLink(existing: BytePath, path: BytePath): void;
  makeNode(path: BytePath, mode: number, device: DeviceNumber): void;

  setOwner(path: BytePath, uid: number, gid: number): void;
  /** Not for symlinks, which have no mode of their own. */
  setMode(path: BytePath, mode: number): void;
  setTimes(path: BytePath, accessed: FileTime, modified: FileTime): void;
  setXattr(path: BytePath, name: string, value: Uint8Array): void;

  /** Where a symlink points; undefined for what is no symlink. */
  readLink(path: BytePath): BytePath | undefined;
  removeFile(path: BytePath): void;
  /** Renames an entry to a place outside of the tree. @param to absolute, on the same file system */
  moveOut(path: BytePath, to: string): void;

  close(): void;
}

/** A point in time as the kernel keeps it; seconds before 1970 are negative, nanoseconds never. */
export interface FileTime {
  /** Whole seconds since the epoch. */
  readonly seconds: number;
  /** 0 to 999 999 999. */
  readonly nanoseconds: number;
}

export interface DeviceNumber {
  readonly major: number;
  readonly minor: number;
}

/** An error that looks like those of Node's `fs`. */
export function syscallError(code: string, syscall: string, path?: string): NodeJS.ErrnoException {
  const error: NodeJS.ErrnoException = new Error(`${code}: ${syscall}${path === undefined ? '' : ` '${path}'`}`);
  error.code = code;
  error.syscall = syscall;
  if (path !== undefined) error.path = path;
  return error;
}

/** `dev_t` of a device number, as glibc, musl and the kernel's stat have it. @see makedev(3) */
export function makeDevice({ major, minor }: DeviceNumber): bigint {
  const high = BigInt(major);
  const low = BigInt(minor);
  return ((high & 0xfffff000n) << 32n) | ((high & 0xfffn) << 8n) | ((low & 0xffffff00n) << 12n) | (low & 0xffn);
}

/** The inverse of `makeDevice`. */
export function splitDevice(device: bigint): DeviceNumber {
  const major = ((device >> 32n) & 0xfffff000n) | ((device >> 8n) & 0xfffn);
  const minor = ((device >> 12n) & 0xffffff00n) | (device & 0xffn);
  return { major: Number(major), minor: Number(minor) };
}
