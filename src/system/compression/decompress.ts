import { ProvisionerError } from '../../base/errors.js';
import { type Compression, detectCompression, MAGIC_BYTES } from './detect.js';
import type { Chunks } from './inflate.js';
import { inflateByProgram } from './inflate-by-program.js';
import { inflateGzip } from './inflate-gzip.js';
import { ownCopy } from './own-copy.js';
import type { TakeMemory } from './window-memory.js';

/** Room for one inflated piece, which should stay in the processor's own cache while it is read. A pull of 650 MB takes 3 % more time with twice of it, and 5 % more with half. */
const CHUNK_SIZE = 512 * 1024;
/** Inflated pieces that wait while the one before is being written: what lets a second core inflate. */
const CHUNKS_AHEAD = 4;

/** What inflating needs beside the data. */
export interface DecompressContext {
  /** For who waits for a program; readers of the data itself have their own. */
  readonly signal: AbortSignal;
  /** Whether one is free for another thread. */
  readonly hasSpareProcessor: () => boolean;
  /** For the large windows of zstd, and for programs. */
  readonly takeMemory: TakeMemory;
}

/**
 * Inflates a layer, whichever way it is stored: gzip (any number of members), zstd (any number of frames) or not at all; xz and bzip2 with a program of the system. The bytes decide: see
 * `detectCompression`.
 * @throws ProvisionerError `ERR_UNSUPPORTED_MEDIA_TYPE` for a compression that layers do not use, or without the program for it; `ERR_LAYER_TRUNCATED`,
 * `ERR_LAYER_MALFORMED` for data that does not inflate; of a program also `ERR_LIMIT_EXCEEDED`, `ERR_IO`, `ERR_ABORTED`
 */
export async function* decompress(
  stored: Chunks,
  { signal, hasSpareProcessor, takeMemory }: DecompressContext,
): AsyncGenerator<Buffer, void, undefined> {
  const iterator = stored[Symbol.asyncIterator]();
  const head = await readHead(iterator);
  const all = prepend(head, iterator);
  const compression = detectCompression(head);
  switch (compression) {
    case undefined:
      yield* all;
      return;
    case 'gzip':
      yield* inflateGzip(all, { chunkSize: CHUNK_SIZE, ...readAhead(), hasSpareProcessor });
      return;
    case 'zstd': {
      const { inflateZstd } = await import('./inflate-zstd.js');
      yield* inflateZstd(all, { chunkSize: CHUNK_SIZE, ...readAhead(), hasSpareProcessor, takeMemory });
      return;
    }
    case 'xz':
    case 'bzip2':
      yield* inflateByProgram(all, compression, { signal, takeMemory });
      return;
    default:
      throw unsupported(compression);
  }
}

function readAhead(): { highWaterMark: number } {
  return { highWaterMark: CHUNKS_AHEAD * CHUNK_SIZE };
}

async function readHead(iterator: AsyncIterator<Buffer>): Promise<Buffer> {
  let head: Buffer = Buffer.alloc(0);
  while (head.length < MAGIC_BYTES) {
    const { done, value } = await iterator.next();
    if (done) break;
    head = head.length === 0 ? value : Buffer.concat([head, value]);
    // What is too short to tell must outlive the next piece.
    if (head.length < MAGIC_BYTES) head = ownCopy(head);
  }
  return head;
}

async function* prepend(head: Buffer, rest: AsyncIterator<Buffer>): AsyncGenerator<Buffer, void, undefined> {
  try {
    if (head.length > 0) yield head;
    for (let next = await rest.next(); !next.done; next = await rest.next()) yield next.value;
  } finally {
    await rest.return?.();
  }
}

function unsupported(compression: Compression): ProvisionerError {
  return new ProvisionerError('ERR_UNSUPPORTED_MEDIA_TYPE', `the layer is compressed with ${compression}`, {
    hint: 'layers are plain, gzip or zstd (OCI image-spec, layer.md), and xz or bzip2 in old images: have the image rebuilt with one of these',
    details: { compression },
  });
}
