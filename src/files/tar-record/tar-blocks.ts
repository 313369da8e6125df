import type { BytePath } from '../../system/syscalls/byte-path.js';
import type { ByteReader, ByteWriter } from '../contents/bytes.js';
import { BLOCK, KIND_SHIFT, USUAL_CHECKSUM } from './tar-record.js';

/** The unit of a tar archive. @see POSIX.1-2017, pax, "ustar Interchange Format" */
export const TAR_BLOCK = 512;

/** What a block is, and so which block before it is most like it: an entry's header, that of an extended header or a long name, whatever else. */
export type BlockKind = 0 | 1 | 2;
export const ENTRY_HEADER: BlockKind = 0;
export const EXTENSION_HEADER: BlockKind = 1;
export const OTHER_BLOCK: BlockKind = 2;

const NAME = 0;
const NAME_LENGTH = 100;
const SIZE = 124;
const SIZE_LENGTH = 12;
const CHECKSUM = 148;
const CHECKSUM_LENGTH = 8;
const TYPE = 156;
const MAGIC = 257;
const PREFIX = 345;
const PREFIX_LENGTH = 155;
const KIND_MASK = 3;
const SPACE = 0x20;
const SLASH = 0x2f;
const DOT = 0x2e;
const DIGIT_0 = 0x30;
const EMPTY_CHECKSUM = CHECKSUM_LENGTH * SPACE;
/** Checksum digits that nearly all writers use, behind them a NUL and a space. */
const CHECKSUM_DIGITS = 6;
/** Equal bytes between two runs that cost less than another run. */
const GAP = 2;

/** Types of entries that say something of the entry behind them. */
const EXTENSIONS = new Set([...'xXgLK'].map((type) => type.charCodeAt(0)));

/** @param start of the block */
export function kindOfHeader(chunk: Buffer, start: number): BlockKind {
  return EXTENSIONS.has(chunk[start + TYPE] as number) ? EXTENSION_HEADER : ENTRY_HEADER;
}

/** A block of which the next one of its kind says only what is different. */
class Reference {
  readonly bytes = Buffer.from(new ArrayBuffer(TAR_BLOCK));
  readonly words = new Uint32Array(this.bytes.buffer);
  /** Of all bytes but the checksum's own. */
  sum = 0;
}

function references(): [Reference, Reference, Reference] {
  return [new Reference(), new Reference(), new Reference()];
}

/**
 * Blocks as the differences from the last one of their kind:
 *
 *   step · number of runs · (equal bytes before · length · bytes)… · [checksum, where it is not the usual one]
 *
 * Of a header the eight bytes of the checksum are in no run: as nearly all writers have them, they follow from the others.
 */
export class BlockEncoder {
  readonly #references = references();
  readonly #starts = new Uint16Array(TAR_BLOCK);
  readonly #ends = new Uint16Array(TAR_BLOCK);
  #viewed: Buffer | undefined;
  #view: Uint32Array = new Uint32Array();

  /** The last header of an entry, but for its checksum. */
  get entryHeader(): Buffer {
    return this.#references[ENTRY_HEADER].bytes;
  }

  /** Writes a whole step for the block at `start`. */
  encode(kind: BlockKind, chunk: Buffer, start: number, out: ByteWriter): void {
    const reference = this.#references[kind];
    const { bytes: before, words: wordsBefore } = reference;
    const words = this.#wordsOf(chunk, start);
    const firstWord = start / 4;
    const starts = this.#starts;
    const ends = this.#ends;
    const isHeader = kind !== OTHER_BLOCK;
    let runs = 0;
    let { sum } = reference;
    for (let at = 0; at < TAR_BLOCK; at++) {
      // Most are equal, and four bytes are compared in the time of one.
      while (
        words !== undefined &&
        (at & 3) === 0 &&
        at < TAR_BLOCK &&
        words[firstWord + at / 4] === wordsBefore[at / 4]
      )
        at += 4;
      if (at === TAR_BLOCK) break;
      const byte = chunk[start + at] as number;
      const was = before[at] as number;
      if (byte === was || (isHeader && at >= CHECKSUM && at < CHECKSUM + CHECKSUM_LENGTH)) continue;
      sum += byte - was;
      before[at] = byte;
      if (runs > 0 && at - (ends[runs - 1] as number) <= GAP) ends[runs - 1] = at + 1;
      else {
        starts[runs] = at;
        ends[runs++] = at + 1;
      }
    }
    reference.sum = sum;
    const isUsual = isHeader && hasUsualChecksum(chunk, start, sum);
    out.byte(BLOCK | (kind << KIND_SHIFT) | (isUsual ? USUAL_CHECKSUM : 0));
    out.number(runs);
    let last = 0;
    for (let run = 0; run < runs; run++) {
      const from = starts[run] as number;
      const to = ends[run] as number;
      out.number(from - last);
      out.number(to - from);
      out.bytes(before, from, to);
      last = to;
    }
    if (isHeader && !isUsual) out.bytes(chunk, start + CHECKSUM, start + CHECKSUM + CHECKSUM_LENGTH);
  }

  /** The chunk in words, where its blocks lie at such; a chunk has many blocks. */
  #wordsOf(chunk: Buffer, start: number): Uint32Array | undefined {
    if (((chunk.byteOffset | start) & 3) !== 0) return undefined;
    if (this.#viewed !== chunk) {
      this.#viewed = chunk;
      this.#view = new Uint32Array(chunk.buffer, chunk.byteOffset, chunk.length >> 2);
    }
    return this.#view;
  }
}

/** Reads what an encoder wrote. */
export class BlockDecoder {
  readonly #references = references();

  get entryHeader(): Buffer {
    return this.#references[ENTRY_HEADER].bytes;
  }

  /** @param step its first byte @returns the block, until the next call @throws RangeError for bytes that no encoder wrote */
  decode(step: number, from: ByteReader): Buffer {
    const kind = ((step >> KIND_SHIFT) & KIND_MASK) as BlockKind;
    const reference = this.#references[kind];
    if (reference === undefined) throw new RangeError('a block of no kind');
    const { bytes } = reference;
    let { sum } = reference;
    let at = 0;
    for (let runs = from.number(); runs > 0; runs--) {
      at += from.number();
      const length = from.number();
      if (at + length > TAR_BLOCK) throw new RangeError('a block is longer than a block');
      const run = from.take(length);
      for (let index = 0; index < length; index++, at++) {
        sum += (run[index] as number) - (bytes[at] as number);
        bytes[at] = run[index] as number;
      }
    }
    reference.sum = sum;
    if (kind !== OTHER_BLOCK) {
      if ((step & USUAL_CHECKSUM) !== 0) writeChecksum(bytes, sum);
      else bytes.set(from.take(CHECKSUM_LENGTH), CHECKSUM);
    }
    return bytes;
  }
}

function hasUsualChecksum(chunk: Buffer, start: number, sum: number): boolean {
  const first = start + CHECKSUM;
  if (chunk[first + CHECKSUM_DIGITS] !== 0 || chunk[first + CHECKSUM_DIGITS + 1] !== SPACE) return false;
  let rest = sum + EMPTY_CHECKSUM;
  for (let at = first + CHECKSUM_DIGITS - 1; at >= first; at--) {
    if (chunk[at] !== DIGIT_0 + (rest & 7)) return false;
    rest >>= 3;
  }
  return rest === 0;
}

function writeChecksum(block: Buffer, sum: number): void {
  let rest = sum + EMPTY_CHECKSUM;
  for (let at = CHECKSUM + CHECKSUM_DIGITS - 1; at >= CHECKSUM; at--) {
    block[at] = DIGIT_0 + (rest & 7);
    rest >>= 3;
  }
  block[CHECKSUM + CHECKSUM_DIGITS] = 0;
  block[CHECKSUM + CHECKSUM_DIGITS + 1] = SPACE;
}

/** Bytes of data, as far as the header says so in octal digits; -1 for any other way to say it. Encoder and decoder must agree on it, and nobody else. */
export function sizeInHeader(header: Buffer): number {
  let size = 0;
  for (let at = SIZE; at < SIZE + SIZE_LENGTH; at++) {
    const digit = (header[at] as number) - DIGIT_0;
    if (digit < 0 || digit > 7) return at > SIZE ? size : -1;
    size = size * 8 + digit;
  }
  return size;
}

/** The path in a header block, as an unpacker calls it when it is an ordinary one. As above. */
export function pathInHeader(header: Buffer): BytePath {
  const name = textIn(header, NAME, NAME_LENGTH);
  const isPosix =
    header[MAGIC + 5] === 0 && header[PREFIX] !== 0 && header.toString('latin1', MAGIC, MAGIC + 5) === 'ustar';
  const path = isPosix ? `${textIn(header, PREFIX, PREFIX_LENGTH)}/${name}` : name;
  if (path.startsWith('./')) return path.slice(2);
  return path.startsWith('/') ? path.slice(1) : path;
}

/** Whether `pathInHeader` would say this, mostly without making a text of it. */
export function isPathInHeader(header: Buffer, path: BytePath): boolean {
  const start = header[NAME] === SLASH ? 1 : header[NAME] === DOT && header[NAME + 1] === SLASH ? 2 : 0;
  const end = start + path.length;
  if (header[PREFIX] !== 0 || end >= NAME_LENGTH) return pathInHeader(header) === path;
  for (let at = start; at < end; at++) if (header[at] !== path.charCodeAt(at - start)) return false;
  return header[end] === 0;
}

function textIn(header: Buffer, start: number, length: number): string {
  let end = start;
  while (end < start + length && header[end] !== 0) end++;
  return header.toString('latin1', start, end);
}
