import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { type FileHandle, rm, statfs } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { anySignal } from '../../base/any-signal.js';
import { DEFAULT_UNPACK_LIMITS } from '../../base/config.js';
import {
  abortedError,
  fileError,
  isProvisionerError,
  ProvisionerError,
  systemCode,
  throwIfAborted,
} from '../../base/errors.js';
import { type ForeignInput, NotRegularError, openForeignInput } from '../../base/foreign-file.js';
import { makeOwnFile } from '../../base/own-files.js';
import { absolutePath } from '../../base/working-directory.js';
import { assertFreeSpace, SPACE_CHECK_INTERVAL } from '../../files/space/free-space.js';
import { makeDirectories } from '../../files/tree/make-directories.js';
import type { CompressedArchive, InflateArchive } from '../../unpack/inflate-archive.js';
import { malformedSource, sourceNotFound, truncatedSource } from '../source-errors.js';
import { type ArchiveCompression, detectArchiveCompression, SIGNATURE_LENGTH } from './archive-compression.js';

/** An archive to read: a file by its path, or whatever comes out of a stream (which is then used up). */
export type ArchiveInput =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'stream'; readonly stream: Readable };

export interface SpoolOptions {
  /** Where a spooled archive goes; made when missing, and left in place for its owner to remove. */
  readonly stagingDirectory: string;
  /** Bytes that spooling leaves free on the staging directory's file system. Default: as for unpacking. */
  readonly freeSpaceReserve?: number | undefined;
  readonly inflate: InflateArchive;
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

/**
 * Layers are read in place, by several threads, from an offset: that needs a plain file. One is used where it lies; a
 * compressed one, a pipe or a stream is first written out, decompressed, into the staging directory. Inflating is left to another thread: these are foreign bytes.
 * @throws ProvisionerError `ERR_SOURCE_NOT_FOUND`, `ERR_BAD_SOURCE`, `ERR_SOURCE_MALFORMED`, `ERR_SOURCE_UNSUPPORTED`,
 * `ERR_NO_SPACE`, `ERR_ABORTED`; nothing is left in the staging directory then
 */
export async function openPlainArchive(input: ArchiveInput, options: SpoolOptions): Promise<PlainArchive> {
  throwIfAborted(options.signal);
  if (input.kind === 'stream') return await spoolStream(input.stream, 'the archive from the stream', options);
  const path = absolutePath(input.path);
  const label = `the archive ${path}`;
  const opened = await openInput(path, label);
  if (opened.kind === 'pipe') return await spoolStream(opened.stream, label, options);
  const { compression, size } = await lookAt(opened.file, path, label);
  if (compression === 'none') return { path, label, close: async () => undefined };
  return await spool(label, options, (spooled) => inflate({ kind: 'file', path, size }, spooled, label, options));
}

async function openInput(path: string, label: string): Promise<ForeignInput> {
  try {
    return await openForeignInput(path);
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR') throw sourceNotFound(label, path, error);
    if (!(error instanceof NotRegularError)) throw fileError(error, 'open the archive', path);
    throw new ProvisionerError('ERR_BAD_SOURCE', `${path} is ${error.found}, not an archive`, {
      ...(error.found === 'a directory'
        ? { hint: `\`provisioner pull oci:${path}\` pulls from a directory with an OCI layout` }
        : {}),
      details: { path },
    });
  }
}

async function lookAt(
  file: FileHandle,
  path: string,
  label: string,
): Promise<{ readonly compression: ArchiveCompression; readonly size: number }> {
  try {
    const { size } = await file.stat();
    const { buffer, bytesRead } = await file.read(Buffer.alloc(SIGNATURE_LENGTH), 0, SIGNATURE_LENGTH, 0);
    return { compression: detectArchiveCompression(buffer.subarray(0, bytesRead), label), size };
  } catch (error) {
    throw fileError(error, 'read the archive', path);
  } finally {
    await file.close();
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
  try {
    return await spool(label, options, (spooled) =>
      compression === 'none'
        ? copy(whole, spooled, label, options)
        : inflate({ kind: 'stream', stream: whole }, spooled, label, options),
    );
  } catch (error) {
    stream.destroy();
    throw error;
  }
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
  const either = anySignal(signal === undefined ? [settled.signal] : [settled.signal, signal]);
  try {
    await Promise.race(['readable', 'end', 'close'].map((event) => once(stream, event, { signal: either })));
  } finally {
    settled.abort();
  }
}

/** Makes a file in the staging directory, which goes when this fails. */
async function spool(
  label: string,
  options: SpoolOptions,
  write: (path: string) => Promise<void>,
): Promise<PlainArchive> {
  const path = join(resolve(options.stagingDirectory), `archive-${randomUUID()}.tar`);
  const close = (): Promise<void> => rm(path, { force: true });
  try {
    // Readable by nobody else: an image may hold what its owner keeps to himself.
    makeDirectories(resolve(options.stagingDirectory));
    await write(path);
    return { path, label, close };
  } catch (error) {
    await close().catch(() => undefined);
    throw spoolError(error, label, path, options.signal);
  }
}

async function inflate(
  from: CompressedArchive,
  path: string,
  label: string,
  { inflate, freeSpaceReserve = DEFAULT_UNPACK_LIMITS.freeSpaceReserve, signal = NEVER }: SpoolOptions,
): Promise<void> {
  const { isTar } = await inflate(from, { path, label, freeSpaceReserve }, signal);
  if (!isTar) throw malformedSource(label, 'what it holds is not a tar file');
}

async function copy(stream: Readable, path: string, label: string, options: SpoolOptions): Promise<void> {
  const target = createWriteStream(path, { fd: makeOwnFile(path, 'wx') });
  try {
    const { signal } = options;
    await pipeline([stream, checkSpace(label, options), target], signal === undefined ? {} : { signal });
  } catch (error) {
    // A file that is still being opened would appear after it was removed.
    if (!target.destroy().closed) await once(target, 'close').catch(() => undefined);
    throw error;
  }
}

/** Stops early what would fill the disk. */
function checkSpace(label: string, options: SpoolOptions): Transform {
  let total = 0;
  let nextSpaceCheck = 0;
  const check = async (chunk: Buffer): Promise<void> => {
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
  const { bavail, bsize } = await statfs(stagingDirectory);
  assertFreeSpace(bavail * bsize, freeSpaceReserve ?? DEFAULT_UNPACK_LIMITS.freeSpaceReserve, label, stagingDirectory);
}

/** Layers and archives are inflated alike; the words speak of layers. */
function spoolError(error: unknown, label: string, path: string, signal: AbortSignal | undefined): unknown {
  if (signal?.aborted) return abortedError(signal);
  if (isProvisionerError(error)) {
    const problem = String(error.details['problem']);
    if (error.code === 'ERR_LAYER_TRUNCATED') return truncatedSource(label, problem, error);
    if (error.code === 'ERR_LAYER_MALFORMED') return malformedSource(label, problem, { cause: error });
    if (error.code === 'ERR_UNSUPPORTED_MEDIA_TYPE') {
      const { details, hint = '' } = error;
      const message = error.message.replace(/^the layer/, label);
      return new ProvisionerError('ERR_SOURCE_UNSUPPORTED', message, {
        cause: error,
        hint: `${hint}; or decompress it first, and load what comes out`,
        details,
      });
    }
    if (error.code !== 'ERR_LIMIT_EXCEEDED') return error;
    return new ProvisionerError('ERR_SOURCE_UNSUPPORTED', `${label} cannot be read: it has ${problem}`, {
      cause: error,
      hint: 'decompress it first, and load what comes out',
    });
  }
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  if (code === 'ERR_STREAM_PREMATURE_CLOSE') return truncatedSource(label, 'its data ends early', error);
  return fileError(error, 'unpack the archive', path);
}

const NEVER: AbortSignal = new AbortController().signal;
