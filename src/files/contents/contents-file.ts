import { createHash } from 'node:crypto';
import { closeSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { systemCode } from '../../base/errors.js';
import { makeOwnFile } from '../../base/own-files.js';
import { layerContents } from '../../paths.js';
import { Totals, type TreeEntry, type TreeTotals, type TreeVisitor } from './contents.js';
import { decodeEntries, EntryEncoder } from './entry-codec.js';

/**
 * The contents record of a layer: what its files were like when it was complete, in a file beside them.
 *
 *   "provisioner contents 1\n"
 *   block…          stored length · raw length (4 bytes each, low first) · deflated entries, see `entry-codec.ts`
 *   end             0 · length of the summary · summary: JSON
 *   checksum        SHA-256 of all before, 32 bytes
 *
 * The last line means that damage of the record is told from damage of the layer: no bit of the file can change unnoticed.
 */
const MAGIC = Buffer.from('provisioner contents 1\n');
const BLOCK_HEADER = 8;
const CHECKSUM_BYTES = 32;
/** Entries are deflated when there are so many bytes of them: memory stays small, and larger blocks save next to nothing. */
const BLOCK_SIZE = 256 * 1024;
/** An entry with the largest attributes that the kernel takes is much smaller than this. */
const RAW_MAX = 256 * 1024 * 1024;

/** The record's last part. */
export interface ContentsSummary extends TreeTotals {
  /** SHA-256 of the file beside the rootfs that says what the layer says about those below; null where there is none. */
  readonly stacking: string | null;
}

export class ContentsWriter implements TreeVisitor {
  readonly totals = new Totals();
  readonly #descriptor: number;
  readonly #encoder = new EntryEncoder();
  readonly #hash = createHash('sha256');

  /** @throws like Node's `fs` */
  constructor(layerDirectory: string) {
    this.#descriptor = makeOwnFile(layerContents(layerDirectory), 'wx');
    try {
      this.#write(MAGIC);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  enter(directory: TreeEntry): void {
    this.entry(directory);
  }
  entry(entry: TreeEntry): void {
    this.totals.add(entry);
    this.#encoder.entry(entry);
    if (this.#encoder.bytes.length >= BLOCK_SIZE) this.#endBlock();
  }
  leave(): void {
    this.#encoder.leave();
  }

  finish(stacking: string | null): void {
    this.#endBlock();
    const { entries, size } = this.totals;
    const summary: ContentsSummary = { entries, size, stacking };
    const text = Buffer.from(JSON.stringify(summary));
    this.#write(blockHeader(0, text.length));
    this.#write(text);
    writeFully(this.#descriptor, this.#hash.digest());
  }

  close(): void {
    closeSync(this.#descriptor);
  }

  #endBlock(): void {
    const { written } = this.#encoder.bytes;
    if (written.length === 0) return;
    // The fastest level: the next one takes twice the time for a twentieth of the size.
    const stored = deflateRawSync(written, { level: 1 });
    this.#write(blockHeader(stored.length, written.length));
    this.#write(stored);
    this.#encoder.reset();
  }

  #write(bytes: Uint8Array): void {
    this.#hash.update(bytes);
    writeFully(this.#descriptor, bytes);
  }
}

/** The record cannot be used: it is missing, or not what was written. */
export class ContentsRecordError extends Error {
  readonly missing: boolean;
  constructor(message: string, missing: boolean, options?: ErrorOptions) {
    super(message, options);
    this.missing = missing;
  }
}

/** A record whose checksum has been found right. Close it. */
export class ContentsReader {
  readonly summary: ContentsSummary;
  readonly #descriptor: number;
  /** Of the first block, and of the end. */
  readonly #start = MAGIC.length;
  readonly #end: number;

  /**
   * Opens a layer's record and checks all of it.
   * @throws ContentsRecordError; else like Node's `fs`
   */
  static open(layerDirectory: string): ContentsReader {
    let descriptor: number;
    try {
      descriptor = openSync(layerContents(layerDirectory), 'r');
    } catch (error) {
      if (systemCode(error) !== 'ENOENT') throw error;
      throw new ContentsRecordError('the record is missing', true, { cause: error });
    }
    try {
      return new ContentsReader(descriptor);
    } catch (error) {
      closeSync(descriptor);
      throw error;
    }
  }

  private constructor(descriptor: number) {
    this.#descriptor = descriptor;
    const checked = this.#checkedLength();
    let at = this.#start;
    for (;;) {
      const { stored, raw } = this.#header(at, checked);
      if (stored === 0) {
        this.#end = at;
        this.summary = parseSummary(this.#bytes(at + BLOCK_HEADER, raw));
        return;
      }
      at += BLOCK_HEADER + stored;
    }
  }

  /** Goes through all entries. @param pause called between blocks of some thousands; may throw */
  read(visitor: TreeVisitor, pause: () => void): void {
    for (let at = this.#start; at < this.#end; ) {
      pause();
      const { stored, raw } = this.#header(at, this.#end);
      const block = this.#bytes(at + BLOCK_HEADER, stored);
      decodeEntries(inflateRawSync(block, { maxOutputLength: Math.max(raw, 1) }), visitor);
      at += BLOCK_HEADER + stored;
    }
  }

  close(): void {
    closeSync(this.#descriptor);
  }

  /** @returns how many bytes there are before the checksum, which is theirs */
  #checkedLength(): number {
    const hash = createHash('sha256');
    const piece = Buffer.allocUnsafe(BLOCK_SIZE);
    let tail: Buffer = Buffer.alloc(0);
    let length = 0;
    for (let position = 0; ; ) {
      const count = readSync(this.#descriptor, piece, 0, piece.length, position);
      if (count === 0) break;
      if (position === 0 && !piece.subarray(0, Math.min(count, MAGIC.length)).equals(MAGIC)) {
        throw new ContentsRecordError('the record does not begin as one', false);
      }
      position += count;
      const known = Buffer.concat([tail, piece.subarray(0, count)]);
      const settled = Math.max(0, known.length - CHECKSUM_BYTES);
      hash.update(known.subarray(0, settled));
      length += settled;
      tail = known.subarray(settled);
    }
    if (!hash.digest().equals(tail)) throw new ContentsRecordError('the checksum of the record does not fit', false);
    return length;
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

/** SHA-256 of a small file, in hex; null where there is none. */
export function digestOfFile(path: string): string | null {
  try {
    return createHash('sha256').update(readFileSync(path)).digest('hex');
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return null;
    throw error;
  }
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

function parseSummary(text: Buffer): ContentsSummary {
  const { entries, size, stacking } = JSON.parse(text.toString()) as ContentsSummary;
  return { entries, size, stacking };
}

/** Only for a record with the right checksum that this release cannot read all the same. */
function malformedRecord(): ContentsRecordError {
  return new ContentsRecordError('the record makes no sense', false);
}
