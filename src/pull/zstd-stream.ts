import { Duplex } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { Decompress } from 'fzstd';
import { ProvisionerError } from '../errors.js';
import { malformedSource, truncatedSource } from './source-errors.js';

const FRAME_MAGIC = 0xfd2fb528;
/** The last hex digit may be any. @see RFC 8878, 3.1.2 */
const SKIPPABLE_MAGIC = 0x184d2a5;
/**
 * What a decoder should be able to hold, and as much as `zstd -19` uses. The decoder beneath moves the whole window for each
 * block, so that a larger one would also hold the event loop.
 * @see RFC 8878, 3.1.1.1.2
 */
const MAX_WINDOW = 8 * 1024 * 1024;
/** @see RFC 8878, 3.1.1.2.4 */
const MAX_BLOCK = 128 * 1024;

/**
 * A stream that undoes zstd. Node's own decoder, where there is one (22.15 and later), ends silently with the first frame, and
 * archives packed in parallel have many.
 * @param label names the source in errors
 */
export function createZstdStream(label: string): Duplex {
  return Duplex.from((source: AsyncIterable<Buffer>) => undoZstd(source, label));
}

/**
 * Feeds a decoder block by block. It would take pieces of any size, but a few kilobytes can say "a gigabyte of zeros", which it
 * would make at once; a block is 128 KiB at most, and the event loop gets a turn after each.
 * @throws ProvisionerError `ERR_SOURCE_MALFORMED`, `ERR_SOURCE_UNSUPPORTED`
 */
export async function* undoZstd(source: AsyncIterable<Buffer>, label: string): AsyncGenerator<Buffer> {
  const input = new ByteReader(source, label);
  while (!(await input.atEnd())) {
    const magic = (await input.take(4)).readUInt32LE();
    if (magic >>> 4 === SKIPPABLE_MAGIC) await input.skip((await input.take(4)).readUInt32LE());
    else if (magic === FRAME_MAGIC) yield* undoFrame(input, label);
    else throw malformedSource(label, 'something other than zstd data follows in it');
  }
}

/** @see RFC 8878, 3.1.1 */
async function* undoFrame(input: ByteReader, label: string): AsyncGenerator<Buffer> {
  const { header, hasChecksum } = await readFrameHeader(input, label);
  const output: Buffer[] = [];
  // A copy: the decoder goes on using its buffer.
  const decoder = new Decompress((data) => output.push(Buffer.from(data)));
  const decode = (bytes: Buffer, last: boolean): Buffer[] => {
    try {
      decoder.push(bytes, last);
    } catch (error) {
      throw malformedSource(label, 'its zstd data is damaged', { cause: error });
    }
    return output.splice(0);
  };
  decode(header, false);
  for (let last = false; !last; ) {
    const head = await input.take(3);
    const fields = head.readUIntLE(0, 3);
    const repeatsOneByte = ((fields >> 1) & 3) === 1;
    last = (fields & 1) === 1;
    if (fields >> 3 > MAX_BLOCK) throw malformedSource(label, 'a zstd block is larger than allowed');
    const body = await input.take((repeatsOneByte ? 1 : fields >> 3) + (last && hasChecksum ? 4 : 0));
    yield* decode(Buffer.concat([head, body]), last);
    await setImmediate();
  }
}

/** Refuses frames that would take more memory than they are worth. @see RFC 8878, 3.1.1.1 */
async function readFrameHeader(input: ByteReader, label: string): Promise<{ header: Buffer; hasChecksum: boolean }> {
  const descriptor = await input.take(1);
  const flags = descriptor.readUInt8();
  const singleSegment = (flags & 0x20) !== 0;
  const dictionaryBytes = [0, 1, 2, 4][flags & 3] ?? 0;
  const sizeBytes = [singleSegment ? 1 : 0, 2, 4, 8][flags >> 6] ?? 0;
  const windowBytes = singleSegment ? 0 : 1;
  const rest = await input.take(windowBytes + dictionaryBytes + sizeBytes);
  if (dictionaryBytes > 0) throw unsupportedZstd(label, 'it needs a zstd dictionary');
  const window = singleSegment ? contentSize(rest) : windowSize(rest.readUInt8());
  if (window > MAX_WINDOW) throw unsupportedZstd(label, `its zstd window of ${window} bytes is above ${MAX_WINDOW}`);
  const magic = Buffer.alloc(4);
  magic.writeUInt32LE(FRAME_MAGIC);
  return { header: Buffer.concat([magic, descriptor, rest]), hasChecksum: (flags & 4) !== 0 };
}

function windowSize(descriptor: number): number {
  const base = 2 ** (10 + (descriptor >> 3));
  return base + (base / 8) * (descriptor & 7);
}

function contentSize(field: Buffer): number {
  if (field.length === 8) return Number(field.readBigUInt64LE());
  return field.readUIntLE(0, field.length) + (field.length === 2 ? 256 : 0);
}

/** Takes a stream apart by counts of bytes. */
class ByteReader {
  readonly #chunks: AsyncIterator<Buffer>;
  readonly #label: string;
  #waiting: Buffer[] = [];
  #length = 0;

  constructor(source: AsyncIterable<Buffer>, label: string) {
    this.#chunks = source[Symbol.asyncIterator]();
    this.#label = label;
  }

  async atEnd(): Promise<boolean> {
    return !(await this.#fill(1));
  }

  async take(length: number): Promise<Buffer> {
    if (!(await this.#fill(length))) throw truncatedSource(this.#label, 'it ends inside a zstd frame');
    const joined =
      this.#waiting.length === 1 && this.#waiting[0] !== undefined ? this.#waiting[0] : Buffer.concat(this.#waiting);
    this.#waiting = joined.length > length ? [joined.subarray(length)] : [];
    this.#length -= length;
    return joined.subarray(0, length);
  }

  async skip(length: number): Promise<void> {
    for (let left = length; left > 0; ) {
      const part = Math.min(left, MAX_BLOCK);
      await this.take(part);
      left -= part;
    }
  }

  async #fill(length: number): Promise<boolean> {
    while (this.#length < length) {
      const next = await this.#chunks.next();
      if (next.done) return false;
      this.#waiting.push(next.value);
      this.#length += next.value.length;
    }
    return true;
  }
}

function unsupportedZstd(label: string, problem: string): ProvisionerError {
  return new ProvisionerError('ERR_SOURCE_UNSUPPORTED', `${label} cannot be read: ${problem}`, {
    hint: 'decompress it with zstd -d first',
  });
}
