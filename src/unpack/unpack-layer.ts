import { createHash, type Hash } from 'node:crypto';
import { createReadStream, renameSync } from 'node:fs';
import { join } from 'node:path';
import type { UnpackLimits } from '../config.js';
import { writeContents } from '../contents/write-contents.js';
import { abortedError, fileError, isProvisionerError, ProvisionerError, systemCode } from '../errors.js';
import { type DiffId, type Digest, digestAlgorithm } from '../image/digest.js';
import { layerRootfs } from '../paths.js';
import { type BytePath, nodePath, toBytePath } from '../syscalls/byte-path.js';
import { loadTreeCalls } from '../syscalls/load-tree-calls.js';
import type { Syscalls } from '../syscalls/syscalls.js';
import { removeTree } from '../tree/remove-tree.js';
import type { WhiteoutFormat } from '../tree/whiteouts.js';
import { type Chunks, decompress } from './decompress.js';
import type { Skipped } from './entry-attributes.js';
import { openLayerRoot } from './layer-root.js';
import { LayerWriter } from './layer-writer.js';
import { limitExceeded, truncated } from './malformed.js';
import { writeStacking } from './stacking.js';
import { TarReader } from './tar-reader.js';

export interface UnpackRequest {
  /** Where the stored bytes lie. */
  readonly blob: { readonly path: string; readonly offset: number; readonly size: number };
  /** Of the stored bytes; undefined where the source has none. */
  readonly digest: Digest | undefined;
  /** Of the tar in them. */
  readonly diffId: DiffId;
  /** The staged layer's directory, which exists and is empty. */
  readonly directory: string;
  readonly format: WhiteoutFormat;
  readonly privileged: boolean;
  readonly limits: UnpackLimits;
}

export interface UnpackedLayer {
  /** Disk use of the layer's directory in bytes, as `du` counts it. */
  readonly bytes: number;
  readonly entries: number;
  readonly opaqueRoot: boolean;
  readonly whiteouts: boolean;
  readonly describesRoot: boolean;
  readonly skipped: Skipped;
}

/** Stored bytes read at a time. */
const READ_SIZE = 1024 * 1024;

/**
 * Turns a stored layer into a directory in one pass: reads, checks the digest of the stored bytes, inflates, checks the diff ID, and writes
 * files. Made to run on a worker thread: between two chunks it gives way to the thread's events, within one it does not.
 * Whoever calls removes the directory when this fails.
 * @param progress called with the stored bytes read so far, after each piece
 * @throws ProvisionerError `ERR_DIGEST_MISMATCH`, `ERR_DIFF_ID_MISMATCH`, `ERR_LAYER_MALFORMED`, `ERR_LAYER_TRUNCATED`, `ERR_UNSAFE_PATH`,
 * `ERR_LIMIT_EXCEEDED`, `ERR_NO_SPACE`, `ERR_PERMISSION`, `ERR_IO`, `ERR_ABORTED`
 */
export async function unpackLayer(
  request: UnpackRequest,
  syscalls: Syscalls,
  signal: AbortSignal,
  progress: (bytes: number) => void,
): Promise<UnpackedLayer> {
  const rootfs = layerRootfs(request.directory);
  const tree = openLayerRoot(rootfs, syscalls);
  const writer = new LayerWriter({
    tree,
    directory: rootfs,
    format: request.format,
    privileged: request.privileged,
    limits: request.limits,
    removeDirectoryTree: (path) => removeReplaced(request.directory, path, syscalls),
  });
  try {
    await writeTar(request, writer, signal, progress);
    const written = writer.finish();
    writeStacking(request.directory, written.stacking);
    const bytes = writeContents(request.directory, loadTreeCalls(syscalls), written.known);
    const { entries, opaqueRoot, whiteouts, describesRoot, skipped } = written;
    return { bytes, entries, opaqueRoot, whiteouts, describesRoot, skipped };
  } catch (error) {
    await blameDamage(request, error, signal);
    throw explain(error, rootfs);
  } finally {
    writer.closeFile();
    tree.close();
  }
}

/** Takes a directory out of the layer first: its name need not be text, and what is removed must not be in the way of what replaces it. */
function removeReplaced(layerDirectory: string, path: BytePath, syscalls: Syscalls): void {
  const replaced = join(layerDirectory, 'replaced');
  renameSync(nodePath(`${toBytePath(layerRootfs(layerDirectory))}/${path}`), replaced);
  removeTree(replaced, { syscalls });
}

async function writeTar(
  request: UnpackRequest,
  writer: LayerWriter,
  signal: AbortSignal,
  progress: (bytes: number) => void,
): Promise<void> {
  const { digest, diffId, limits } = request;
  const storedHash = digest === undefined ? undefined : createHash(digestAlgorithm(digest));
  const tarHash = createHash(digestAlgorithm(diffId));
  const reader = new TarReader(writer);
  let tarBytes = 0;
  for await (const chunk of decompress(readBlob(request.blob, storedHash, signal, progress))) {
    if (signal.aborted) throw abortedError(signal);
    tarHash.update(chunk);
    // What follows the end of the archive is read too, for the digest, and must end as well.
    tarBytes += chunk.length;
    if (tarBytes > limits.maxUnpackedBytes)
      throw limitExceeded('too much data', limits.maxUnpackedBytes, 'maxUnpackedBytes');
    reader.push(chunk);
  }
  checkDigest(storedHash, digest, 'ERR_DIGEST_MISMATCH', 'the stored layer');
  reader.end();
  checkDigest(tarHash, diffId, 'ERR_DIFF_ID_MISMATCH', 'the unpacked layer');
}

async function* readBlob(
  blob: UnpackRequest['blob'],
  hash: Hash | undefined,
  signal: AbortSignal,
  progress: (bytes: number) => void,
): Chunks & AsyncGenerator<Buffer> {
  if (blob.size === 0) return;
  let bytes = 0;
  const stream = createReadStream(blob.path, {
    start: blob.offset,
    end: blob.offset + blob.size - 1,
    highWaterMark: READ_SIZE,
    signal,
  });
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      hash?.update(chunk);
      bytes += chunk.length;
      progress(bytes);
      yield chunk;
    }
  } catch (error) {
    if (signal.aborted) throw abortedError(signal);
    throw fileError(error, 'read the stored layer', blob.path);
  }
  if (bytes !== blob.size) throw truncated(`${bytes} of ${blob.size} stored bytes are there`);
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
async function blameDamage({ blob, digest }: UnpackRequest, error: unknown, signal: AbortSignal): Promise<void> {
  if (
    signal.aborted ||
    digest === undefined ||
    !isProvisionerError(error, 'ERR_LAYER_MALFORMED', 'ERR_LAYER_TRUNCATED', 'ERR_UNSAFE_PATH')
  )
    return;
  const hash = createHash(digestAlgorithm(digest));
  for await (const _ of readBlob(blob, hash, signal, () => {})) {
    // Only the hash is wanted.
  }
  checkDigest(hash, digest, 'ERR_DIGEST_MISMATCH', 'the stored layer', error);
}

/** What the archive asks for and this file system does not have: ENAMETOOLONG, EMLINK (ext4: 65 000 names of a file), EFBIG (ext4: 16 TiB). */
const BEYOND_FILE_SYSTEM: Readonly<Record<string, string>> = {
  ENAMETOOLONG: 'a path longer',
  EMLINK: 'a file with more names',
  EFBIG: 'a file larger',
};

/** System errors of the writer, in words that speak of layers. */
function explain(error: unknown, rootfs: string): unknown {
  const asked = BEYOND_FILE_SYSTEM[systemCode(error) ?? ''];
  if (asked === undefined) return fileError(error, 'unpack the layer', rootfs);
  return new ProvisionerError('ERR_LIMIT_EXCEEDED', `the layer has ${asked} than this system takes`, {
    cause: error,
    hint: 'the image cannot be unpacked on this file system',
  });
}
