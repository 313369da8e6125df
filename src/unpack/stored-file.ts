import type { FileHandle } from 'node:fs/promises';
import { abortedError, fileError, ProvisionerError } from '../base/errors.js';
import { LeadsOutError, NotRegularError, openForeignFile } from '../base/foreign-file.js';
import { truncated } from '../base/malformed.js';
import type { SparseMap } from '../system/tar/sparse.js';
import { SparseReader } from '../system/tar/sparse-reader.js';

export interface FileBlob {
  readonly path: string;
  /** First byte. */
  readonly offset: number;
  /** Bytes, holes included. */
  readonly size: number;
  /** Where its data belongs, when it is a sparse file in an archive. Default: it is all there. */
  readonly sparse?: SparseMap | undefined;
  /** Links in the path may lead anywhere below this directory, and nowhere else. Default: they may lead anywhere. */
  readonly inside?: string | undefined;
}

/**
 * The stored bytes of a layer, from the first to the last, whole or an error. A piece is good until the next one is asked for. They are read once; those that a failed unpacking left are read
 * as well, to find out whether the data was at fault.
 */
export type StoredBytes = AsyncGenerator<Buffer, void, undefined>;

/** Stored bytes read at a time. */
const READ_SIZE = 1024 * 1024;

/**
 * Reads one piece ahead, into two buffers in turn. The file may have waited for its turn long enough for somebody to put another in its place, or something
 * that is none: an open file for each layer that waits would be hundreds, so it is opened here, with a look at what it is.
 */
export async function* readStoredFile(
  { path, offset, size, sparse, inside }: FileBlob,
  signal: AbortSignal,
): StoredBytes {
  if (size === 0) return;
  const file = await opened(path, inside);
  let position = 0;
  const holey = sparse && new SparseReader(file, offset, sparse);
  const read = async (buffer: Buffer): Promise<Buffer> => {
    if (holey !== undefined) return buffer.subarray(0, await holey.read(buffer));
    const length = Math.min(buffer.length, size - position);
    const { bytesRead } = await file.read(buffer, 0, length, offset + position);
    position += bytesRead;
    return buffer.subarray(0, bytesRead);
  };
  let [next, other] = [Buffer.allocUnsafeSlow(READ_SIZE), Buffer.allocUnsafeSlow(READ_SIZE)];
  let reading = read(next);
  try {
    for (let bytes = 0; bytes < size; ) {
      const piece = await reading;
      if (signal.aborted) throw abortedError(signal);
      if (piece.length === 0) throw truncated(`${bytes} of ${size} stored bytes are there`);
      bytes += piece.length;
      [next, other] = [other, next];
      reading = read(next);
      // Its error is told when its turn comes.
      reading.catch(() => {});
      yield piece;
    }
  } catch (error) {
    throw fileError(error, 'read the stored layer', path);
  } finally {
    // It writes into its buffer until then.
    await reading.catch(() => {});
    await file.close();
  }
}

async function opened(path: string, inside: string | undefined): Promise<FileHandle> {
  try {
    return await openForeignFile(path, { inside });
  } catch (error) {
    if (!(error instanceof NotRegularError || error instanceof LeadsOutError))
      throw fileError(error, 'read the stored layer', path);
    throw new ProvisionerError('ERR_SOURCE_MALFORMED', `the stored layer at ${path} cannot be read: ${error.message}`, {
      cause: error,
      hint: 'it was a file when the image was looked at: copy the image to where nobody else writes, and pull it from there',
      details: { path },
    });
  }
}
