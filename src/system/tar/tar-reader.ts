import type { ProvisionerError } from '../../base/errors.js';
import { limitExceeded, malformed, truncated } from '../../base/malformed.js';
import { ownCopy } from '../compression/own-copy.js';
import type { BytePath } from '../syscalls/byte-path.js';
import { isXattr, type PaxRecords, parsePax, paxNumberOf } from './pax.js';
import {
  checkSparseMap,
  hasMapInData,
  moreSparseSegments,
  oldSparseSegments,
  paxSparseMap,
  SEGMENTS_MAX,
  type Segment,
  type SparseMap,
  SparseMapInData,
} from './sparse.js';
import { type EntryType, entryName, entryType, hasData, makeEntry, type TarEntry } from './tar-entry.js';
import { BLOCK_SIZE, parseTarHeader, type TarHeader } from './tar-header.js';

/** What a reader tells about an archive, in order: an entry, its data in pieces, its end. */
export interface TarHandler {
  entry(entry: TarEntry): void;
  /** The bytes from `start` to `end` of `chunk` are the entry's next data; they may be gone when the call returns. */
  data(chunk: Buffer, start: number, end: number): void;
  endEntry(): void;
}

/** Is shown all bytes of an archive but the data of its entries, which the handler has: from `start` to `end` of `chunk`, in pieces of any size. */
export interface TarWitness {
  header(chunk: Buffer, start: number, end: number): void;
  /** Extended headers' data, sparse maps, and what is passed over, each with what fills its last block. */
  body(chunk: Buffer, start: number, end: number): void;
  /** What fills the last block of an entry's data. */
  padding(chunk: Buffer, start: number, end: number): void;
  /** What follows the end of the archive. */
  trailer(chunk: Buffer, start: number, end: number): void;
}

/** Extended headers and long names may be this long: a path is at most 4 KiB and an attribute 64 KiB, so 1 MiB is generous. */
export const EXTENDED_HEADER_MAX = 1024 * 1024;

const NO_RECORDS: PaxRecords = new Map();

/**
 * Reads a tar archive pushed in chunks of any size: ustar, pax, GNU, star and the old form. Keeps no more of it than one header
 * and its extended headers.
 *
 *   header ──► (extension data ──► header)* ──► [sparse map] ──► data ──► padding ──► header … ──► end
 */
export class TarReader {
  readonly #handler: TarHandler;
  readonly #placesOnly: boolean;
  readonly #witness: TarWitness | undefined;
  #state: 'header' | 'extension' | 'sparse-blocks' | 'sparse-map' | 'data' | 'skip' | 'end' = 'header';

  /** A block that began in an earlier chunk. */
  readonly #carry = Buffer.alloc(BLOCK_SIZE);
  #carried = 0;
  #zeroBlocks = 0;

  /** Bytes left of the data or of what is skipped, without padding. */
  #left = 0;
  /** Bytes that fill the last block of it. */
  #padding = 0;
  /** What is passed over is that of an entry's data. */
  #isPadding = false;

  #extensionType = '';
  #extension: Buffer = Buffer.alloc(0);
  #extensionFilled = 0;
  #extensionBytes = 0;
  #globalBytes = 0;

  readonly #globalPax: PaxRecords = new Map();
  #pax: PaxRecords = NO_RECORDS;
  #sparsePairs: Buffer[] = [];
  #longPath: BytePath | undefined;
  #longLink: BytePath | undefined;

  #header: TarHeader | undefined;
  #path: BytePath = '';
  #segments: Segment[] = [];
  #sparseSize = 0;
  #mapInData: SparseMapInData | undefined;

  /** @param wanted `places`: of entries only what they are called, of what kind they are and where their data lies; one of a kind that nobody knows is passed over */
  constructor(handler: TarHandler, wanted: 'all' | 'places' = 'all', witness?: TarWitness) {
    this.#handler = handler;
    this.#witness = witness;
    this.#placesOnly = wanted === 'places';
  }

  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#state === 'data') at = this.#readData(chunk, at);
      else if (this.#state === 'skip') at = this.#readSkipped(chunk, at);
      else if (this.#state === 'extension') at = this.#readExtension(chunk, at);
      else if (this.#state === 'end') {
        this.#witness?.trailer(chunk, at, chunk.length);
        return;
      } else at = this.#readBlock(chunk, at);
    }
  }

  /** Whether the end mark has been read: what follows it is none of the archive's. */
  get isOver(): boolean {
    return this.#state === 'end';
  }

  /**
   * For who has the whole archive and wants no data: bytes before the next block that has to be looked at, which are taken for read. Of an entry with data the
   * handler then hears nothing but its end.
   */
  passOver(): number {
    if (this.#state !== 'data' && this.#state !== 'skip') return 0;
    const passed = this.#left + (this.#state === 'data' ? this.#padding : 0);
    if (this.#state === 'data') this.#handler.endEntry();
    this.#left = 0;
    this.#padding = 0;
    this.#state = 'header';
    return passed;
  }

  /**
   * The archive is over. Writers that are not closed, or were never right, leave out the end mark and the padding before it, or end with an extended header that
   * is about nothing: all that is there has been read then, and whether more should be there is for a digest to say.
   * @throws ProvisionerError `ERR_LAYER_TRUNCATED` when it ends inside an entry
   */
  end(): void {
    const isPadding = this.#state === 'skip' && this.#left < BLOCK_SIZE;
    const isBetween = this.#state === 'header' && this.#carry.subarray(0, this.#carried).every((byte) => byte === 0);
    if (this.#state !== 'end' && !isPadding && !isBetween) throw truncated('the archive ends inside an entry');
  }

  /** Feeds whole blocks to the state that wants them, putting together the ones that straddle two chunks. */
  #readBlock(chunk: Buffer, at: number): number {
    const taken = Math.min(BLOCK_SIZE - this.#carried, chunk.length - at);
    if (this.#witness !== undefined) {
      if (this.#state === 'header') this.#witness.header(chunk, at, at + taken);
      else this.#witness.body(chunk, at, at + taken);
    }
    if (taken === BLOCK_SIZE) {
      this.#block(chunk, at);
      return at + BLOCK_SIZE;
    }
    chunk.copy(this.#carry, this.#carried, at, at + taken);
    this.#carried += taken;
    if (this.#carried === BLOCK_SIZE) {
      this.#carried = 0;
      this.#block(this.#carry, 0);
    }
    return at + taken;
  }

  #block(bytes: Buffer, at: number): void {
    if (this.#state === 'header') this.#headerBlock(bytes, at);
    else if (this.#state === 'sparse-blocks') this.#sparseBlock(bytes, at);
    else this.#sparseMapBlock(bytes, at);
  }

  #headerBlock(bytes: Buffer, at: number): void {
    const header = parseTarHeader(bytes, at);
    if (header === undefined) {
      // Two blocks of zeros end an archive; what follows is padding of the writer's own.
      if (++this.#zeroBlocks === 2) this.#state = 'end';
      return;
    }
    if (this.#zeroBlocks > 0) throw malformed('an entry follows a block of zeros');
    if (header.size < 0) throw malformed('an entry has a negative size');
    switch (header.type) {
      case 'x':
      case 'X':
      case 'g':
      case 'L':
      case 'K':
        this.#beginExtension(header);
        return;
      case 'V':
        // A volume's label: no entry.
        this.#beginSkip(header.size);
        return;
    }
    this.#beginEntry(header, bytes, at);
  }

  #beginExtension(header: TarHeader): void {
    // Counted for all that precede one entry together.
    this.#extensionBytes += header.size;
    if (this.#extensionBytes > EXTENDED_HEADER_MAX) throw tooLong(this.#extensionBytes);
    this.#extensionType = header.type;
    this.#extension = Buffer.alloc(header.size);
    this.#extensionFilled = 0;
    this.#padding = paddingOf(header.size);
    this.#state = 'extension';
    if (header.size === 0) this.#endExtension();
  }

  #readExtension(chunk: Buffer, at: number): number {
    const whole = this.#extension.length + this.#padding;
    if (this.#extensionFilled === 0 && chunk.length - at >= whole) {
      // As nearly all are: with its padding, and so in whole blocks.
      this.#witness?.body(chunk, at, at + whole);
      chunk.copy(this.#extension, 0, at, at + this.#extension.length);
      this.#padding = 0;
      this.#endExtension();
      return at + whole;
    }
    const taken = Math.min(this.#extension.length - this.#extensionFilled, chunk.length - at);
    this.#witness?.body(chunk, at, at + taken);
    chunk.copy(this.#extension, this.#extensionFilled, at, at + taken);
    this.#extensionFilled += taken;
    if (this.#extensionFilled === this.#extension.length) this.#endExtension();
    return at + taken;
  }

  #endExtension(): void {
    const data = this.#extension;
    switch (this.#extensionType) {
      case 'g':
        this.#addGlobal(data);
        break;
      case 'L':
        this.#longPath = untilNul(data);
        break;
      case 'K':
        this.#longLink = untilNul(data);
        break;
      default:
        if (this.#pax === NO_RECORDS) this.#pax = new Map();
        parsePax(data, this.#pax, this.#sparsePairs);
    }
    this.#beginSkip(0);
  }

  /** Global records stay until the end, so they are counted together, and do not keep the rest of their header alive. */
  #addGlobal(data: Buffer): void {
    const records: PaxRecords = new Map();
    this.#globalBytes += parsePax(data, records, []);
    if (this.#globalBytes > EXTENDED_HEADER_MAX) throw tooLong(this.#globalBytes);
    for (const [keyword, value] of records) if (isForAll(keyword)) this.#globalPax.set(keyword, ownCopy(value));
  }

  #beginEntry(header: TarHeader, bytes: Buffer, at: number): void {
    if (this.#globalPax.size > 0) {
      this.#pax = this.#pax.size === 0 ? this.#globalPax : new Map([...this.#globalPax, ...this.#pax]);
    }
    this.#header = header;
    this.#path = entryName(header, this.#pax, this.#longPath);
    const type = entryType(header, this.#path);
    if (type === undefined) {
      if (!this.#placesOnly) throw malformed(`an entry has the unknown type ${JSON.stringify(header.type)}`);
      this.#forgetExtensions();
      this.#beginSkip(header.size);
      return;
    }
    this.#left = hasData(header) ? (paxNumberOf(this.#pax, 'size') ?? header.size) : 0;
    this.#padding = paddingOf(this.#left);
    if (header.type === 'S') {
      const { segments, more, size } = oldSparseSegments(bytes, at);
      this.#segments = segments;
      this.#sparseSize = size;
      if (more) this.#state = 'sparse-blocks';
      else this.#emit(type, { size, segments });
    } else if (type === 'file' && hasMapInData(this.#pax)) {
      this.#mapInData = new SparseMapInData(this.#pax);
      this.#state = 'sparse-map';
    } else {
      this.#emit(type, type === 'file' ? paxSparseMap(this.#pax, this.#sparsePairs) : undefined);
    }
  }

  #sparseBlock(bytes: Buffer, at: number): void {
    const { segments, more } = moreSparseSegments(bytes, at);
    this.#segments.push(...segments);
    if (this.#segments.length > SEGMENTS_MAX)
      throw limitExceeded(`a sparse file of ${this.#segments.length} pieces`, SEGMENTS_MAX);
    if (!more) this.#emit('file', { size: this.#sparseSize, segments: this.#segments });
  }

  #sparseMapBlock(bytes: Buffer, at: number): void {
    this.#left -= BLOCK_SIZE;
    if (this.#left < 0) throw malformed('a sparse map is longer than its file');
    const map = this.#mapInData?.read(bytes, at, at + BLOCK_SIZE);
    if (map === undefined) return;
    this.#mapInData = undefined;
    this.#emit('file', map);
  }

  #emit(type: EntryType, sparse: SparseMap | undefined): void {
    const header = this.#header as TarHeader;
    if (sparse !== undefined) checkSparseMap(sparse, this.#left);
    const entry = makeEntry(header, type, this.#path, this.#pax, this.#longLink, this.#left, sparse);
    this.#forgetExtensions();
    this.#handler.entry(entry);
    this.#state = 'data';
    if (this.#left === 0) this.#endData();
  }

  #forgetExtensions(): void {
    this.#pax = NO_RECORDS;
    this.#sparsePairs = [];
    this.#longPath = undefined;
    this.#longLink = undefined;
    this.#extensionBytes = 0;
  }

  #readData(chunk: Buffer, at: number): number {
    const end = Math.min(at + this.#left, chunk.length);
    this.#handler.data(chunk, at, end);
    this.#left -= end - at;
    if (this.#left === 0) this.#endData();
    return end;
  }

  #endData(): void {
    this.#handler.endEntry();
    this.#beginSkip(0);
    this.#isPadding = true;
  }

  /** Passes over `size` bytes and the padding behind them. */
  #beginSkip(size: number): void {
    this.#left = size + (size > 0 ? paddingOf(size) : this.#padding);
    this.#padding = 0;
    this.#isPadding = false;
    this.#state = this.#left > 0 ? 'skip' : 'header';
  }

  #readSkipped(chunk: Buffer, at: number): number {
    const taken = Math.min(this.#left, chunk.length - at);
    if (this.#isPadding) this.#witness?.padding(chunk, at, at + taken);
    else this.#witness?.body(chunk, at, at + taken);
    this.#left -= taken;
    if (this.#left === 0) this.#state = 'header';
    return at + taken;
  }
}

/** Nobody writes attributes and maps of one file for all that follow, and each would be paid for with each. */
function isForAll(keyword: string): boolean {
  return !isXattr(keyword) && !keyword.startsWith('GNU.sparse.');
}

function paddingOf(size: number): number {
  return (BLOCK_SIZE - (size % BLOCK_SIZE)) % BLOCK_SIZE;
}

function tooLong(bytes: number): ProvisionerError {
  return limitExceeded(`extended headers of ${bytes} bytes`, EXTENDED_HEADER_MAX);
}

function untilNul(data: Buffer): BytePath {
  const nul = data.indexOf(0);
  return data.toString('latin1', 0, nul === -1 ? data.length : nul);
}
