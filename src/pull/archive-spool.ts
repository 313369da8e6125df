import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream, createWriteStream } from 'node:fs';
import { type FileHandle, mkdir, open, rm, stat, statfs } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { type Duplex, Readable, Transform, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { DEFAULT_UNPACK_LIMITS } from '../config.js';
import { abortedError, fileError, ProvisionerError, systemCode, throwIfAborted } from '../errors.js';
import { type ArchiveCompression, detectArchiveCompression, SIGNATURE_LENGTH } from './archive-compression.js';
import { malformedSource, sourceNotFound, truncatedSource } from './source-errors.js';
import { isTarHeader } from './tar-members.js';
import { createZstdStream } from './zstd-stream.js';

/** An archive to read: a file by its path, or whatever comes out of a stream (which is then used up). */
export type ArchiveInput =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'stream'; readonly stream: Readable };

export interface SpoolOptions {
  /** Where a spooled archive goes; made when missing, and left in place for its owner to remove. */
  readonly stagingDirectory: string;
  /** Bytes that spooling leaves free on the staging directory's file system. Default: as for unpacking. */
  readonly freeSpaceReserve?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** An uncompressed archive that can be read at any position, until it is closed. */
export interface PlainArchive {
  /** Absolute. */
  readonly path: string;
  /** For messages: `the archive /images/app.tar`. */
  readonly label: string;
  /** Removes the spooled copy, if one was made. Safe to call twice. */
  close(): Promise<void>;
}

/** Bytes written between two looks at the free space. */
const SPACE_CHECK_INTERVAL = 32 * 1024 * 1024;

/**
 * Layers are read in place, by several threads, from an offset: that needs a plain file. One is used where it lies; a
 * compressed one, a pipe or a stream is first written out, decompressed, into the staging directory.
 * @throws ProvisionerError `ERR_SOURCE_NOT_FOUND`, `ERR_BAD_SOURCE`, `ERR_SOURCE_MALFORMED`, `ERR_SOURCE_UNSUPPORTED`,
 * `ERR_NO_SPACE`, `ERR_ABORTED`; nothing is left in the staging directory then
 */
export async function openPlainArchive(input: ArchiveInput, options: SpoolOptions): Promise<PlainArchive> {
  throwIfAborted(options.signal);
  if (input.kind === 'stream') return await spoolStream(input.stream, 'the archive from the stream', options);
  const path = resolve(input.path);
  const label = `the archive ${path}`;
  // Looking into a pipe would take bytes out of it.
  if ((await fileKind(path, label)) === 'pipe') return await spoolStream(createReadStream(path), label, options);
  const compression = detectArchiveCompression(await readStart(path), label);
  if (compression === 'none') return { path, label, close: async () => undefined };
  return await spool(createReadStream(path), compression, label, options);
}

async function fileKind(path: string, label: string): Promise<'file' | 'pipe'> {
  try {
    const stats = await stat(path);
    if (stats.isFile()) return 'file';
    if (stats.isFIFO()) return 'pipe';
    throw new ProvisionerError(
      'ERR_BAD_SOURCE',
      `${path} is ${stats.isDirectory() ? 'a directory' : 'a device'}, not an archive`,
      {
        ...(stats.isDirectory() ? { hint: 'write oci:DIR for a directory' } : {}),
        details: { path },
      },
    );
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR') throw sourceNotFound(label, path, error);
    throw fileError(error, 'open the archive', path);
  }
}

async function readStart(path: string): Promise<Buffer> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, 'r');
    const { buffer, bytesRead } = await file.read(Buffer.alloc(SIGNATURE_LENGTH), 0, SIGNATURE_LENGTH, 0);
    return buffer.subarray(0, bytesRead);
  } catch (error) {
    throw fileError(error, 'read the archive', path);
  } finally {
    await file?.close();
  }
}

async function spoolStream(stream: Readable, label: string, options: SpoolOptions): Promise<PlainArchive> {
  let whole: Readable;
  let compression: ArchiveCompression;
  try {
    const start = await takeStart(stream, options.signal);
    compression = detectArchiveCompression(start, label);
    whole = putBack(stream, start);
  } catch (error) {
    stream.destroy();
    throw spoolError(error, label, label, options.signal);
  }
  return await spool(whole, compression, label, options);
}

/** At least the first `SIGNATURE_LENGTH` bytes of a stream, or all that it has. */
async function takeStart(stream: Readable, signal: AbortSignal | undefined): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  while (length < SIGNATURE_LENGTH) {
    const chunk: Buffer | null = stream.read();
    if (chunk !== null) {
      chunks.push(chunk);
      length += chunk.length;
      continue;
    }
    if (stream.readableEnded) break;
    if (stream.errored) throw stream.errored;
    if (stream.destroyed) throw new Error('the stream was closed');
    await nextChunk(stream, signal);
  }
  return Buffer.concat(chunks);
}

function putBack(stream: Readable, start: Buffer): Readable {
  if (stream.readableEnded) return Readable.from([start]);
  stream.unshift(start);
  return stream;
}

async function nextChunk(stream: Readable, signal: AbortSignal | undefined): Promise<void> {
  const settled = new AbortController();
  const either = AbortSignal.any(signal === undefined ? [settled.signal] : [settled.signal, signal]);
  try {
    await Promise.race(['readable', 'end', 'close'].map((event) => once(stream, event, { signal: either })));
  } finally {
    settled.abort();
  }
}

async function spool(
  stream: Readable,
  compression: ArchiveCompression,
  label: string,
  options: SpoolOptions,
): Promise<PlainArchive> {
  const path = join(resolve(options.stagingDirectory), `archive-${randomUUID()}.tar`);
  const close = (): Promise<void> => rm(path, { force: true });
  let target: Writable | undefined;
  try {
    // Readable by nobody else: an image may hold what its owner keeps to himself.
    await mkdir(options.stagingDirectory, { recursive: true, mode: 0o700 });
    target = createWriteStream(path, { flags: 'wx', mode: 0o600 });
    const guard = checkSpooled(label, options);
    const steps = [stream, ...decompressor(compression, label), guard, target];
    await pipeline(steps, options.signal === undefined ? {} : { signal: options.signal });
    return { path, label, close };
  } catch (error) {
    stream.destroy();
    // A file that is still being opened would appear after it was removed.
    if (target !== undefined) {
      if (!target.destroy().closed) await once(target, 'close').catch(() => undefined);
      await close();
    }
    throw spoolError(error, label, path, options.signal);
  }
}

function decompressor(compression: ArchiveCompression, label: string): Duplex[] {
  if (compression === 'gzip') return [createGunzip({ chunkSize: 256 * 1024 })];
  return compression === 'zstd' ? [createZstdStream(label)] : [];
}

/** Stops early what is no tar file at all, and what would fill the disk. */
function checkSpooled(label: string, options: SpoolOptions): Transform {
  let start: Buffer | undefined = Buffer.alloc(0);
  let total = 0;
  let nextSpaceCheck = 0;
  const check = async (chunk: Buffer): Promise<void> => {
    if (start !== undefined) {
      start = Buffer.concat([start, chunk.subarray(0, SIGNATURE_LENGTH)]).subarray(0, SIGNATURE_LENGTH);
      if (start.length === SIGNATURE_LENGTH) {
        if (!isTarHeader(start)) throw malformedSource(label, 'what it holds is not a tar file');
        start = undefined;
      }
    }
    total += chunk.length;
    if (total < nextSpaceCheck) return;
    nextSpaceCheck = total + SPACE_CHECK_INTERVAL;
    await checkFreeSpace(label, options);
  };
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      check(chunk).then(() => done(null, chunk), done);
    },
  });
}

async function checkFreeSpace(label: string, { stagingDirectory, freeSpaceReserve }: SpoolOptions): Promise<void> {
  const reserve = freeSpaceReserve ?? DEFAULT_UNPACK_LIMITS.freeSpaceReserve;
  const { bavail, bsize } = await statfs(stagingDirectory);
  const free = bavail * bsize;
  if (free >= reserve + SPACE_CHECK_INTERVAL) return;
  throw new ProvisionerError('ERR_NO_SPACE', `no space left to unpack ${label} into ${stagingDirectory}`, {
    hint: 'free some space, or decompress the archive elsewhere and load that file, which is read where it lies',
    details: { free, reserve, path: stagingDirectory },
  });
}

function spoolError(error: unknown, label: string, path: string, signal: AbortSignal | undefined): unknown {
  if (signal?.aborted) return abortedError(signal);
  if (error instanceof ProvisionerError) return error;
  const code = error instanceof Error ? String((error as NodeJS.ErrnoException).code) : '';
  if (code === 'Z_BUF_ERROR' || code === 'ERR_STREAM_PREMATURE_CLOSE')
    return truncatedSource(label, 'its compressed data ends early', error);
  if (code.startsWith('Z_')) return malformedSource(label, 'its compressed data is damaged', { cause: error });
  return fileError(error, 'unpack the archive', path);
}
