import { lutimesSync } from 'node:fs';
import { type BytePath, nodePath, toBytePath } from '../byte-path.js';
import type { LockFile } from '../lock-file.js';
import {
  type FileTime,
  type FileTree,
  type MountState,
  type ProjectUse,
  type Syscalls,
  syscallError,
} from '../syscalls.js';
import { nodeTime } from './native-free-file-time.js';
import { NativeFreeFileTree } from './native-free-file-tree.js';

/** What plain Node can do. Times are cut to microseconds, as Node has them. */
export class NativeFreeSyscalls implements Syscalls {
  readonly kind = 'native-free';

  openTree(directory: string): FileTree {
    return new NativeFreeFileTree(toBytePath(directory));
  }
  mountOverlay(): void {
    throw syscallError('ENOTSUP', 'mount');
  }
  async mountOverlayAside(): Promise<void> {
    this.mountOverlay();
  }
  isOverlayInUse(): undefined {
    return undefined;
  }
  mountTmpfs(): void {
    throw syscallError('ENOTSUP', 'mount');
  }
  resizeTmpfs(): void {
    throw syscallError('ENOTSUP', 'mount');
  }
  mountBindReadOnly(): void {
    throw syscallError('ENOTSUP', 'mount');
  }
  isPlainPath(): undefined {
    return undefined;
  }
  openLockFile(path: string): LockFile {
    throw syscallError('ENOTSUP', 'flock', path);
  }
  detachMount(): boolean {
    // What cannot be mounted is not mounted.
    return false;
  }
  async detachMountAside(): Promise<boolean> {
    return this.detachMount();
  }
  async detachMountInside(): Promise<boolean> {
    return this.detachMount();
  }
  mountState(): MountState {
    return 'unknown';
  }
  async hasMountsInside(): Promise<undefined> {
    return undefined;
  }
  leaveMounts(): void {
    throw syscallError('ENOTSUP', 'unshare');
  }
  exchange(one: string): void {
    throw syscallError('ENOTSUP', 'renameat2', one);
  }
  listXattrs(): string[] {
    // They cannot be read here, and none was written from here.
    return [];
  }
  getXattr(): Buffer | undefined {
    return undefined;
  }
  setXattr(path: BytePath): void {
    throw syscallError('ENOTSUP', 'setxattr', path);
  }
  setTimes(path: BytePath, accessed: FileTime, modified: FileTime): void {
    lutimesSync(nodePath(path), nodeTime(accessed), nodeTime(modified));
  }
  makeNode(path: BytePath): void {
    throw syscallError('ENOTSUP', 'mknod', path);
  }
  syncFileSystem(): void {
    throw syscallError('ENOTSUP', 'syncfs');
  }
  keepsProjectLimits(): boolean {
    return false;
  }
  projectUse(directory: string): ProjectUse {
    throw syscallError('ENOTSUP', 'quotactl', directory);
  }
  limitProject(directory: string): void {
    throw syscallError('ENOTSUP', 'quotactl', directory);
  }
}
