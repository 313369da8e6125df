import { constants, statfsSync } from 'node:fs';
import { constants as os } from 'node:os';
import { type BytePath, cPath } from '../byte-path.js';
import { type DeviceNumber, type FileTime, makeDevice } from '../syscalls.js';
import {
  BLOCK_DEVICE,
  CHARACTER_DEVICE,
  type DirectoryCursor,
  FIFO,
  type FileStatus,
  type FileUsage,
  type OpenDirectory,
  type Xattrs,
} from '../tree-calls.js';
import {
  AT_FDCWD,
  AT_REMOVEDIR,
  AT_SYMLINK_NOFOLLOW,
  check,
  close,
  fchmod,
  fchmodat,
  fchown,
  fchownat,
  futimens,
  lastErrno,
  lastError,
  linkat,
  mkdirat,
  mknodat,
  openat,
  renameat,
  symlinkat,
  unlinkat,
  utimensat,
} from './libc/libc.js';
import { readlinkat } from './libc/libc-trees.js';
import { timespecs } from './libc/timespecs.js';
import { makeSubvolumeWritable } from './mounts/native-subvolume.js';
import { NativeDirectoryCursor } from './native-directory-cursor.js';
import { nativeDirectoryUsage, nativeStatus, nativeUsage } from './native-file-status.js';
import { onHeld, openRegularFile } from './native-held-entry.js';
import { makeMutable } from './native-inode-flags.js';
import { openDirectory, openFile, openUnread } from './native-open.js';
import { DescriptorXattrs, PathXattrs } from './native-xattrs.js';
import { giveToProject } from './projects/native-projects.js';

const O_CLOEXEC = 0o2000000;
const CREATE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW | O_CLOEXEC;
/** No symlink's target is longer than the kernel's longest path. */
const symlinkTarget = Buffer.alloc(4096);

/** A descriptor, and the `…at` calls relative to it. */
export class NativeOpenDirectory implements OpenDirectory {
  readonly #descriptor: number;

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  cursor(position?: bigint): DirectoryCursor {
    return new NativeDirectoryCursor(this.#descriptor, position);
  }
  status(name: BytePath): FileStatus {
    return nativeStatus(this.#descriptor, name);
  }
  usage(name: BytePath): FileUsage {
    return name === '' ? nativeDirectoryUsage(this.#descriptor) : nativeUsage(this.#descriptor, name);
  }
  openDirectory(path: BytePath): NativeOpenDirectory {
    return new NativeOpenDirectory(openDirectory(this.#descriptor, path || '.'));
  }
  openParent(): NativeOpenDirectory {
    return new NativeOpenDirectory(openDirectory(this.#descriptor, '..'));
  }
  openFile(name: BytePath): number {
    return openFile(this.#descriptor, name);
  }
  openRegularFile(name: BytePath): number {
    return openRegularFile(this.#descriptor, name);
  }
  createFile(name: BytePath, mode: number): number {
    return check(openat(this.#descriptor, cPath(name), CREATE, mode), 'open', name);
  }
  makeDirectory(name: BytePath): boolean {
    if (mkdirat(this.#descriptor, cPath(name), 0o700) === 0) return true;
    if (lastErrno() === os.errno.EEXIST) return false;
    throw lastError('mkdir', name);
  }
  readSymlink(name: BytePath): BytePath {
    const length = readlinkat(this.#descriptor, cPath(name), symlinkTarget, symlinkTarget.length);
    return symlinkTarget.toString('latin1', 0, check(length, 'readlink', name));
  }
  makeSymlink(target: BytePath, name: BytePath): void {
    check(symlinkat(cPath(target), this.#descriptor, cPath(name)), 'symlink', name);
  }
  makeHardLink(existingIn: NativeOpenDirectory, existing: BytePath, name: BytePath): void {
    check(linkat(existingIn.#descriptor, cPath(existing), this.#descriptor, cPath(name), 0), 'link', name);
  }
  makeNode(name: BytePath, mode: number, device: DeviceNumber): void {
    check(mknodat(this.#descriptor, cPath(name), mode, makeDevice(device)), 'mknod', name);
  }
  setOwner(name: BytePath, uid: number, gid: number): void {
    const result =
      name === ''
        ? fchown(this.#descriptor, uid, gid)
        : fchownat(this.#descriptor, cPath(name), uid, gid, AT_SYMLINK_NOFOLLOW);
    check(result, 'chown', name);
  }
  setMode(name: BytePath, mode: number): void {
    check(
      name === '' ? fchmod(this.#descriptor, mode) : fchmodat(this.#descriptor, cPath(name), mode, 0),
      'chmod',
      name,
    );
  }
  setDirectoryMode(name: BytePath, mode: number): void {
    // By way of a descriptor, because fchmodat would follow a symlink that has taken the directory's place.
    const descriptor = openUnread(this.#descriptor, name);
    try {
      check(fchmodat(AT_FDCWD, `/proc/self/fd/${descriptor}`, mode, 0), 'chmod', name);
    } finally {
      close(descriptor);
    }
  }
  setNodeMode(name: BytePath, mode: number): void {
    onHeld(this.#descriptor, name, [FIFO, CHARACTER_DEVICE, BLOCK_DEVICE], (held) => {
      check(fchmodat(AT_FDCWD, held, mode, 0), 'chmod', name);
    });
  }
  makeSubvolumeWritable(): boolean {
    return makeSubvolumeWritable(this.#descriptor);
  }
  makeMutable(name: BytePath): boolean {
    return makeMutable(this.#descriptor, name);
  }
  giveToProject(name: BytePath, project: number): boolean {
    return giveToProject(this.#descriptor, name, project);
  }
  setTimes(name: BytePath, accessed: FileTime, modified: FileTime): void {
    const times = timespecs(accessed, modified);
    const result =
      name === ''
        ? futimens(this.#descriptor, times)
        : utimensat(this.#descriptor, cPath(name), times, AT_SYMLINK_NOFOLLOW);
    check(result, 'utimensat', name);
  }
  xattrs(name: BytePath): Xattrs {
    if (name === '') return new DescriptorXattrs(this.#descriptor);
    return new PathXattrs(`/proc/self/fd/${this.#descriptor}/${name}`);
  }
  rename(name: BytePath, to: NativeOpenDirectory, newName: BytePath): void {
    check(renameat(this.#descriptor, cPath(name), to.#descriptor, cPath(newName)), 'rename', name);
  }
  removeFile(name: BytePath): void {
    check(unlinkat(this.#descriptor, cPath(name), 0), 'unlink', name);
  }
  removeDirectory(name: BytePath): void {
    check(unlinkat(this.#descriptor, cPath(name), AT_REMOVEDIR), 'rmdir', name);
  }
  fileSystemType(): number {
    return statfsSync(`/proc/self/fd/${this.#descriptor}`).type;
  }
  close(): void {
    check(close(this.#descriptor), 'close');
  }
}
