import { rmSync } from 'node:fs';
import { layerTar } from '../../paths.js';
import type { BytePath } from '../../system/syscalls/byte-path.js';
import { ByteWriter } from '../contents/bytes.js';
import { BLOCK_SIZE, RecordFileWriter } from '../contents/record-file.js';
import {
  BlockEncoder,
  type BlockKind,
  isPathInHeader,
  kindOfHeader,
  OTHER_BLOCK,
  sizeInHeader,
  TAR_BLOCK,
} from './tar-blocks.js';
import {
  BYTES,
  type DataSegment,
  LOST,
  OWN_LENGTH,
  OWN_PATH,
  PADDING,
  PAYLOAD,
  SPARSE,
  TAR_RECORD_MAGIC,
  type TarRecordSummary,
  ZEROS,
} from './tar-record.js';

/**
 * What a record may take. The largest image we know takes 8 bytes for an entry; the rest is for signatures and other attributes that do not deflate, and for archives that
 * hold files which their layer does not. Beyond that a record would be a second copy of the layer: there is none then.
 */
const STORED_MAX = 64 * 2 ** 20;
const STORED_PER_BLOCK = 64;
/** Payloads that may be lost: each is remembered. */
const LOST_MAX = 65_536;
/** Stretches of sparse files that are remembered, should the file be lost. */
const SEGMENTS_KEPT = 100_000;
/**
 * Directories that whoever makes the archive again has to leave and enter, from each file to the next: some fifteen microseconds each. The large image that we know has one for each fourth file; paths of 2000
 * components, in two trees in turn, would take a day.
 */
const WAY_MAX = 1_000_000;
const WAY_PER_BLOCK = 4;
/** Bytes of one step. */
const STEP_BYTES = 64 * 1024;

const NOTHING = Buffer.alloc(STEP_BYTES);

export interface TarRecorderOptions {
  /** Told of bytes that have been written. */
  readonly onWritten: (bytes: number) => void;
  /** Default: see above. */
  readonly storedMax?: number | undefined;
}

/** What came of a record. */
export interface KeptTar {
  /** Null where there is none, because it would have been too large, or wrong. */
  readonly checksum: string | null;
  /** Of the file. */
  readonly bytes: number;
}

/**
 * Writes the tar record of a layer while it is unpacked. Is told of all bytes of the archive, one behind the other, by who reads it and by who writes the files.
 * Each method but `finish` does nothing once the record has become too large or has been given up.
 */
export class TarRecorder {
  readonly #path: string;
  readonly #onWritten: (bytes: number) => void;
  readonly #storedMax: number;
  readonly #steps = new ByteWriter();
  readonly #blocks = new BlockEncoder();
  /** A block that has not come whole. */
  readonly #block = Buffer.alloc(TAR_BLOCK);
  readonly #padding = Buffer.alloc(TAR_BLOCK);
  readonly #lost = new Map<number, number>();
  readonly #segments = new Map<number, readonly DataSegment[]>();
  #file: RecordFileWriter | undefined;
  #filled = 0;
  #size = 0;
  #written = 0;
  #blockCount = 0;
  #payloads = 0;
  #lastPath: BytePath = '';
  /** Of the padding behind the last payload: how much there should be, and how much has come. */
  #due = 0;
  #padded = 0;
  #segmentsKept = 0;
  #way = 0;
  /** From this payload on a sparse file may be one of which nobody knows any more what of it is data. */
  #unknownFrom = Number.POSITIVE_INFINITY;

  /** @throws like Node's `fs` */
  constructor(layerDirectory: string, { onWritten, storedMax = STORED_MAX }: TarRecorderOptions) {
    this.#path = layerTar(layerDirectory);
    this.#onWritten = onWritten;
    this.#storedMax = storedMax;
    this.#file = new RecordFileWriter(this.#path, TAR_RECORD_MAGIC);
  }

  /** Bytes from `start` to `end` of a header block. */
  header(chunk: Buffer, start: number, end: number): void {
    this.#take(chunk, start, end, undefined);
  }

  /** As `header`, of a block that is neither a header nor a file's data. */
  body(chunk: Buffer, start: number, end: number): void {
    this.#take(chunk, start, end, OTHER_BLOCK);
  }

  /**
   * The entry whose header came last has data that become a file. The data itself is not shown.
   * @param path of the file in the tree @param segments where the data belongs in a sparse file
   * @returns the payload's number
   */
  payload(path: BytePath, length: number, segments: readonly DataSegment[] | undefined): number {
    const number = this.#payloads++;
    if (this.#file === undefined) return number;
    this.#endPadding();
    const header = this.#blocks.entryHeader;
    const shared = sharedLength(path, this.#lastPath);
    this.#way += directoriesIn(path, shared) + directoriesIn(this.#lastPath, shared);
    if (this.#way > WAY_MAX + WAY_PER_BLOCK * this.#blockCount) {
      this.giveUp();
      return number;
    }
    const hasOwnPath = !isPathInHeader(header, path);
    const hasOwnLength = sizeInHeader(header) !== length;
    const steps = this.#steps;
    steps.byte(
      PAYLOAD | (hasOwnPath ? OWN_PATH : 0) | (hasOwnLength ? OWN_LENGTH : 0) | (segments === undefined ? 0 : SPARSE),
    );
    if (hasOwnPath) {
      steps.number(shared);
      steps.text(path.slice(shared));
    }
    this.#lastPath = path;
    if (hasOwnLength) steps.number(length);
    if (segments !== undefined) this.#sparse(number, segments);
    this.#size += length;
    this.#due = (TAR_BLOCK - (length % TAR_BLOCK)) % TAR_BLOCK;
    this.#padded = 0;
    this.#endStep();
    return number;
  }

  /** Data that becomes no file. */
  kept(chunk: Buffer, start: number, end: number): void {
    if (this.#file === undefined) return;
    this.#endPadding();
    this.#size += end - start;
    this.#bytes(BYTES, chunk, start, end);
  }

  /** What fills the last block of the data before. */
  padding(chunk: Buffer, start: number, end: number): void {
    if (this.#file === undefined) return;
    if (this.#due === 0) {
      this.kept(chunk, start, end);
      return;
    }
    this.#size += end - start;
    // As nearly all is.
    if (this.#padded === 0 && end - start === this.#due && isZero(chunk, start, end)) {
      this.#due = 0;
      return;
    }
    chunk.copy(this.#padding, this.#padded, start, end);
    this.#padded += end - start;
  }

  /** What follows the end of the archive. */
  trailer(chunk: Buffer, start: number, end: number): void {
    this.kept(chunk, start, end);
  }

  /** Where a sparse file has its data; undefined for any other one. */
  segmentsOf(payload: number): readonly DataSegment[] | undefined {
    return this.#segments.get(payload);
  }

  /** Whether the data of a payload should be given to `lose`, when its file is to be removed. */
  wants(payload: number): boolean {
    return this.#file !== undefined && !this.#lost.has(payload);
  }

  /** The file of a payload is to be removed. @param pieces its data */
  lose(payload: number, pieces: Iterable<Buffer>): void {
    // No step may come between a payload and its padding.
    this.#endPadding();
    if (this.#file === undefined) return;
    if (this.#lost.size === LOST_MAX || (payload >= this.#unknownFrom && !this.#segments.has(payload))) {
      this.giveUp();
      return;
    }
    this.#endBlock();
    this.#lost.set(payload, this.#file?.length ?? 0);
    for (const piece of pieces) {
      this.#bytes(LOST, piece, 0, piece.length);
      if (this.#file === undefined) return;
    }
    this.#endBlock();
  }

  /** There will be no record: better none than a wrong one. */
  giveUp(): void {
    if (this.#file === undefined) return;
    this.close();
    this.#steps.clear();
    this.#lost.clear();
    this.#segments.clear();
    rmSync(this.#path);
  }

  /** The archive is over. */
  finish(): KeptTar {
    this.#endPadding();
    if (this.#filled > 0) this.#bytes(BYTES, this.#block, 0, this.#filled);
    this.#endBlock();
    if (this.#file === undefined) return { checksum: null, bytes: 0 };
    const summary: TarRecordSummary = { size: this.#size, lost: [...this.#lost] };
    const checksum = this.#file.finish(summary).toString('hex');
    const bytes = this.#file.length;
    this.close();
    return { checksum, bytes };
  }

  close(): void {
    this.#file?.close();
    this.#file = undefined;
  }

  #take(chunk: Buffer, start: number, end: number, kind: BlockKind | undefined): void {
    if (this.#file === undefined) return;
    this.#endPadding();
    this.#size += end - start;
    for (let at = start; at < end; ) {
      const taken = Math.min(TAR_BLOCK - this.#filled, end - at);
      if (taken === TAR_BLOCK) {
        this.#wholeBlock(chunk, at, kind);
      } else {
        chunk.copy(this.#block, this.#filled, at, at + taken);
        this.#filled = (this.#filled + taken) % TAR_BLOCK;
        if (this.#filled === 0) this.#wholeBlock(this.#block, 0, kind);
      }
      at += taken;
    }
  }

  #wholeBlock(chunk: Buffer, start: number, kind: BlockKind | undefined): void {
    this.#blockCount++;
    if (kind === undefined && chunk[start] === 0 && isZero(chunk, start, start + TAR_BLOCK)) {
      this.#bytes(BYTES, chunk, start, start + TAR_BLOCK);
      return;
    }
    this.#blocks.encode(kind ?? kindOfHeader(chunk, start), chunk, start, this.#steps);
    this.#endStep();
  }

  #sparse(payload: number, segments: readonly DataSegment[]): void {
    this.#steps.number(segments.length);
    let end = 0;
    for (const { offset, length } of segments) {
      this.#steps.number(offset - end);
      this.#steps.number(length);
      end = offset + length;
    }
    this.#segmentsKept += segments.length;
    if (this.#segmentsKept <= SEGMENTS_KEPT) this.#segments.set(payload, segments);
    else this.#unknownFrom = Math.min(this.#unknownFrom, payload);
  }

  /** Where it is not what nearly all writers have, zeros. */
  #endPadding(): void {
    if (this.#due === 0) return;
    const isUsual = this.#padded === this.#due && isZero(this.#padding, 0, this.#padded);
    this.#due = 0;
    if (isUsual || this.#file === undefined) return;
    this.#steps.byte(BYTES | PADDING);
    this.#steps.number(this.#padded);
    this.#steps.bytes(this.#padding, 0, this.#padded);
    this.#endStep();
  }

  #bytes(step: number, chunk: Buffer, start: number, end: number): void {
    for (let at = start; at < end; ) {
      const length = Math.min(STEP_BYTES, end - at);
      const areZeros = step === BYTES && isZero(chunk, at, at + length);
      this.#steps.byte(areZeros ? step | ZEROS : step);
      this.#steps.number(length);
      if (!areZeros) this.#steps.bytes(chunk, at, at + length);
      at += length;
      this.#endStep();
    }
  }

  #endStep(): void {
    if (this.#steps.length >= BLOCK_SIZE) this.#endBlock();
  }

  #endBlock(): void {
    if (this.#file === undefined || this.#steps.length === 0) return;
    this.#file.block(this.#steps.written);
    this.#steps.clear();
    const { length } = this.#file;
    this.#onWritten(length - this.#written);
    this.#written = length;
    if (length > this.#storedMax + STORED_PER_BLOCK * this.#blockCount) this.giveUp();
  }
}

function isZero(chunk: Buffer, start: number, end: number): boolean {
  // At most `STEP_BYTES` of it.
  return chunk.compare(NOTHING, 0, end - start, start, end) === 0;
}

/** Directories of a path that are not those of another one, with which it shares so many bytes. */
function directoriesIn(path: BytePath, shared: number): number {
  let count = 0;
  for (let at = path.indexOf('/', shared); at !== -1; at = path.indexOf('/', at + 1)) count++;
  return count;
}

function sharedLength(path: BytePath, other: BytePath): number {
  const end = Math.min(path.length, other.length);
  let at = 0;
  while (at < end && path.charCodeAt(at) === other.charCodeAt(at)) at++;
  return at;
}
