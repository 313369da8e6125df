import { constants, endianness } from 'node:os';
import { koffi } from '../../koffi.js';
import type { BytePath } from '../byte-path.js';
import type { DirectoryCursor, FileType, FileUsage } from '../tree-calls.js';
import { check, lastErrno, lastError } from './libc/libc.js';
import { getdents64At, lseekFar, SEEK_SET, unlinkNameAt } from './libc/libc-trees.js';
import { nativeUsageAt } from './native-file-status.js';

/** Holds 250 entries of the longest names, or 1000 and more of usual ones, and so nearly every directory. */
const PIECE = 64 * 1024;
const LOW = endianness() === 'LE' ? 0 : 1;
/** Offsets in `struct linux_dirent64`. @see getdents(2) */
const OFFSET = 8;
const RECORD_LENGTH = 16;
const TYPE = 18;
const NAME = 19;

/** Entries as the kernel has written them. */
interface Piece {
  readonly bytes: Buffer;
  /** Where they are in memory. */
  readonly address: number;
}

/** For the next cursors: a walk has one open in each directory on its way. */
const spare: Piece[] = [];
const MOST_SPARE = 16;

/**
 * The entries of a directory, one piece of what the kernel tells after the other, so that memory does not grow with the directory. System calls get a
 * name where the kernel has put it, and the strings and objects that a listing would be made of come only when they are asked for: removing a file takes a
 * tenth less time so.
 *
 * Entries may be removed on the way: the others are shown all the same, once, by every file system that a store can lie on, since `rm -rf` reads like this as
 * well. Where one does not keep to that, the directory turns out not to be empty in the end, and is read again. @see readdir(3p)
 */
export class NativeDirectoryCursor implements DirectoryCursor {
  readonly #descriptor: number;
  #piece: Piece | undefined = spare.pop() ?? newPiece();
  #length = 0;
  #at = 0;
  #next = 0;
  /** Where the piece begins, when it is not the first. */
  #start = 0n;

  /** @param descriptor an open directory, which stays the caller's @param position where to begin. Default: where it stands */
  constructor(descriptor: number, position: bigint | undefined) {
    this.#descriptor = descriptor;
    if (position === undefined) return;
    if (lseekFar(descriptor, position, SEEK_SET) < 0) throw lastError('lseek');
    this.#start = position;
  }

  next(): boolean {
    const { bytes } = this.#current;
    for (;;) {
      while (this.#next < this.#length) {
        this.#at = this.#next;
        this.#next +=
          (bytes[this.#at + RECORD_LENGTH + LOW] ?? 0) | ((bytes[this.#at + RECORD_LENGTH + 1 - LOW] ?? 0) << 8);
        if (!isDots(bytes, this.#at + NAME)) return true;
      }
      if (!this.#read()) return false;
    }
  }
  get type(): FileType | undefined {
    // It is that of a mode, 12 bits lower; some file systems leave it out.
    return (this.#current.bytes[this.#at + TYPE] ?? 0) << 12 || undefined;
  }
  get name(): BytePath {
    const { bytes } = this.#current;
    const start = this.#at + NAME;
    return bytes.toString('latin1', start, bytes.indexOf(0, start));
  }
  get inode(): number {
    const { bytes } = this.#current;
    return LOW === 0 ? bytes.readUInt32LE(this.#at) : bytes.readUInt32BE(this.#at + 4);
  }
  get before(): bigint {
    const { bytes } = this.#current;
    let previous: number | undefined;
    for (let at = 0; at < this.#at; ) {
      previous = at;
      at += (bytes[at + RECORD_LENGTH + LOW] ?? 0) | ((bytes[at + RECORD_LENGTH + 1 - LOW] ?? 0) << 8);
    }
    return previous === undefined ? this.#start : offsetAt(bytes, previous);
  }
  get after(): bigint {
    return offsetAt(this.#current.bytes, this.#at);
  }
  usage(): FileUsage {
    return nativeUsageAt(this.#descriptor, this.#current.address + this.#at + NAME);
  }
  removeFile(): void {
    const removed = unlinkNameAt(this.#descriptor, this.#current.address + this.#at + NAME, 0);
    // The name is not cut out for nothing.
    if (removed < 0) check(removed, 'unlink', this.name);
  }
  close(): void {
    if (this.#piece !== undefined && spare.length < MOST_SPARE) spare.push(this.#piece);
    this.#piece = undefined;
  }

  /** @returns false at the end */
  #read(): boolean {
    const { bytes, address } = this.#current;
    if (this.#length > 0) this.#start = offsetAt(bytes, this.#at);
    const length = getdents64At(this.#descriptor, address, PIECE);
    this.#at = 0;
    this.#next = 0;
    this.#length = Math.max(0, length);
    // A directory that has been removed has no entries any more.
    if (length < 0 && lastErrno() !== constants.errno.ENOENT) throw lastError('getdents');
    return length > 0;
  }

  get #current(): Piece {
    if (this.#piece === undefined) throw new Error('the cursor has been closed');
    return this.#piece;
  }
}

function newPiece(): Piece {
  // Memory of this size is not the collector's to move.
  const bytes = Buffer.alloc(PIECE);
  return { bytes, address: Number(koffi.address(bytes)) };
}

function offsetAt(bytes: Buffer, at: number): bigint {
  return LOW === 0 ? bytes.readBigInt64LE(at + OFFSET) : bytes.readBigInt64BE(at + OFFSET);
}

/** Whether `.` or `..` stands there. */
function isDots(bytes: Buffer, at: number): boolean {
  const DOT = 46;
  if (bytes[at] !== DOT) return false;
  return bytes[at + 1] === 0 || (bytes[at + 1] === DOT && bytes[at + 2] === 0);
}
