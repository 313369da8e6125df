import { closeSync, statfsSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Readable } from 'node:stream';
import { abortedError, fileError } from '../base/errors.js';
import { makeOwnFile } from '../base/own-files.js';
import { assertFreeSpace, SPACE_CHECK_INTERVAL } from '../files/space/free-space.js';
import { type DecompressContext, decompress } from '../system/compression/decompress.js';
import type { Chunks } from '../system/compression/inflate.js';
import { BLOCK_SIZE, isTarHeader } from '../system/tar/tar-header.js';

/** Where an archive is inflated to. */
export interface InflateTarget {
  /** A file that is made; it stays when this fails. */
  readonly path: string;
  /** For messages: `the archive /images/app.tar.gz`. */
  readonly label: string;
  /** Bytes that are left free on its file system. */
  readonly freeSpaceReserve: number;
}

/** A compressed archive: all of a file, or what comes out of a stream. */
export type CompressedArchive =
  | { readonly kind: 'file'; readonly path: string; readonly size: number }
  | { readonly kind: 'stream'; readonly stream: Readable };

/** Inflates an archive where foreign bytes can do no harm: on a thread that can be ended. @throws as `inflateArchive`, what the stream fails with */
export type InflateArchive = (
  from: CompressedArchive,
  target: InflateTarget,
  signal: AbortSignal,
) => Promise<InflatedArchive>;

export interface InflatedArchive {
  /** Else only the beginning was written. */
  readonly isTar: boolean;
}

/**
 * Writes a compressed archive out. Stops early what is no tar file at all, and what would fill the disk.
 * @param giveUp called when no more of what is stored is wanted: a piece that is read ahead may never come. Default: nothing is done
 * @throws ProvisionerError what `decompress` throws; `ERR_NO_SPACE`, `ERR_PERMISSION`, `ERR_IO`, `ERR_ABORTED`
 */
export async function inflateArchive(
  stored: Chunks,
  { path, label, freeSpaceReserve }: InflateTarget,
  context: DecompressContext,
  giveUp: () => void = () => {},
): Promise<InflatedArchive> {
  const { signal } = context;
  // Readable by nobody else: an image may hold what its owner keeps to himself.
  const file = opened(path);
  let start: Buffer = Buffer.alloc(0);
  let total = 0;
  let nextSpaceCheck = 0;
  try {
    for await (const chunk of decompress(stored, context)) {
      try {
        if (signal.aborted) throw abortedError(signal);
        if (start.length < BLOCK_SIZE) {
          start = Buffer.concat([start, chunk.subarray(0, BLOCK_SIZE - start.length)]);
          if (start.length === BLOCK_SIZE && !isTarHeader(start)) {
            giveUp();
            return { isTar: false };
          }
        }
        total += chunk.length;
        if (total >= nextSpaceCheck) {
          checkFreeSpace(path, label, freeSpaceReserve);
          nextSpaceCheck = total + SPACE_CHECK_INTERVAL;
        }
        write(file, chunk, path);
      } catch (error) {
        // Before the loop is left, which waits for what is read ahead.
        giveUp();
        throw error;
      }
    }
    // Nothing at all is told by whoever reads it.
    return { isTar: start.length === 0 || start.length === BLOCK_SIZE };
  } finally {
    closeSync(file);
  }
}

function opened(path: string): number {
  try {
    return makeOwnFile(path, 'wx');
  } catch (error) {
    throw fileError(error, 'unpack the archive', path);
  }
}

function write(file: number, chunk: Buffer, path: string): void {
  try {
    for (let written = 0; written < chunk.length; ) written += writeSync(file, chunk, written);
  } catch (error) {
    throw fileError(error, 'unpack the archive', path);
  }
}

function checkFreeSpace(path: string, label: string, reserve: number): void {
  const { bavail, bsize } = statfsSync(dirname(path));
  assertFreeSpace(bavail * bsize, reserve, label, dirname(path));
}
