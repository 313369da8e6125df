import { createHash } from 'node:crypto';
import { closeSync, constants, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { systemCode } from '../../base/errors.js';
import { makeOwnFile } from '../../base/own-files.js';

/**
 * A record of a layer, in a file beside its rootfs:
 *
 *   magic           a line that says what it is
 *   block…          stored length · raw length (4 bytes each, low first) · what it holds, deflated
 *   end             0 · length of the summary · summary: JSON
 *   checksum        SHA-256 of all before, 32 bytes
 *
 * The last line means that damage of the record is told from damage of the layer: no bit of the file can change unnoticed.
 */
const BLOCK_HEADER = 8;
const CHECKSUM_BYTES = 32;
/** What a block should hold before it is deflated: memory stays small, and larger blocks save next to nothing. */
export const BLOCK_SIZE = 256 * 1024;
/** An entry with the largest attributes that the kernel takes is much smaller than this. */
const RAW_MAX = 256 * 1024 * 1024;

/** Writes one. `finish` or not, it has to be closed. */
export class RecordFileWriter {
  readonly #descriptor: number;
  readonly #hash = createHash('sha256');
  #length = 0;

  /** @param path where nothing is yet @throws like Node's `fs` */
  constructor(path: string, magic: Buffer) {
    this.#descriptor = makeOwnFile(path, 'wx');
    try {
      this.#write(magic);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Bytes written so far: where the next block will be. */
  get length(): number {
    return this.#length;
  }

  block(raw: Uint8Array): void {
    // The fastest level: the next one takes twice the time for a twentieth of the size.
    const stored = deflateRawSync(raw, { level: 1 });
    this.#write(blockHeader(stored.length, raw.length));
    this.#write(stored);
  }

  /** @returns the checksum */
  finish(summary: object): Buffer {
    const text = Buffer.from(JSON.stringify(summary));
    this.#write(blockHeader(0, text.length));
    this.#write(text);
    const checksum = this.#hash.digest();
    writeFully(this.#descriptor, checksum);
    this.#length += checksum.length;
    return checksum;
  }

  close(): void {
    closeSync(this.#descriptor);
  }

  #write(bytes: Uint8Array): void {
    this.#hash.update(bytes);
    writeFully(this.#descriptor, bytes);
    this.#length += bytes.length;
  }
}

/** The record cannot be used: it is missing, or not what was written. */
export class RecordFileError extends Error {
  readonly missing: boolean;
  constructor(message: string, missing: boolean, options?: ErrorOptions) {
    super(message, options);
    this.missing = missing;
  }
}

/** One whose checksum has been found right. Close it. */
export class RecordFileReader {
  /** As it was given to `finish`. */
  readonly summary: unknown;
  readonly #descriptor: number;
  /** Of the first block, and of the end. */
  readonly #start: number;
  readonly #end: number;

  /**
   * Opens a record and checks all of it.
   * @throws RecordFileError; else like Node's `fs`
   */
  static open(path: string, magic: Buffer): RecordFileReader {
    const descriptor = opened(path);
    try {
      return new RecordFileReader(descriptor, magic);
    } catch (error) {
      closeSync(descriptor);
      throw error;
    }
  }

  private constructor(descriptor: number, magic: Buffer) {
    this.#descriptor = descriptor;
    this.#start = magic.length;
    const { length: checked } = checkFile(descriptor);
    if (checked < magic.length || !this.#bytes(0, magic.length).equals(magic))
      throw new RecordFileError('the record does not begin as one', false);
    let at = this.#start;
    for (;;) {
      const { stored, raw } = this.#header(at, checked);
      if (stored === 0) {
        this.#end = at;
        this.summary = JSON.parse(this.#bytes(at + BLOCK_HEADER, raw).toString());
        return;
      }
      at += BLOCK_HEADER + stored;
    }
  }

  /** All blocks, in order. @param from where to begin, as the writer's `length` said. Default: with the first one */
  *blocks(from = this.#start): Generator<Buffer, void, undefined> {
    for (let at = from; at < this.#end; ) {
      const { stored, raw } = this.#header(at, this.#end);
      yield inflateRawSync(this.#bytes(at + BLOCK_HEADER, stored), { maxOutputLength: Math.max(raw, 1) });
      at += BLOCK_HEADER + stored;
    }
  }

  close(): void {
    closeSync(this.#descriptor);
  }

  #header(at: number, end: number): { stored: number; raw: number } {
    const header = this.#bytes(at, BLOCK_HEADER);
    const [stored, raw] = [header.readUInt32LE(0), header.readUInt32LE(4)];
    const length = stored === 0 ? raw : stored;
    if (raw > RAW_MAX || at + BLOCK_HEADER + length > end) throw malformedRecord();
    return { stored, raw };
  }

  #bytes(position: number, length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length);
    for (let done = 0; done < length; ) {
      const count = readSync(this.#descriptor, bytes, done, length - done, position + done);
      if (count === 0) throw malformedRecord();
      done += count;
    }
    return bytes;
  }
}

/**
 * The checksum of a record, in hex, when it is that of all there is before.
 * @throws RecordFileError; else like Node's `fs`
 */
export function checksumOf(path: string): string {
  const descriptor = opened(path);
  try {
    return checkFile(descriptor).checksum.toString('hex');
  } finally {
    closeSync(descriptor);
  }
}

/** Whatever stands in its place is not waited for, nor followed. */
function opened(path: string): number {
  let descriptor: number;
  try {
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT') throw new RecordFileError('the record is missing', true, { cause: error });
    if (code !== 'ELOOP' && code !== 'ENXIO') throw error;
    throw new RecordFileError('the record is no file', false, { cause: error });
  }
  if (fstatSync(descriptor).isFile()) return descriptor;
  closeSync(descriptor);
  throw new RecordFileError('the record is no file', false);
}

/** @returns how many bytes there are before the checksum, which is theirs */
function checkFile(descriptor: number): { readonly length: number; readonly checksum: Buffer } {
  const hash = createHash('sha256');
  const piece = Buffer.allocUnsafe(BLOCK_SIZE);
  let tail: Buffer = Buffer.alloc(0);
  let length = 0;
  for (let position = 0; ; ) {
    const count = readSync(descriptor, piece, 0, piece.length, position);
    if (count === 0) break;
    position += count;
    const known = Buffer.concat([tail, piece.subarray(0, count)]);
    const settled = Math.max(0, known.length - CHECKSUM_BYTES);
    hash.update(known.subarray(0, settled));
    length += settled;
    tail = known.subarray(settled);
  }
  if (!hash.digest().equals(tail)) throw new RecordFileError('the checksum of the record does not fit', false);
  return { length, checksum: tail };
}

/** Only for a record with the right checksum that this release cannot read all the same. */
export function malformedRecord(cause?: unknown): RecordFileError {
  return new RecordFileError('the record makes no sense', false, { cause });
}

function blockHeader(stored: number, raw: number): Buffer {
  const header = Buffer.allocUnsafe(BLOCK_HEADER);
  header.writeUInt32LE(stored, 0);
  header.writeUInt32LE(raw, 4);
  return header;
}

function writeFully(descriptor: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length; ) done += writeSync(descriptor, bytes, done);
}
