import type { Transform } from 'node:stream';
import * as zlib from 'node:zlib';
import { limitExceeded } from '../../base/malformed.js';
import { type Chunks, inflateError, through } from './inflate.js';
import { type AheadOptions, inflateAhead } from './inflate-ahead.js';
import { ownCopy } from './own-copy.js';
import type { TakeMemory } from './window-memory.js';
import { withFrameMemory } from './window-memory.js';
import { loadZstd } from './zstd/load-zstd.js';
import type { Zstd } from './zstd/zstd.js';
import { type ZstdFrame, zstdFrames } from './zstd-frames.js';
import { ZstdReader } from './zstd-reader.js';

export interface ZstdOptions extends AheadOptions {
  /** What Node's decoder may have ready, in bytes. */
  readonly highWaterMark: number;
  readonly takeMemory: TakeMemory;
}

/** The system's library; Node's own, from 22.15 on; or the one in JavaScript. */
export type ZstdDecoder = Zstd | 'node' | 'javascript';

const { createZstdDecompress, zstdDecompressSync } = zlib as unknown as {
  createZstdDecompress?: (options: zlib.ZlibOptions) => Transform;
  zstdDecompressSync?: (bytes: Buffer, options: zlib.ZlibOptions) => Buffer;
};
/** A frame that inflates to this at most is inflated at once: a layer with a frame for each file has 100 000 of them. */
const SMALL_FRAME = 256 * 1024;
/** As many as may wait in one piece. */
const BLOCKS_AT_ONCE = 32;

export const nodeHasZstd: boolean = createZstdDecompress !== undefined;

/** The best that there is here. */
export function chooseZstdDecoder(): ZstdDecoder {
  return loadZstd() ?? (nodeHasZstd ? 'node' : 'javascript');
}

/**
 * Inflates zstd data: any number of frames, and of those that are to be skipped. All decoders take and refuse the same: what is around the blocks is read here
 * (see `zstdFrames`), one frame after the other, since Node's own decoder ends with the first one.
 * @returns pieces that are good until the next one is asked for
 */
export async function* inflateZstd(
  stored: Chunks,
  options: ZstdOptions,
  decoder: ZstdDecoder = chooseZstdDecoder(),
): AsyncGenerator<Buffer, void, undefined> {
  const frames = zstdFrames(stored);
  if (decoder === 'javascript') {
    const { inflateZstdInJavaScript } = await import('./inflate-zstd-in-javascript.js');
    yield* inflateZstdInJavaScript(frames, options.takeMemory);
  } else if (decoder === 'node') yield* byNode(frames, options);
  else yield* inflateAhead(new ZstdReader(decoder, frames, options.takeMemory), options);
}

async function* byNode(
  frames: AsyncGenerator<ZstdFrame, void, undefined>,
  options: ZstdOptions,
): AsyncGenerator<Buffer, void, undefined> {
  if (createZstdDecompress === undefined || zstdDecompressSync === undefined)
    throw new Error('this version of Node has no zstd');
  for await (const frame of frames) {
    if ((frame.contentSize ?? Number.POSITIVE_INFINITY) <= SMALL_FRAME) yield* atOnce(frame, zstdDecompressSync);
    else {
      yield* withFrameMemory(frame, options.takeMemory, () =>
        through(createZstdDecompress(options), bytesOf(frame), 'zstd'),
      );
    }
  }
}

async function* bytesOf(frame: ZstdFrame): AsyncGenerator<Buffer, void, undefined> {
  for await (const { bytes } of frame.pieces(BLOCKS_AT_ONCE)) yield bytes;
}

async function* atOnce(
  frame: ZstdFrame,
  inflate: NonNullable<typeof zstdDecompressSync>,
): AsyncGenerator<Buffer, void, undefined> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const bytes of bytesOf(frame)) {
    parts.push(ownCopy(bytes));
    length += bytes.length;
    // Blocks that say nothing: a frame that lies about its size.
    if (length > 2 * SMALL_FRAME) throw limitExceeded('a zstd frame with more blocks than it needs', SMALL_FRAME);
  }
  try {
    yield inflate(Buffer.concat(parts), { maxOutputLength: Math.max(frame.contentSize ?? 0, 1) });
  } catch (error) {
    throw inflateError(error, 'zstd');
  }
}
