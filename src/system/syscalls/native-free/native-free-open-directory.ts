import {
  type BigIntStats,
  chmodSync,
  closeSync,
  constants,
  existsSync,
  fchmodSync,
  fchownSync,
  fstatSync,
  futimesSync,
  lchownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  openSync,
  readlinkSync,
  renameSync,
  rmdirSync,
  statfsSync,
  symlinkSync,
  unlinkSync,
} from 'node:fs';
import { type BytePath, nodePath } from '../byte-path.js';
import { type FileTime, syscallError } from '../syscalls.js';
import {
  BLOCK_DEVICE,
  CHARACTER_DEVICE,
  type DirectoryCursor,
  FIFO,
  FILE_TYPE_MASK,
  type FileStatus,
  type FileType,
  type FileUsage,
  NO_XATTRS,
  type OpenDirectory,
  REGULAR_FILE,
  type Xattrs,
} from '../tree-calls.js';
import { NativeFreeDirectoryCursor } from './native-free-directory-cursor.js';
import { NativeFreeFileStatus } from './native-free-file-status.js';
import { nodeTime } from './native-free-file-time.js';

// Systems without these flags have no such danger, or no such kindness; Node leaves the constants out there.
const NOFOLLOW = constants.O_NOFOLLOW ?? 0;
const OPEN_DIRECTORY = constants.O_RDONLY | (constants.O_DIRECTORY ?? 0) | NOFOLLOW;
const OPEN_FILE = constants.O_RDONLY | NOFOLLOW | (constants.O_NONBLOCK ?? 0);
const CREATE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | NOFOLLOW;
const O_PATH = 0o10000000;
const DESCRIPTORS = '/proc/self/fd';
const LONGEST_PATH = 4000;

/**
 * On Linux a descriptor, reached as `/proc/self/fd/N`; elsewhere just a path, whose length and symlinks then do matter.
 */
export class NativeFreeOpenDirectory implements OpenDirectory {
  readonly #path: BytePath;
  readonly #descriptor: number | undefined;

  private constructor(path: BytePath, descriptor: number | undefined) {
    this.#path = path;
    this.#descriptor = descriptor;
  }

  static open(path: BytePath): NativeFreeOpenDirectory {
    if (!hasDescriptorPaths()) {
      if (!lstatSync(nodePath(path)).isDirectory()) throw syscallError('ENOTDIR', 'open', path);
      return new NativeFreeOpenDirectory(path, undefined);
    }
    const descriptor = openSync(nodePath(path), OPEN_DIRECTORY);
    return new NativeFreeOpenDirectory(`${DESCRIPTORS}/${descriptor}`, descriptor);
  }

  cursor(position = 0n): DirectoryCursor {
    return new NativeFreeDirectoryCursor(this, this.#path, Number(position));
  }
  status(name: BytePath): FileStatus {
    return new NativeFreeFileStatus(this.#stats(name));
  }
  usage(name: BytePath): FileUsage {
    return new NativeFreeFileStatus(this.#stats(name));
  }
  openDirectory(path: BytePath): NativeFreeOpenDirectory {
    if (path.length <= LONGEST_PATH || this.#descriptor === undefined)
      return NativeFreeOpenDirectory.open(this.#at(path));
    const cut = path.lastIndexOf('/', LONGEST_PATH);
    const stretch = this.openDirectory(path.slice(0, cut));
    try {
      return stretch.openDirectory(path.slice(cut + 1));
    } finally {
      stretch.close();
    }
  }
  openParent(): NativeFreeOpenDirectory {
    return this.openDirectory('..');
  }
  openFile(name: BytePath): number {
    return openSync(nodePath(this.#at(name)), OPEN_FILE);
  }
  openRegularFile(name: BytePath): number {
    return this.#onHeld(name, [REGULAR_FILE], (held) => openSync(held, OPEN_FILE & ~NOFOLLOW));
  }
  createFile(name: BytePath, mode: number): number {
    return openSync(nodePath(this.#at(name)), CREATE, mode);
  }
  makeDirectory(name: BytePath): boolean {
    try {
      mkdirSync(nodePath(this.#at(name)), 0o700);
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
      throw error;
    }
  }
  readSymlink(name: BytePath): BytePath {
    return readlinkSync(nodePath(this.#at(name)), 'buffer').toString('latin1');
  }
  makeSymlink(target: BytePath, name: BytePath): void {
    symlinkSync(nodePath(target), nodePath(this.#at(name)));
  }
  makeHardLink(existingIn: NativeFreeOpenDirectory, existing: BytePath, name: BytePath): void {
    linkSync(nodePath(existingIn.#at(existing)), nodePath(this.#at(name)));
  }
  makeNode(name: BytePath): void {
    throw syscallError('ENOTSUP', 'mknod', name);
  }
  setOwner(name: BytePath, uid: number, gid: number): void {
    if (name === '' && this.#descriptor !== undefined) fchownSync(this.#descriptor, uid, gid);
    else lchownSync(nodePath(this.#at(name)), uid, gid);
  }
  setMode(name: BytePath, mode: number): void {
    if (name === '' && this.#descriptor !== undefined) fchmodSync(this.#descriptor, mode);
    else chmodSync(nodePath(this.#at(name)), mode);
  }
  setDirectoryMode(name: BytePath, mode: number): void {
    if (this.#descriptor === undefined) {
      this.setMode(name, mode);
      return;
    }
    const descriptor = openSync(nodePath(this.#at(name)), OPEN_DIRECTORY | O_PATH);
    try {
      chmodSync(`${DESCRIPTORS}/${descriptor}`, mode);
    } finally {
      closeSync(descriptor);
    }
  }
  setNodeMode(name: BytePath, mode: number): void {
    this.#onHeld(name, [FIFO, CHARACTER_DEVICE, BLOCK_DEVICE], (held) => chmodSync(held, mode));
  }
  makeSubvolumeWritable(): boolean {
    return false;
  }
  makeMutable(): boolean {
    return false;
  }
  giveToProject(name: BytePath): boolean {
    throw syscallError('ENOTSUP', 'ioctl', name);
  }
  setTimes(name: BytePath, accessed: FileTime, modified: FileTime): void {
    const times = [nodeTime(accessed), nodeTime(modified)] as const;
    if (name === '' && this.#descriptor !== undefined) futimesSync(this.#descriptor, ...times);
    else lutimesSync(nodePath(this.#at(name)), ...times);
  }
  xattrs(): Xattrs {
    return NO_XATTRS;
  }
  rename(name: BytePath, to: NativeFreeOpenDirectory, newName: BytePath): void {
    renameSync(nodePath(this.#at(name)), nodePath(to.#at(newName)));
  }
  removeFile(name: BytePath): void {
    unlinkSync(nodePath(this.#at(name)));
  }
  removeDirectory(name: BytePath): void {
    rmdirSync(nodePath(this.#at(name)));
  }
  fileSystemType(): number {
    return statfsSync(nodePath(this.#path)).type;
  }
  close(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
  }

  /** Holds an entry, without opening it, where descriptors have paths, and looks what it is. */
  #onHeld<T>(name: BytePath, types: readonly FileType[], work: (held: string | Buffer) => T): T {
    const path = nodePath(this.#at(name));
    const descriptor = this.#descriptor === undefined ? undefined : openSync(path, O_PATH | NOFOLLOW);
    try {
      const stats = descriptor === undefined ? lstatSync(path) : fstatSync(descriptor);
      if (!types.includes(stats.mode & FILE_TYPE_MASK)) throw syscallError('EINVAL', 'open', name);
      return work(descriptor === undefined ? path : `${DESCRIPTORS}/${descriptor}`);
    } finally {
      if (descriptor !== undefined) closeSync(descriptor);
    }
  }
  #at(path: BytePath): BytePath {
    return `${this.#path}/${path || '.'}`;
  }
  #stats(name: BytePath): BigIntStats {
    // By the descriptor: a directory without search permission cannot be reached as its own `.`.
    if (name === '' && this.#descriptor !== undefined) return fstatSync(this.#descriptor, { bigint: true });
    return lstatSync(nodePath(this.#at(name)), { bigint: true });
  }
}

let descriptorPaths: boolean | undefined;

function hasDescriptorPaths(): boolean {
  descriptorPaths ??= process.platform === 'linux' && existsSync(DESCRIPTORS);
  return descriptorPaths;
}
