import {
  chmodSync,
  closeSync,
  fchmodSync,
  fchownSync,
  fstatSync,
  ftruncateSync,
  futimesSync,
  lchownSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  openSync,
  renameSync,
  symlinkSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { umaskTakesFromOwner } from '../../../base/own-files.js';
import { type BytePath, nodePath } from '../byte-path.js';
import { readLink } from '../read-link.js';
import { type FileTime, type FileTree, syscallError } from '../syscalls.js';
import { NativeFreeFileStatus } from './native-free-file-status.js';
import { nodeTime } from './native-free-file-time.js';

/** By paths: that no symlink is on the way is for the caller to know. */
export class NativeFreeFileTree implements FileTree {
  readonly #root: BytePath;
  readonly #givesBack = umaskTakesFromOwner();

  constructor(root: BytePath) {
    this.#root = root;
  }

  createFile(path: BytePath, mode: number): number {
    return openSync(this.#path(path), 'wx', mode);
  }
  writeFile(descriptor: number, bytes: Uint8Array, offset: number, length: number): void {
    for (let done = 0; done < length; ) done += writeSync(descriptor, bytes, offset + done, length - done);
  }
  writeFileAt(descriptor: number, bytes: Uint8Array, offset: number, length: number, position: number): void {
    for (let done = 0; done < length; ) {
      done += writeSync(descriptor, bytes, offset + done, length - done, position + done);
    }
  }
  setFileSize(descriptor: number, size: number): void {
    ftruncateSync(descriptor, size);
  }
  setFileOwner(descriptor: number, uid: number, gid: number): void {
    fchownSync(descriptor, uid, gid);
  }
  setFileMode(descriptor: number, mode: number): void {
    fchmodSync(descriptor, mode);
  }
  setFileTimes(descriptor: number, accessed: FileTime, modified: FileTime): void {
    futimesSync(descriptor, nodeTime(accessed), nodeTime(modified));
  }
  fileInode(descriptor: number): { readonly inode: number; readonly inodeHigh: number } {
    return new NativeFreeFileStatus(fstatSync(descriptor, { bigint: true }));
  }
  closeFile(descriptor: number): void {
    closeSync(descriptor);
  }
  makeDirectory(path: BytePath, mode: number): void {
    mkdirSync(this.#path(path), mode);
    if (this.#givesBack) this.setMode(path, mode);
  }
  makeSymlink(target: BytePath, path: BytePath): void {
    symlinkSync(nodePath(target), this.#path(path));
  }
  makeHardLink(existing: BytePath, path: BytePath): void {
    linkSync(this.#path(existing), this.#path(path));
  }
  makeNode(path: BytePath): void {
    throw syscallError('ENOTSUP', 'mknod', path);
  }
  setOwner(path: BytePath, uid: number, gid: number): void {
    lchownSync(this.#path(path), uid, gid);
  }
  setMode(path: BytePath, mode: number): void {
    chmodSync(this.#path(path), mode);
  }
  setTimes(path: BytePath, accessed: FileTime, modified: FileTime): void {
    lutimesSync(this.#path(path), nodeTime(accessed), nodeTime(modified));
  }
  setXattr(path: BytePath): void {
    throw syscallError('ENOTSUP', 'setxattr', path);
  }
  readLink(path: BytePath): BytePath | undefined {
    return readLink(`${this.#root}/${path}`);
  }
  removeFile(path: BytePath): void {
    unlinkSync(this.#path(path));
  }
  moveOut(path: BytePath, to: string): void {
    renameSync(this.#path(path), to);
  }
  close(): void {
    // Nothing is held open.
  }

  #path(path: BytePath): string | Buffer {
    return nodePath(path === '' ? this.#root : `${this.#root}/${path}`);
  }
}
