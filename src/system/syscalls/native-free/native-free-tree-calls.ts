import { closeSync, fchmodSync, fchownSync, fstatSync, futimesSync } from 'node:fs';
import { toBytePath } from '../byte-path.js';
import type { FileTime } from '../syscalls.js';
import { type FileStatus, NO_XATTRS, type OpenDirectory, type TreeCalls, type Xattrs } from '../tree-calls.js';
import { copyContent } from './native-free-copy-content.js';
import { NativeFreeFileStatus } from './native-free-file-status.js';
import { nodeTime } from './native-free-file-time.js';
import { NativeFreeOpenDirectory } from './native-free-open-directory.js';

/** What plain Node can do on any system: no devices, no xattrs, and times to the microsecond. */
export class NativeFreeTreeCalls implements TreeCalls {
  readonly kind = 'native-free';

  openDirectory(path: string): OpenDirectory {
    return NativeFreeOpenDirectory.open(toBytePath(path));
  }
  fileStatus(descriptor: number): FileStatus {
    return new NativeFreeFileStatus(fstatSync(descriptor, { bigint: true }));
  }
  copyContent(from: number, to: number, status: FileStatus, pause: () => void): void {
    copyContent(from, to, status, pause);
  }
  nextData(_descriptor: number, position: number, size: number): { start: number; end: number } | undefined {
    return position < size ? { start: position, end: size } : undefined;
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
  fileXattrs(): Xattrs {
    return NO_XATTRS;
  }
  closeFile(descriptor: number): void {
    closeSync(descriptor);
  }
}
