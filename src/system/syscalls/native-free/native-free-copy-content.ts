import { constants, copyFileSync, ftruncateSync, readSync, writeSync } from 'node:fs';
import { COPY_PIECE, type FileStatus } from '../tree-calls.js';

const BUFFER_SIZE = 1024 * 1024;
/** Holes are kept in steps of this size, the block size of most file systems. */
const HOLE_STEP = 4096;
const ZEROS = Buffer.alloc(HOLE_STEP);
/** `copyFileSync` opens both files once more; what it could share of a smaller one is not worth that. */
const LEAST_WORTH_SHARING = 256 * 1024;

let buffer: Buffer | undefined;

/** See `TreeCalls.copyContent`. */
export function copyContent(from: number, to: number, status: FileStatus, pause: () => void): void {
  const sparse = status.disk < status.size;
  if (status.size >= LEAST_WORTH_SHARING && shareBlocks(from, to, sparse || status.size > COPY_PIECE)) return;
  buffer ??= Buffer.alloc(BUFFER_SIZE);
  for (let position = 0; position < status.size; ) {
    const count = readSync(from, buffer, 0, Math.min(buffer.length, status.size - position), position);
    if (count === 0) break;
    const bytes = buffer.subarray(0, count);
    if (sparse) writeWithoutZeros(to, bytes, position);
    else writeAll(to, bytes, position);
    position += count;
    if (position % COPY_PIECE < count) pause();
  }
  if (sparse) ftruncateSync(to, status.size);
}

/**
 * Lets the kernel copy, which shares blocks where it can.
 * @param only when the kernel must not copy byte by byte: that fills holes, and cannot be cancelled
 */
function shareBlocks(from: number, to: number, only: boolean): boolean {
  if (process.platform !== 'linux') return false;
  try {
    const mode = only ? constants.COPYFILE_FICLONE_FORCE : constants.COPYFILE_FICLONE;
    copyFileSync(`/proc/self/fd/${from}`, `/proc/self/fd/${to}`, mode);
    return true;
  } catch {
    // No /proc, no shared blocks here, or a file whose mode forbids to open it again: reading and writing does it, or says what is wrong.
    ftruncateSync(to, 0);
    return false;
  }
}

function writeWithoutZeros(to: number, bytes: Buffer, position: number): void {
  for (let at = 0; at < bytes.length; at += HOLE_STEP) {
    const step = bytes.subarray(at, at + HOLE_STEP);
    if (!step.equals(step.length === HOLE_STEP ? ZEROS : ZEROS.subarray(0, step.length)))
      writeAll(to, step, position + at);
  }
}

function writeAll(to: number, bytes: Buffer, position: number): void {
  for (let done = 0; done < bytes.length; ) {
    done += writeSync(to, bytes, done, bytes.length - done, position + done);
  }
}
