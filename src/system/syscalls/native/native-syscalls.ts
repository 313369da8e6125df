import { closeSync, constants, openSync } from 'node:fs';
import { constants as os } from 'node:os';
import { type BytePath, cPath, toBytePath } from '../byte-path.js';
import type { LockFile, LockFileOptions } from '../lock-file.js';
import { isOverlayInUse } from '../mounts/overlay-in-use.js';
import {
  type DeviceNumber,
  type FileTime,
  type FileTree,
  type MountState,
  makeDevice,
  type OverlayMount,
  type ProjectUse,
  type Syscalls,
  type TmpfsSize,
} from '../syscalls.js';
import {
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  check,
  close,
  lastErrno,
  lastError,
  lgetxattr,
  llistxattr,
  lsetxattr,
  mknodat,
  openWithoutSymlinks,
  syncfs,
  utimensat,
} from './libc/libc.js';
import { renameat2 } from './libc/libc-trees.js';
import { timespecs } from './libc/timespecs.js';
import { mountBindReadOnly } from './mounts/bind-mount.js';
import { detachMount, detachMountAside, detachMountInside, leaveMounts } from './mounts/native-detach.js';
import { mountState } from './mounts/native-mount-state.js';
import { hasMountsInside } from './mounts/native-mounts-inside.js';
import { mountOverlay, mountOverlayAside } from './mounts/overlay-mount.js';
import { mountTmpfs, resizeTmpfs } from './mounts/tmpfs-mount.js';
import { NativeFileTree } from './native-file-tree.js';
import { NativeLockFile } from './native-lock-file.js';
import { keepsProjectLimits, limitProject, projectUse } from './projects/native-projects.js';
import { requireLayouts } from './require-layouts.js';

/** @see rename(2) */
const RENAME_EXCHANGE = 2;
/** The kernel's limits for a list of names and for a value. @see xattr(7) */
const XATTR_LIST_MAX = 65536;
const XATTR_SIZE_MAX = 65536;

/** Linux, through koffi. */
export class NativeSyscalls implements Syscalls {
  readonly kind = 'native';
  readonly #names = Buffer.alloc(XATTR_LIST_MAX);
  readonly #value = Buffer.alloc(XATTR_SIZE_MAX);

  /** @throws Error when this machine is not what is known here of 64-bit Linux: see `requireLayouts` */
  constructor() {
    requireLayouts();
  }

  openTree(directory: string): FileTree {
    return new NativeFileTree(directory);
  }

  mountOverlay(overlay: OverlayMount): void {
    mountOverlay(overlay);
  }

  mountOverlayAside(overlay: OverlayMount): Promise<void> {
    return mountOverlayAside(overlay);
  }

  isOverlayInUse(directories: Omit<OverlayMount, 'lower' | 'target'>): boolean | undefined {
    return isOverlayInUse(directories);
  }

  mountTmpfs(target: string, size: TmpfsSize): void {
    mountTmpfs(target, size);
  }

  resizeTmpfs(target: string, size: TmpfsSize): void {
    resizeTmpfs(target, size);
  }

  mountBindReadOnly(source: string, target: string): void {
    mountBindReadOnly(source, target);
  }

  detachMount(target: string): boolean {
    return detachMount(target);
  }

  detachMountAside(target: string): Promise<boolean> {
    return detachMountAside(target);
  }

  detachMountInside(directory: string, path: BytePath, id: number): Promise<boolean> {
    return detachMountInside(directory, path, id);
  }

  mountState(path: string): MountState {
    return mountState(path);
  }

  hasMountsInside(directory: string): Promise<boolean | undefined> {
    return hasMountsInside(directory);
  }

  leaveMounts(): void {
    leaveMounts();
  }

  exchange(one: string, other: string): void {
    check(renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE), 'renameat2', toBytePath(one));
  }

  listXattrs(path: BytePath): string[] {
    const length = check(llistxattr(cPath(path), this.#names, XATTR_LIST_MAX), 'listxattr', path);
    return length === 0 ? [] : this.#names.toString('latin1', 0, length - 1).split('\0');
  }

  getXattr(path: BytePath, name: string): Buffer | undefined {
    const length = lgetxattr(cPath(path), cPath(name), this.#value, XATTR_SIZE_MAX);
    if (length >= 0) return Buffer.from(this.#value.subarray(0, length));
    const number = lastErrno();
    if (number === os.errno.ENODATA || number === os.errno.ENOTSUP || number === os.errno.EINVAL) return undefined;
    throw lastError('getxattr', path);
  }

  setXattr(path: BytePath, name: string, value: Uint8Array): void {
    check(lsetxattr(cPath(path), cPath(name), value, value.length, 0), 'setxattr', path);
  }

  setTimes(path: BytePath, accessed: FileTime, modified: FileTime): void {
    const times = timespecs(accessed, modified);
    check(utimensat(AT_FDCWD, cPath(path), times, AT_SYMLINK_NOFOLLOW), 'utimensat', path);
  }

  makeNode(path: BytePath, mode: number, device: DeviceNumber): void {
    check(mknodat(AT_FDCWD, cPath(path), mode, makeDevice(device)), 'mknod', path);
  }

  isPlainPath(path: string): boolean | undefined {
    const descriptor = openWithoutSymlinks(path);
    if (descriptor >= 0) {
      close(descriptor);
      return true;
    }
    const number = lastErrno();
    return number === os.errno.ENOSYS || number === os.errno.EPERM ? undefined : false;
  }

  openLockFile(path: string, options: LockFileOptions = {}): LockFile {
    return new NativeLockFile(path, options);
  }

  keepsProjectLimits(directory: string): boolean {
    return keepsProjectLimits(directory);
  }

  projectUse(directory: string, project: number): ProjectUse {
    return projectUse(directory, project);
  }

  limitProject(directory: string, project: number, bytes: number): void {
    limitProject(directory, project, bytes);
  }

  syncFileSystem(path: string): void {
    const descriptor = openSync(path, constants.O_RDONLY);
    try {
      check(syncfs(descriptor), 'syncfs', toBytePath(path));
    } finally {
      closeSync(descriptor);
    }
  }
}
