import { toBytePath } from '../byte-path.js';
import type { FileTime } from '../syscalls.js';
import type { FileStatus, OpenDirectory, TreeCalls, Xattrs } from '../tree-calls.js';
import { AT_FDCWD, check, close, fchmod, fchown, futimens } from './libc/libc.js';
import { timespecs } from './libc/timespecs.js';
import { copyContent, nextData } from './native-copy-content.js';
import { nativeStatus } from './native-file-status.js';
import { openDirectory } from './native-open.js';
import { NativeOpenDirectory } from './native-open-directory.js';
import { DescriptorXattrs } from './native-xattrs.js';

/** Linux, through koffi, with which the cheapest call there is (getppid) takes 0.2 µs. */
export class NativeTreeCalls implements TreeCalls {
  readonly kind = 'native';

  openDirectory(path: string): OpenDirectory {
    return new NativeOpenDirectory(openDirectory(AT_FDCWD, toBytePath(path)));
  }
  fileStatus(descriptor: number): FileStatus {
    return nativeStatus(descriptor, '');
  }
  copyContent(from: number, to: number, status: FileStatus, pause: () => void): void {
    copyContent(from, to, status, pause);
  }
  nextData(descriptor: number, position: number, size: number): { start: number; end: number } | undefined {
    return nextData(descriptor, position, size);
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
  fileXattrs(descriptor: number): Xattrs {
    return new DescriptorXattrs(descriptor);
  }
  closeFile(descriptor: number): void {
    check(close(descriptor), 'close');
  }
}
