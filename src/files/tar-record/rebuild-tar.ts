import { createHash } from 'node:crypto';
import { readSync } from 'node:fs';
import { fileError, ProvisionerError, systemCode } from '../../base/errors.js';
import { digestAlgorithm, type LayerId } from '../../image/digest.js';
import { layerTar } from '../../paths.js';
import { type BytePath, printablePath } from '../../system/syscalls/byte-path.js';
import type { TreeCalls } from '../../system/syscalls/tree-calls.js';
import { ByteReader } from '../contents/bytes.js';
import { directoryIdentity } from '../contents/check-layer.js';
import { malformedRecord, RecordFileError, RecordFileReader } from '../contents/record-file.js';
import { PayloadFiles } from './payload-files.js';
import { BlockDecoder, pathInHeader, sizeInHeader, TAR_BLOCK } from './tar-blocks.js';
import {
  BLOCK,
  BYTES,
  type DataSegment,
  LOST,
  OWN_LENGTH,
  OWN_PATH,
  PADDING,
  PAYLOAD,
  SPARSE,
  STEP,
  TAR_RECORD_MAGIC,
  type TarRecordSummary,
  ZEROS,
} from './tar-record.js';

/**
 * Whose the pieces of an archive are. `lent`: a piece is good until the next one is asked for, and so small that it stays in the processor's cache. `given`: each has memory of its own, and is so large that
 * handing it over costs little.
 */
export type Pieces = 'lent' | 'given';
const PIECE: Readonly<Record<Pieces, number>> = { lent: 256 * 1024, given: 1024 * 1024 };

/**
 * Makes the archive of a layer again, piece by piece. What comes out is what went in only if its digest is the diff ID, which the caller looks at. Synchronous between two pieces, for a
 * worker thread; in a tree of an ordinary user see `OwnedDescent`.
 * @param layerDirectory absolute
 * @throws RecordFileError when the record is missing or damaged, before the first piece; ChangedFileError when a file is not what it was; else like Node's `fs`
 */
export function* rebuildTar(
  layerDirectory: string,
  calls: TreeCalls,
  pieces: Pieces = 'lent',
): Generator<Buffer, void, undefined> {
  const record = RecordFileReader.open(layerTar(layerDirectory), TAR_RECORD_MAGIC);
  try {
    const files = new PayloadFiles(calls, layerDirectory);
    try {
      yield* new Rebuild(record, files, pieces).pieces();
    } finally {
      files.close();
    }
  } catch (error) {
    throw error instanceof RangeError ? malformedRecord(error) : error;
  } finally {
    record.close();
  }
}

/** A layer that others put a fresh copy of in place while its archive is made is gone on with there, so often. */
const ATTEMPTS = 5;

/**
 * The archive of a layer, and proof of it.
 * @throws ProvisionerError `ERR_STORE_DAMAGED` when it cannot be made, after the last piece also when it is another one; else like Node's `fs`
 */
export function* archiveOf(
  layerDirectory: string,
  diffId: LayerId,
  calls: TreeCalls,
  pieces: Pieces = 'lent',
): Generator<Buffer, void, undefined> {
  const hash = createHash(digestAlgorithm(diffId));
  let sent = 0;
  for (let attempt = 1; ; attempt++) {
    const identity = directoryIdentity(layerDirectory);
    try {
      let at = 0;
      for (const piece of rebuildTar(layerDirectory, calls, pieces)) {
        const next = piece.subarray(Math.max(0, sent - at));
        at += piece.length;
        if (next.length === 0) continue;
        hash.update(next);
        sent = at;
        yield next.length === piece.length ? piece : next;
      }
      break;
    } catch (error) {
      const now = directoryIdentity(layerDirectory);
      if (now !== undefined && now !== identity && attempt < ATTEMPTS) continue;
      throw notMade(error, diffId, layerDirectory);
    }
  }
  const found = `${digestAlgorithm(diffId)}:${hash.digest('hex')}`;
  if (found !== diffId) throw damaged(`it was made again with the digest ${found}`, diffId, { found });
}

const GONE = new Set(['ENOENT', 'ENOTDIR', 'ELOOP', 'ESTALE']);

function notMade(error: unknown, diffId: LayerId, layerDirectory: string): unknown {
  if (error instanceof RecordFileError) return damaged(error.message, diffId, { tar: error.message }, error);
  if (error instanceof ChangedFileError) return damaged(error.message, diffId, { path: error.path }, error.cause);
  // Of the layer's own directories.
  if (GONE.has(systemCode(error) ?? '')) return damaged((error as Error).message, diffId, {}, error);
  return systemCode(error) === undefined ? error : fileError(error, 'make an archive again', layerDirectory);
}

/** A file of the layer is not what it was. */
export class ChangedFileError extends Error {
  readonly path: string;
  constructor(path: BytePath, how: string, options?: ErrorOptions) {
    super(`${printablePath(path)} ${how}`, options);
    this.path = printablePath(path);
  }
}

const NO_FILE = 'is no file any more';

class Rebuild {
  readonly #record: RecordFileReader;
  readonly #files: PayloadFiles;
  readonly #blocks = new BlockDecoder();
  readonly #lost: ReadonlyMap<number, number>;
  readonly #pieces: Pieces;
  readonly #room: number;
  #piece: Buffer;
  #filled = 0;
  #payloads = 0;
  #lastPath: BytePath = '';
  /** Zeros to come, if nothing else is said to be there. */
  #due = 0;

  constructor(record: RecordFileReader, files: PayloadFiles, pieces: Pieces) {
    this.#pieces = pieces;
    this.#room = PIECE[pieces];
    this.#piece = Buffer.allocUnsafeSlow(this.#room);
    this.#record = record;
    this.#files = files;
    this.#lost = new Map((record.summary as TarRecordSummary).lost);
  }

  *pieces(): Generator<Buffer, void, undefined> {
    for (const block of this.#record.blocks()) {
      const steps = new ByteReader(block);
      while (!steps.atEnd) {
        // A block, and the padding before it.
        if (this.#filled + 2 * TAR_BLOCK > this.#room) yield this.#take();
        const step = steps.byte();
        if (step !== (BYTES | PADDING)) this.#zeros(this.#due);
        this.#due = 0;
        switch (step & STEP) {
          case BLOCK:
            this.#filled += this.#blocks.decode(step, steps).copy(this.#piece, this.#filled);
            break;
          case PAYLOAD:
            yield* this.#payload(step, steps);
            break;
          case BYTES:
            yield* this.#bytes(step, steps);
            break;
          default:
            steps.take(steps.number());
        }
      }
    }
    if (this.#filled + this.#due > this.#room) yield this.#take();
    this.#zeros(this.#due);
    if (this.#filled > 0) yield this.#take();
  }

  *#payload(step: number, steps: ByteReader): Generator<Buffer, void, undefined> {
    const header = this.#blocks.entryHeader;
    const path =
      (step & OWN_PATH) === 0 ? pathInHeader(header) : this.#lastPath.slice(0, steps.number()) + steps.text();
    this.#lastPath = path;
    const length = (step & OWN_LENGTH) === 0 ? sizeInHeader(header) : steps.number();
    const segments = (step & SPARSE) === 0 ? undefined : readSegments(steps);
    const lost = this.#lost.get(this.#payloads++);
    this.#due = (TAR_BLOCK - (length % TAR_BLOCK)) % TAR_BLOCK;
    if (lost === undefined) yield* this.#fileData(path, segments ?? [{ offset: 0, length }]);
    else yield* this.#lostData(lost, length);
  }

  *#fileData(path: BytePath, segments: readonly DataSegment[]): Generator<Buffer, void, undefined> {
    const descriptor = this.#openFile(path);
    try {
      for (const { offset, length } of segments) {
        for (let done = 0; done < length; ) {
          if (this.#filled === this.#room) yield this.#take();
          const wanted = Math.min(length - done, this.#room - this.#filled);
          const count = this.#read(descriptor, wanted, offset + done);
          if (count === 0) throw changed(path, this.#files.isFile(path) ? 'is shorter than it was' : NO_FILE);
          this.#filled += count;
          done += count;
        }
      }
    } finally {
      this.#files.closeFile(descriptor);
    }
  }

  /** @returns 0 for what is none that could be read, too */
  #read(descriptor: number, length: number, position: number): number {
    try {
      return readSync(descriptor, this.#piece, this.#filled, length, position);
    } catch (error) {
      // Of a directory, and of what cannot be read from where one likes.
      if (systemCode(error) === 'EISDIR' || systemCode(error) === 'ESPIPE') return 0;
      throw error;
    }
  }

  #openFile(path: BytePath): number {
    try {
      return this.#files.open(path);
    } catch (error) {
      const code = systemCode(error);
      if (code === 'ENOENT') throw changed(path, 'is missing', error);
      if (code === 'ENOTDIR' || code === 'ELOOP') throw changed(path, NO_FILE, error);
      throw error;
    }
  }

  *#lostData(position: number, length: number): Generator<Buffer, void, undefined> {
    let left = length;
    for (const block of this.#record.blocks(position)) {
      const steps = new ByteReader(block);
      while (!steps.atEnd && left > 0) {
        if ((steps.byte() & STEP) !== LOST) throw malformedRecord();
        const data = steps.take(steps.number());
        left -= data.length;
        yield* this.#copy(data);
      }
      if (left <= 0) return;
    }
    if (left > 0) throw malformedRecord();
  }

  *#bytes(step: number, steps: ByteReader): Generator<Buffer, void, undefined> {
    const length = steps.number();
    if ((step & ZEROS) === 0) yield* this.#copy(steps.take(length));
    else yield* this.#copy(Buffer.alloc(length));
  }

  *#copy(data: Buffer): Generator<Buffer, void, undefined> {
    for (let done = 0; done < data.length; ) {
      if (this.#filled === this.#room) yield this.#take();
      const count = data.copy(this.#piece, this.#filled, done);
      this.#filled += count;
      done += count;
    }
  }

  /** At most what fills a block; there is room for it. */
  #zeros(count: number): void {
    this.#piece.fill(0, this.#filled, this.#filled + count);
    this.#filled += count;
  }

  #take(): Buffer {
    const piece = this.#piece.subarray(0, this.#filled);
    if (this.#pieces === 'given') this.#piece = Buffer.allocUnsafeSlow(this.#room);
    this.#filled = 0;
    return piece;
  }
}

function readSegments(steps: ByteReader): DataSegment[] {
  const segments: DataSegment[] = [];
  let end = 0;
  for (let left = steps.number(); left > 0; left--) {
    const offset = end + steps.number();
    const length = steps.number();
    segments.push({ offset, length });
    end = offset + length;
  }
  return segments;
}

function changed(path: BytePath, how: string, cause?: unknown): ChangedFileError {
  return new ChangedFileError(path, how, { cause });
}

function damaged(why: string, layer: LayerId, details: Record<string, string>, cause?: unknown): ProvisionerError {
  return new ProvisionerError('ERR_STORE_DAMAGED', `the archive of layer ${layer} cannot be made again: ${why}`, {
    cause,
    hint: '`provisioner check --full --repair` gets the layer again',
    details: { layer, ...details },
  });
}
