import { endianness } from 'node:os';
import koffi from 'koffi';
import type { BytePath } from './byte-path.js';
import { check } from './libc.js';
import { getdents64At, unlinkNameAt } from './libc-trees.js';
import { nativeUsageAt } from './native-file-status.js';
import type { DirectoryCursor, FileType, FileUsage } from './tree-calls.js';

/** Holds 1000 entries or more, and so nearly every directory. */
const PIECE = 64 * 1024;
/** With less room than this, the kernel may find none for the next entry. */
const LEAST_ROOM = 4096;
const LOW = endianness() === 'LE' ? 0 : 1;
/** Offsets in `struct linux_dirent64`. @see getdents(2) */
const RECORD_LENGTH = 16;
const TYPE = 18;
const NAME = 19;

/** Entries as the kernel has written them. */
interface Piece {
  readonly bytes: Buffer;
  /** Where they are in memory. */
  readonly address: number;
  /** Bytes filled. */
  length: number;
}

/** For the next cursor, when no other has it. */
let spare: Piece | undefined;

/**
 * The entries of a directory, read to its end before the first is shown: not every file system shows all the others to somebody who removes
 * some while reading. System calls get a name where the kernel has put it, and the strings and objects that a listing would be made
 * of come only when they are asked for: removing a file takes a tenth less time so.
 */
export class NativeDirectoryCursor implements DirectoryCursor {
  readonly #descriptor: number;
  readonly #pieces: Piece[];
  #piece: Piece | undefined;
  #at = 0;
  #next = 0;

  /** @param descriptor an open directory, which stays the caller's */
  constructor(descriptor: number) {
    this.#descriptor = descriptor;
    this.#pieces = readPieces(descriptor).reverse();
    this.#piece = this.#pieces.pop();
  }

  next(): boolean {
    while (this.#piece !== undefined) {
      const { bytes, length } = this.#piece;
      while (this.#next < length) {
        this.#at = this.#next;
        this.#next +=
          (bytes[this.#at + RECORD_LENGTH + LOW] ?? 0) | ((bytes[this.#at + RECORD_LENGTH + 1 - LOW] ?? 0) << 8);
        if (!isDots(bytes, this.#at + NAME)) return true;
      }
      spare ??= bytes.length === PIECE ? this.#piece : undefined;
      this.#piece = this.#pieces.pop();
      this.#next = 0;
    }
    return false;
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
  usage(): FileUsage {
    return nativeUsageAt(this.#descriptor, this.#current.address + this.#at + NAME);
  }
  removeFile(): void {
    const removed = unlinkNameAt(this.#descriptor, this.#current.address + this.#at + NAME, 0);
    // The name is not cut out for nothing.
    if (removed < 0) check(removed, 'unlink', this.name);
  }

  get #current(): Piece {
    if (this.#piece === undefined) throw new Error('the cursor stands on no entry');
    return this.#piece;
  }
}

function readPieces(descriptor: number): Piece[] {
  const pieces: Piece[] = [];
  let piece = spare ?? newPiece();
  spare = undefined;
  piece.length = 0;
  for (;;) {
    const room = PIECE - piece.length;
    const length = check(getdents64At(descriptor, piece.address + piece.length, room), 'getdents');
    piece.length += length;
    if (length === 0 || PIECE - piece.length < LEAST_ROOM) pieces.push(piece);
    if (length === 0) return pieces;
    if (PIECE - piece.length < LEAST_ROOM) piece = newPiece();
  }
}

function newPiece(): Piece {
  // Memory of this size is not the collector's to move.
  const bytes = Buffer.alloc(PIECE);
  return { bytes, address: Number(koffi.address(bytes)), length: 0 };
}

/** Whether `.` or `..` stands there. */
function isDots(bytes: Buffer, at: number): boolean {
  const DOT = 46;
  if (bytes[at] !== DOT) return false;
  return bytes[at + 1] === 0 || (bytes[at + 1] === DOT && bytes[at + 2] === 0);
}
