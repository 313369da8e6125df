import { isProvisionerError } from '../../../base/errors.js';
import { decompress } from '../../../system/compression/decompress.js';
import { takeFreely } from '../../../system/compression/window-memory.js';
import { archiveRefused } from '../files-errors.js';

const NEVER: AbortSignal = new AbortController().signal;
/** Where that has another name than the compression. */
const PROGRAMS: Readonly<Record<string, string>> = { compress: 'gzip' };

/**
 * An archive as it was before it was compressed, if it was, as its first bytes tell: by gzip or zstd, or by xz or bzip2 where this machine has the program of that name. In memory that does not grow with it.
 * @returns pieces that are good until the next one is asked for
 * @throws ProvisionerError `ERR_ARCHIVE_REFUSED` for another compression, or one whose program is not there; `ERR_ABORTED`, and as `decompress`
 */
export async function* inflatedArchive(
  archive: AsyncIterable<Uint8Array>,
  signal: AbortSignal = NEVER,
): AsyncGenerator<Buffer, void, undefined> {
  try {
    // Inflated beside this thread, which others wait for.
    yield* decompress(buffersOf(archive), { signal, hasSpareProcessor: () => true, takeMemory: takeFreely });
  } catch (error) {
    if (!isProvisionerError(error, 'ERR_UNSUPPORTED_MEDIA_TYPE')) throw error;
    const compression = String(error.details['compression']);
    const hint = `undo that first: \`${PROGRAMS[compression] ?? compression} -dc FILE | provisioner cp - ID:DIR\``;
    throw archiveRefused(`it is compressed with ${compression}, which cannot be undone here`, undefined, error, hint);
  }
}

async function* buffersOf(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer, void, undefined> {
  for await (const piece of pieces) yield Buffer.from(piece.buffer, piece.byteOffset, piece.length);
}
