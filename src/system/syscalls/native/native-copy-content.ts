import { ftruncateSync } from 'node:fs';
import { constants as os } from 'node:os';
import { COPY_PIECE, type FileStatus } from '../tree-calls.js';
import { check, lastErrno, lastError, write } from './libc/libc.js';
import { copyFileRange, FICLONE, ioctl, lseek, read, SEEK_DATA, SEEK_HOLE, SEEK_SET } from './libc/libc-trees.js';

/** What the kernel answers when these two files, or any two here, cannot be copied inside it. */
const NOT_IN_KERNEL: ReadonlySet<number> = new Set([
  os.errno.EXDEV,
  os.errno.ENOSYS,
  os.errno.EOPNOTSUPP,
  os.errno.EINVAL,
  os.errno.EPERM,
  os.errno.ETXTBSY,
]);

/** Made when first needed: most systems never need it. */
let buffer: Buffer | undefined;

/** See `TreeCalls.copyContent`. */
export function copyContent(from: number, to: number, status: FileStatus, pause: () => void): void {
  if (status.size === 0) return;
  // Fewer blocks than bytes: there may be holes (or the file system compresses; then the search finds none).
  if (status.disk < status.size) copySparse(from, to, status.size, pause);
  else copyPiecewise(from, to, status.size, pause);
}

function copySparse(from: number, to: number, size: number, pause: () => void): void {
  if (ioctl(to, FICLONE, from) === 0) return;
  for (let position = 0; position < size; ) {
    const data = lseek(from, position, SEEK_DATA);
    if (data < 0) {
      // ENXIO: nothing but a hole from here on.
      if (lastErrno() === os.errno.ENXIO) break;
      throw lastError('lseek');
    }
    const hole = lseek(from, data, SEEK_HOLE);
    if (hole < 0) {
      // It has been cut shorter meanwhile.
      if (lastErrno() === os.errno.ENXIO) break;
      throw lastError('lseek');
    }
    check(lseek(from, data, SEEK_SET), 'lseek');
    check(lseek(to, data, SEEK_SET), 'lseek');
    copyPiecewise(from, to, hole - data, pause);
    position = hole;
  }
  ftruncateSync(to, size);
}

/** See `TreeCalls.nextData`. */
export function nextData(
  descriptor: number,
  position: number,
  size: number,
): { start: number; end: number } | undefined {
  if (position >= size) return undefined;
  const start = lseek(descriptor, position, SEEK_DATA);
  if (start < 0) {
    const number = lastErrno();
    if (number === os.errno.ENXIO) return undefined;
    // A file system that knows no holes.
    if (number === os.errno.EINVAL || number === os.errno.ENOTSUP) return { start: position, end: size };
    throw lastError('lseek');
  }
  const end = check(lseek(descriptor, start, SEEK_HOLE), 'lseek');
  return start >= size ? undefined : { start, end: Math.min(end, size) };
}

/**
 * Copies `length` bytes at both files' positions. copy_file_range shares blocks on Btrfs, XFS and bcachefs, and elsewhere moves the data
 * once where read and write move it twice.
 */
function copyPiecewise(from: number, to: number, length: number, pause: () => void): void {
  for (let left = length; left > 0; ) {
    const copied = copyFileRange(from, null, to, null, Math.min(left, COPY_PIECE), 0);
    if (copied < 0 && !NOT_IN_KERNEL.has(lastErrno())) throw lastError('copy_file_range');
    // Some kernels answer 0 for files that they cannot copy this way; reading tells the end of the file from that.
    if (copied <= 0) {
      readAndWrite(from, to, left, pause);
      return;
    }
    left -= copied;
    if (left > 0) pause();
  }
}

function readAndWrite(from: number, to: number, length: number, pause: () => void): void {
  buffer ??= Buffer.alloc(1024 * 1024);
  for (let left = length; left > 0; ) {
    const count = check(read(from, buffer, Math.min(left, buffer.length)), 'read');
    if (count === 0) return;
    for (let done = 0; done < count; ) {
      done += check(write(to, done === 0 ? buffer : buffer.subarray(done), count - done), 'write');
    }
    left -= count;
    if (left % COPY_PIECE < buffer.length) pause();
  }
}
