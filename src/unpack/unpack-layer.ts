import { createHash, type Hash } from 'node:crypto';
import { join } from 'node:path';
import type { UnpackLimits } from '../base/config.js';
import { abortedError, isProvisionerError, ProvisionerError } from '../base/errors.js';
import { limitExceeded } from '../base/malformed.js';
import { writeContents } from '../files/contents/write-contents.js';
import { SpaceWatch } from '../files/space/space-watch.js';
import { type KeptTar, TarRecorder } from '../files/tar-record/tar-recorder.js';
import { removeTree } from '../files/tree/removal/remove-tree.js';
import type { WhiteoutFormat } from '../files/tree/whiteouts.js';
import { type DiffId, type Digest, digestAlgorithm } from '../image/digest.js';
import { layerRootfs } from '../paths.js';
import { decompress } from '../system/compression/decompress.js';
import type { Chunks } from '../system/compression/inflate.js';
import { type TakeMemory, takeFreely } from '../system/compression/window-memory.js';
import type { BytePath } from '../system/syscalls/byte-path.js';
import { loadTreeCalls } from '../system/syscalls/load-tree-calls.js';
import type { FileTree, Syscalls } from '../system/syscalls/syscalls.js';
import type { TreeCalls } from '../system/syscalls/tree-calls.js';
import { TarReader, type TarWitness } from '../system/tar/tar-reader.js';
import type { Skipped } from './entry-attributes.js';
import { explainFailure } from './explain-failure.js';
import { openLayerRoot } from './layer-root.js';
import { LayerWriter } from './layer-writer.js';
import { RecordedData } from './recorded-data.js';
import { writeStacking } from './stacking.js';
import { type FileBlob, readStoredFile, type StoredBytes } from './stored-file.js';

export interface UnpackRequest extends LayerTarget {
  /** Where the stored bytes lie. */
  readonly blob: FileBlob;
}

/** What is to become of a layer, wherever its bytes come from. */
export interface LayerTarget {
  /** Of the stored bytes; undefined where the source has none. */
  readonly digest: Digest | undefined;
  /** Of the tar in them. */
  readonly diffId: DiffId;
  /** The staged layer's directory, which exists and is empty. */
  readonly directory: string;
  readonly format: WhiteoutFormat;
  readonly privileged: boolean;
  readonly limits: UnpackLimits;
  /** Keep what is needed to make the archive again. */
  readonly keepTar: boolean;
}

export interface UnpackedLayer {
  /** Disk use of the layer's directory in bytes, as `du` counts it. */
  readonly bytes: number;
  readonly entries: number;
  readonly opaqueRoot: boolean;
  readonly whiteouts: boolean;
  readonly describesRoot: boolean;
  readonly skipped: Skipped;
  /** Whether what is needed to make the archive again was kept. `too-large`: it would have been a second copy of the layer, since too much of the archive's data is in no file of it. */
  readonly tar: 'kept' | 'off' | 'too-large';
  /** Of the disk use, what that takes. */
  readonly tarBytes: number;
}

/** What unpacking needs beside the layer. */
export interface UnpackContext {
  readonly syscalls: Syscalls;
  readonly signal: AbortSignal;
  /** As the signal, for what never gives way to the events of the thread. Default: the signal alone tells. */
  readonly isCancelled?: () => boolean;
  /** Called with the stored bytes read so far, after each piece. */
  readonly progress: (bytes: number) => void;
  /** Whether one is free for another thread. */
  readonly hasSpareProcessor: () => boolean;
  /** For what inflating takes much of. Default: all that it wants. */
  readonly takeMemory?: TakeMemory | undefined;
}

/** Unpacks a layer that lies in a file. @throws as `unpackStoredBytes` */
export async function unpackLayer(request: UnpackRequest, context: UnpackContext): Promise<UnpackedLayer> {
  return unpackStoredBytes(readStoredFile(request.blob, context.signal), request, context);
}

/**
 * Turns a stored layer into a directory in one pass: reads, checks the digest of the stored bytes, inflates, checks the diff ID, and writes
 * files. Made to run on a worker thread: between two chunks it gives way to the thread's events, within one it does not.
 * Whoever calls removes the directory when this fails.
 * @throws ProvisionerError `ERR_DIGEST_MISMATCH`, `ERR_DIFF_ID_MISMATCH`, `ERR_LAYER_MALFORMED`, `ERR_LAYER_TRUNCATED`, `ERR_UNSAFE_PATH`,
 * `ERR_LIMIT_EXCEEDED`, `ERR_NO_SPACE`, `ERR_PERMISSION`, `ERR_IO`, `ERR_ABORTED`
 */
export async function unpackStoredBytes(
  bytes: StoredBytes,
  request: LayerTarget,
  context: UnpackContext,
): Promise<UnpackedLayer> {
  const { syscalls, signal, progress } = context;
  const stored = new StoredLayer(bytes, request.digest, progress);
  const rootfs = layerRootfs(request.directory);
  const tree = openLayerRoot(rootfs, syscalls);
  const calls = loadTreeCalls(syscalls);
  const space = new SpaceWatch(rootfs, request.limits.freeSpaceReserve);
  let recording: Recording | undefined;
  let writer: LayerWriter | undefined;
  try {
    recording = request.keepTar ? beginRecord(request.directory, calls, space) : undefined;
    writer = new LayerWriter({
      tree,
      space,
      format: request.format,
      privileged: request.privileged,
      limits: request.limits,
      removeDirectoryTree: (path) => removeReplaced(tree, path, join(request.directory, 'replaced'), syscalls),
      tar: recording?.data,
    });
    await writeTar(stored, request, writer, recording?.recorder, context);
    const written = writer.finish();
    const kept = recording?.recorder.finish();
    writeStacking(request.directory, written.stacking);
    const pause = () => {
      if (context.isCancelled?.()) throw abortedError(signal);
    };
    const known = { ...written.known, tar: kept?.checksum ?? null };
    const used = writeContents(request.directory, calls, known, pause);
    const { entries, opaqueRoot, whiteouts, describesRoot, skipped } = written;
    return { bytes: used, entries, opaqueRoot, whiteouts, describesRoot, skipped, ...tarOf(kept) };
  } catch (error) {
    await blameDamage(stored, error, signal);
    throw explainFailure(error, 'unpack the layer', rootfs);
  } finally {
    await stored.close();
    writer?.closeFile();
    recording?.recorder.close();
    recording?.data.close();
    tree.close();
  }
}

interface Recording {
  readonly recorder: TarRecorder;
  readonly data: RecordedData;
}

function beginRecord(directory: string, calls: TreeCalls, space: SpaceWatch): Recording {
  const recorder = new TarRecorder(directory, { onWritten: (bytes) => space.count(bytes) });
  try {
    return { recorder, data: new RecordedData(recorder, layerRootfs(directory), calls) };
  } catch (error) {
    recorder.close();
    throw error;
  }
}

function tarOf(kept: KeptTar | undefined): Pick<UnpackedLayer, 'tar' | 'tarBytes'> {
  if (kept === undefined) return { tar: 'off', tarBytes: 0 };
  return { tar: kept.checksum === null ? 'too-large' : 'kept', tarBytes: kept.bytes };
}

/** Takes a directory out of the layer first: its name need not be text, and what is removed must not be in the way of what replaces it. */
function removeReplaced(tree: FileTree, path: BytePath, aside: string, syscalls: Syscalls): void {
  tree.moveOut(path, aside);
  removeTree(aside, { syscalls });
}

async function writeTar(
  stored: StoredLayer,
  { diffId, limits }: LayerTarget,
  writer: LayerWriter,
  witness: TarWitness | undefined,
  { signal, hasSpareProcessor, takeMemory = takeFreely }: UnpackContext,
): Promise<void> {
  const tarHash = createHash(digestAlgorithm(diffId));
  const reader = new TarReader(writer, 'all', witness);
  let tarBytes = 0;
  for await (const chunk of decompress(stored.pieces(), { signal, hasSpareProcessor, takeMemory })) {
    if (signal.aborted) throw abortedError(signal);
    tarHash.update(chunk);
    // What follows the end of the archive is read too, for the digest, and must end as well.
    tarBytes += chunk.length;
    if (tarBytes > limits.maxUnpackedBytes)
      throw limitExceeded('too much data', limits.maxUnpackedBytes, 'maxUnpackedBytes');
    reader.push(chunk);
  }
  stored.check();
  reader.end();
  checkDigest(tarHash, diffId, 'ERR_DIFF_ID_MISMATCH', 'the unpacked layer');
}

/** The bytes that a layer is read from, with their digest as far as they were read. */
class StoredLayer {
  readonly #bytes: StoredBytes;
  readonly #digest: Digest | undefined;
  readonly #hash: Hash | undefined;
  readonly #progress: (bytes: number) => void;
  #read = 0;
  #broken = false;
  #checked = false;

  constructor(bytes: StoredBytes, digest: Digest | undefined, progress: (bytes: number) => void) {
    this.#bytes = bytes;
    this.#digest = digest;
    this.#hash = digest === undefined ? undefined : createHash(digestAlgorithm(digest));
    this.#progress = progress;
  }

  /** It is not the data that was at fault, but whoever reads it. */
  get broken(): boolean {
    return this.#broken;
  }

  /** What is left to read. May be stopped and called again: nothing is lost between. */
  pieces(): Chunks {
    return { [Symbol.asyncIterator]: () => ({ next: () => this.#next() }) };
  }

  /** To be asked when all has been read. @throws ProvisionerError `ERR_DIGEST_MISMATCH` */
  check(cause?: unknown): void {
    if (this.#checked) return;
    this.#checked = true;
    checkDigest(this.#hash, this.#digest, 'ERR_DIGEST_MISMATCH', 'the stored layer', cause);
  }

  async close(): Promise<void> {
    await this.#bytes.return();
  }

  async #next(): Promise<IteratorResult<Buffer, void>> {
    this.#broken = true;
    const next = await this.#bytes.next();
    this.#broken = false;
    if (next.done) return next;
    this.#hash?.update(next.value);
    this.#read += next.value.length;
    this.#progress(this.#read);
    return next;
  }
}

function checkDigest(
  hash: Hash | undefined,
  expected: Digest | undefined,
  code: 'ERR_DIGEST_MISMATCH' | 'ERR_DIFF_ID_MISMATCH',
  what: string,
  cause?: unknown,
): void {
  if (hash === undefined || expected === undefined) return;
  const found = `${digestAlgorithm(expected)}:${hash.digest('hex')}`;
  if (found === expected) return;
  throw new ProvisionerError(code, `${what} has the digest ${found}, expected ${expected}`, {
    hint: 'the source is damaged or was tampered with: copy or pull the image again, and do not trust this copy',
    details: { expected, found },
    cause,
  });
}

/** Data that makes no sense is most often damaged data: then the digest, which was not reached, is the better answer. */
async function blameDamage(stored: StoredLayer, error: unknown, signal: AbortSignal): Promise<void> {
  if (
    signal.aborted ||
    stored.broken ||
    !isProvisionerError(error, 'ERR_LAYER_MALFORMED', 'ERR_LAYER_TRUNCATED', 'ERR_UNSAFE_PATH')
  )
    return;
  for await (const _ of stored.pieces()) {
    // Only the hash is wanted.
  }
  stored.check(error);
}
