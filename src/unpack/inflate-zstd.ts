import type { Transform } from 'node:stream';
import * as zlib from 'node:zlib';
import { Decompress } from 'fzstd';
import { type Chunks, inflateError, through } from './inflate.js';
import { limitExceeded } from './malformed.js';
import { ownCopy } from './own-copy.js';
import { type ZstdFrame, zstdFrames } from './zstd-frames.js';

/** Node has them from 22.15 on. */
const { createZstdDecompress, zstdDecompressSync } = zlib as unknown as {
  createZstdDecompress?: (options: zlib.ZlibOptions) => Transform;
  zstdDecompressSync?: (bytes: Buffer, options: zlib.ZlibOptions) => Buffer;
};
/** A frame that inflates to this at most is inflated at once: a layer with a frame for each file has 100 000 of them. */
const SMALL_FRAME = 256 * 1024;
/**
 * The decoder in JavaScript moves its whole window for each block, also for a block of one byte. A proper frame moves up to a thousand times what it inflates
 * to; one that would move more, beyond a start that takes some ten seconds, was made for that.
 */
const MOVED_FREELY = 2 ** 36;
const MOVED_PER_BYTE = 1024;

/**
 * Inflates zstd data: with Node's own decoder where there is one, else in JavaScript, at about a third of the speed.
 * @param options of Node's decoder
 */
export async function* inflateZstd(stored: Chunks, options: zlib.ZlibOptions): AsyncGenerator<Buffer, void, undefined> {
  for await (const frame of zstdFrames(stored)) {
    if (createZstdDecompress === undefined || zstdDecompressSync === undefined) yield* inJavaScript(frame);
    else if ((frame.contentSize ?? Number.POSITIVE_INFINITY) > SMALL_FRAME) {
      yield* through(createZstdDecompress(options), frame.pieces, 'zstd');
    } else yield* atOnce(frame, zstdDecompressSync);
  }
}

async function* atOnce(
  { pieces, contentSize = 0 }: ZstdFrame,
  inflate: NonNullable<typeof zstdDecompressSync>,
): AsyncGenerator<Buffer, void, undefined> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const piece of pieces) {
    parts.push(ownCopy(piece));
    length += piece.length;
    // Blocks that say nothing: a frame that lies about its size.
    if (length > 2 * SMALL_FRAME) throw limitExceeded('a zstd frame with more blocks than it needs', SMALL_FRAME);
  }
  try {
    yield inflate(Buffer.concat(parts), { maxOutputLength: Math.max(contentSize, 1) });
  } catch (error) {
    throw inflateError(error, 'zstd');
  }
}

async function* inJavaScript({ pieces, window }: ZstdFrame): AsyncGenerator<Buffer, void, undefined> {
  let ready: Buffer[] = [];
  // A copy: the decoder goes on using its buffer.
  const decoder = new Decompress((bytes) => {
    if (bytes.length > 0) ready.push(Buffer.from(bytes));
  });
  let inflated = 0;
  let moved = 0;
  for await (const { piece, last } of withLast(pieces)) {
    try {
      decoder.push(piece, last);
    } catch (error) {
      throw inflateError(error, 'zstd');
    }
    for (const bytes of ready) inflated += bytes.length;
    moved += window;
    if (moved > MOVED_FREELY + MOVED_PER_BYTE * inflated)
      throw limitExceeded('a zstd frame of tiny blocks', MOVED_PER_BYTE);
    yield* ready;
    ready = [];
  }
}

/** The decoder waits for 18 bytes, which a frame need not have, unless it is told that there are no more. */
async function* withLast(pieces: Chunks): AsyncGenerator<{ piece: Buffer; last: boolean }, void, undefined> {
  let before: Buffer | undefined;
  for await (const piece of pieces) {
    if (before !== undefined) yield { piece: before, last: false };
    before = ownCopy(piece);
  }
  if (before !== undefined) yield { piece: before, last: true };
}
