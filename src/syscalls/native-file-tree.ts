import { closeSync, constants, ftruncateSync, openSync, writeSync } from 'node:fs';
import { type BytePath, cPath } from './byte-path.js';
import {
  AT_REMOVEDIR,
  AT_SYMLINK_NOFOLLOW,
  check,
  close,
  fchmod,
  fchmodat,
  fchown,
  fchownat,
  futimens,
  linkat,
  lsetxattr,
  mkdirat,
  mknodat,
  openat,
  symlinkat,
  unlinkat,
  utimensat,
  write,
} from './libc.js';
import { nativeInode } from './native-file-status.js';
import { readLink } from './read-link.js';
import { type DeviceNumber, type FileTime, type FileTree, makeDevice } from './syscalls.js';
import { timespecs } from './timespecs.js';

const O_CLOEXEC = 0o2000000;
const CREATE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW | O_CLOEXEC;

/**
 * Calls relative to an open directory, so the length of the path that leads to it does not matter. Through koffi a file of 8 KiB
 * (open, write, futimens, close) takes 12 µs on a tmpfs, through `fs` 13.5 µs, and `fs` has no nanoseconds.
 */
export class NativeFileTree implements FileTree {
  readonly #root: number;
  /** A short path to the root, for the calls that take no directory. */
  readonly #magic: string;

  constructor(directory: string) {
    this.#root = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
    this.#magic = `/proc/self/fd/${this.#root}`;
  }

  createFile(path: BytePath, mode: number): number {
    return check(openat(this.#root, cPath(path), CREATE, mode), 'open', path);
  }
  writeFile(descriptor: number, bytes: Uint8Array, offset: number, length: number): void {
    let done = 0;
    while (done < length) {
      const rest = offset === 0 && done === 0 ? bytes : bytes.subarray(offset + done, offset + length);
      done += check(write(descriptor, rest, length - done), 'write');
    }
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
    check(fchown(descriptor, uid, gid), 'fchown');
  }
  setFileMode(descriptor: number, mode: number): void {
    check(fchmod(descriptor, mode), 'fchmod');
  }
  setFileTimes(descriptor: number, accessed: FileTime, modified: FileTime): void {
    check(futimens(descriptor, timespecs(accessed, modified)), 'futimens');
  }
  fileInode(descriptor: number): { readonly inode: number; readonly inodeHigh: number } {
    return nativeInode(descriptor);
  }
  closeFile(descriptor: number): void {
    check(close(descriptor), 'close');
  }
  makeDirectory(path: BytePath, mode: number): void {
    check(mkdirat(this.#root, cPath(path), mode), 'mkdir', path);
  }
  makeSymlink(target: BytePath, path: BytePath): void {
    check(symlinkat(cPath(target), this.#root, cPath(path)), 'symlink', path);
  }
  makeHardLink(existing: BytePath, path: BytePath): void {
    check(linkat(this.#root, cPath(existing), this.#root, cPath(path), 0), 'link', path);
  }
  makeNode(path: BytePath, mode: number, device: DeviceNumber): void {
    check(mknodat(this.#root, cPath(path), mode, makeDevice(device)), 'mknod', path);
  }
  setOwner(path: BytePath, uid: number, gid: number): void {
    check(fchownat(this.#root, cPath(path || '.'), uid, gid, AT_SYMLINK_NOFOLLOW), 'lchown', path);
  }
  setMode(path: BytePath, mode: number): void {
    check(fchmodat(this.#root, cPath(path || '.'), mode, 0), 'chmod', path);
  }
  setTimes(path: BytePath, accessed: FileTime, modified: FileTime): void {
    const times = timespecs(accessed, modified);
    check(utimensat(this.#root, cPath(path || '.'), times, AT_SYMLINK_NOFOLLOW), 'utimensat', path);
  }
  setXattr(path: BytePath, name: string, value: Uint8Array): void {
    // The root itself is reached with a trailing slash: the magic link must be followed for it.
    check(lsetxattr(cPath(`${this.#magic}/${path}`), cPath(name), value, value.length, 0), 'setxattr', path);
  }
  readLink(path: BytePath): BytePath | undefined {
    return readLink(`${this.#magic}/${path}`);
  }
  removeFile(path: BytePath): void {
    check(unlinkat(this.#root, cPath(path), 0), 'unlink', path);
  }
  removeDirectory(path: BytePath): void {
    check(unlinkat(this.#root, cPath(path), AT_REMOVEDIR), 'rmdir', path);
  }
  close(): void {
    closeSync(this.#root);
  }
}
