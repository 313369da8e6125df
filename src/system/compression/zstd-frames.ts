import { setImmediate } from 'node:timers/promises';
import { limitExceeded, malformed, truncated } from '../../base/malformed.js';
import type { Chunks } from './inflate.js';
import { ownCopy } from './own-copy.js';

const FRAME_MAGIC = 0xfd2fb528;
/** The last hex digit may be any. @see RFC 8878, 3.1.2 */
const SKIPPABLE_MAGIC = 0x184d2a5;
/** What the reference decoder holds unless told otherwise; `zstd -19` takes 8 MiB. */
const WINDOW_MAX = 128 * 1024 * 1024;
/** @see RFC 8878, 3.1.1.2.4 */
const BLOCK_MAX = 128 * 1024;
const BLOCK_HEADER = 3;
const CHECKSUM_BYTES = 4;
/** Kinds of block. */
const RUN_LENGTH = 1;
const RESERVED = 3;
/** After so many pieces the thread's events get their turn: four bytes may be a block of 128 KiB, and a chunk a quarter of a million of them. */
const TURN_PIECES = 32;

/** One frame of zstd data. */
export interface ZstdFrame {
  /** Bytes that its matches may reach back. */
  readonly window: number;
  /** Bytes that a decoder must hold: the window, or less for a frame that says that it inflates to less. */
  readonly memory: number;
  /** Bytes it inflates to; undefined when it does not say. */
  readonly contentSize: number | undefined;
  readonly hasChecksum: boolean;
  /**
   * Its header, then its blocks, as many at once as have come; the last one with the checksum. To be read to the end. Each piece is good until the next one is asked for.
   * @param most blocks in a piece
   */
  pieces(most: number): AsyncGenerator<FramePiece, void, undefined>;
}

export interface FramePiece {
  readonly bytes: Buffer;
  /** None in the header. */
  readonly blocks: number;
  /** Of the checksum that it ends with. */
  readonly checksumBytes: number;
  readonly last: boolean;
}

/**
 * Takes zstd data apart: decoders differ in what they make of several frames, of frames to be skipped, and of data that ends too early; and one block,
 * which inflates to 128 KiB at most, is what a decoder can be given without the risk that it fills the memory.
 * @throws ProvisionerError `ERR_LAYER_MALFORMED`, `ERR_LAYER_TRUNCATED`, `ERR_LIMIT_EXCEEDED`
 */
export async function* zstdFrames(stored: Chunks): AsyncGenerator<ZstdFrame, void, undefined> {
  const input = new ByteReader(stored[Symbol.asyncIterator]());
  try {
    while (!(await input.atEnd())) {
      const magic = (await input.take(4)).readUInt32LE();
      if (magic >>> 4 === SKIPPABLE_MAGIC) await input.skip((await input.take(4)).readUInt32LE());
      else if (magic === FRAME_MAGIC) yield await readFrame(input);
      else throw malformed('something other than zstd data follows in it');
    }
  } finally {
    await input.close();
  }
}

/** @see RFC 8878, 3.1.1.1 */
async function readFrame(input: ByteReader): Promise<ZstdFrame> {
  const descriptor = (await input.take(1)).readUInt8();
  const singleSegment = (descriptor & 0x20) !== 0;
  const hasChecksum = (descriptor & 4) !== 0;
  if ((descriptor & 3) !== 0) throw malformed('its zstd data needs a dictionary');
  if ((descriptor & 8) !== 0) throw malformed('its zstd data uses a bit that is reserved');
  const sizeBytes = [singleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6] as number;
  const rest = Buffer.from(await input.take((singleSegment ? 0 : 1) + sizeBytes));
  const contentSize = sizeBytes === 0 ? undefined : contentSizeOf(rest.subarray(-sizeBytes));
  const window = singleSegment ? (contentSize ?? 0) : windowSize(rest.readUInt8());
  if (window > WINDOW_MAX) throw limitExceeded(`a zstd window of ${window} bytes`, WINDOW_MAX);
  const header = Buffer.alloc(5);
  header.writeUInt32LE(FRAME_MAGIC);
  header.writeUInt8(descriptor, 4);
  return {
    window,
    memory: Math.min(window, contentSize ?? window),
    contentSize,
    hasChecksum,
    pieces: (most) => pieces(input, { header: Buffer.concat([header, rest]), window, hasChecksum, most }),
  };
}

interface PiecesWanted {
  readonly header: Buffer;
  readonly window: number;
  readonly hasChecksum: boolean;
  readonly most: number;
}

async function* pieces(
  input: ByteReader,
  { header, window, hasChecksum, most }: PiecesWanted,
): AsyncGenerator<FramePiece, void, undefined> {
  yield { bytes: header, blocks: 0, checksumBytes: 0, last: false };
  const checksumBytes = hasChecksum ? CHECKSUM_BYTES : 0;
  for (let last = false; !last; ) {
    let [length, blocks] = [0, 0];
    do {
      const fields = (await input.peek(length + BLOCK_HEADER)).readUIntLE(length, BLOCK_HEADER);
      const isLast = (fields & 1) === 1;
      const end = length + storedLength(fields, window) + (isLast ? checksumBytes : 0);
      if (blocks > 0 && !input.has(end)) break;
      [length, last] = [end, isLast];
      blocks++;
    } while (!last && blocks < most && input.has(length + BLOCK_HEADER));
    yield { bytes: await input.take(length), blocks, checksumBytes: last ? checksumBytes : 0, last };
  }
}

/** Of a block with its header. @see RFC 8878, 3.1.1.2 */
function storedLength(fields: number, window: number): number {
  const size = fields >> 3;
  if (size > Math.min(window, BLOCK_MAX)) throw malformed('a zstd block is larger than allowed');
  const type = (fields >> 1) & 3;
  if (type === RESERVED) throw malformed('a zstd block is of a kind that does not exist');
  return BLOCK_HEADER + (type === RUN_LENGTH ? 1 : size);
}

function windowSize(descriptor: number): number {
  const base = 2 ** (10 + (descriptor >> 3));
  return base + (base / 8) * (descriptor & 7);
}

function contentSizeOf(field: Buffer): number {
  if (field.length === 8) return Number(field.readBigUInt64LE());
  return field.readUIntLE(0, field.length) + (field.length === 2 ? 256 : 0);
}

/** Takes chunks apart by counts of bytes. What it returns may be part of a chunk. */
class ByteReader {
  readonly #chunks: AsyncIterator<Buffer>;
  #waiting: Buffer = Buffer.alloc(0);
  #taken = 0;

  constructor(chunks: AsyncIterator<Buffer>) {
    this.#chunks = chunks;
  }

  async atEnd(): Promise<boolean> {
    return !(await this.#fill(1));
  }

  /** So many bytes can be had without reading more. */
  has(length: number): boolean {
    return this.#waiting.length >= length;
  }

  async peek(length: number): Promise<Buffer> {
    if (this.#waiting.length < length && !(await this.#fill(length))) throw truncated('its zstd data ends too early');
    return this.#waiting.subarray(0, length);
  }

  async take(length: number): Promise<Buffer> {
    if (++this.#taken % TURN_PIECES === 0) await setImmediate();
    const bytes = await this.peek(length);
    this.#waiting = this.#waiting.subarray(length);
    return bytes;
  }

  async skip(length: number): Promise<void> {
    for (let left = length; left > 0; ) {
      await this.peek(1);
      left -= (await this.take(Math.min(left, this.#waiting.length))).length;
    }
  }

  async close(): Promise<void> {
    await this.#chunks.return?.();
  }

  async #fill(length: number): Promise<boolean> {
    const parts = [ownCopy(this.#waiting)];
    let total = this.#waiting.length;
    while (total < length) {
      const next = await this.#chunks.next();
      if (next.done) break;
      total += next.value.length;
      // Until another piece is asked for, this one is good; together they become new memory.
      parts.push(total < length ? ownCopy(next.value) : next.value);
    }
    this.#waiting = parts.length === 2 && parts[0]?.length === 0 ? (parts[1] as Buffer) : Buffer.concat(parts);
    return total >= length;
  }
}
