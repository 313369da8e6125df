import { isProvisionerError, ProvisionerError } from '../../base/errors.js';
import { fromBytePath } from '../../system/syscalls/byte-path.js';
import type { SparseMap } from '../../system/tar/sparse.js';
import type { TarEntry } from '../../system/tar/tar-entry.js';
import { BLOCK_SIZE } from '../../system/tar/tar-header.js';
import { TarReader } from '../../system/tar/tar-reader.js';
import { malformedSource, truncatedSource } from '../source-errors.js';

/** One member of a tar file, without its bytes. */
export interface TarMember {
  /** As written. */
  readonly name: string;
  readonly kind: 'file' | 'hardlink' | 'symlink' | 'other';
  /** Where a link points, as written; empty for the rest. */
  readonly target: string;
  /** First byte of the body in the tar file. */
  readonly offset: number;
  /** Bytes of the body, which of a sparse file are not the bytes of the file. */
  readonly size: number;
  /** Where in a file its body belongs, when it does not fill it all. */
  readonly sparse: SparseMap | undefined;
}

/** Blocks of headers, and of what extends them: real archives have some hundred. */
const MAX_BLOCKS = 500_000;

/** Reads `length` bytes at `position`, fewer only at the end of the file. */
export type ReadAt = (position: number, length: number) => Promise<Buffer>;

/**
 * Walks the headers of an uncompressed tar file and steps over the bodies.
 *
 * A writer that was not closed leaves out the two blocks of zeros at the end, and the padding before them. That alone is no damage: a member that is needed and
 * not there is told when it is looked for, and each has a digest.
 * @param size of the whole file, in bytes
 * @throws ProvisionerError `ERR_SOURCE_MALFORMED`, `ERR_LIMIT_EXCEEDED`
 */
export async function* readTarMembers(readAt: ReadAt, size: number, label: string): AsyncGenerator<TarMember> {
  if (size === 0) throw malformedSource(label, 'it is empty');
  let entry: TarEntry | undefined;
  const handler = { entry: (found: TarEntry) => (entry = found), data() {}, endEntry() {} };
  const reader = new TarReader(handler, 'places');
  let position = 0;
  for (let blocks = 0; position < size && !reader.isOver; blocks++) {
    if (blocks === MAX_BLOCKS) throw tooManyBlocks(label);
    const block = await readAt(position, BLOCK_SIZE);
    // Somebody is writing it anew.
    if (block.length < Math.min(BLOCK_SIZE, size - position))
      throw truncatedSource(label, `it ends at byte ${position}`);
    entry = undefined;
    reading(label, position, () => reader.push(block));
    position += block.length;
    const end = position + reader.passOver();
    if (entry !== undefined) {
      const member = toMember(entry, position);
      if (position + member.size > size)
        throw truncatedSource(label, `it has ${size} bytes, and a member needs ${position + member.size}`);
      yield member;
    }
    position = end;
  }
  reading(label, size, () => reader.end());
}

function toMember({ type, path, linkPath, sparse, dataSize }: TarEntry, offset: number): TarMember {
  const isLink = type === 'hardlink' || type === 'symlink';
  return {
    name: fromBytePath(path),
    kind: isLink ? type : type === 'file' ? 'file' : 'other',
    target: fromBytePath(linkPath),
    offset,
    size: dataSize,
    sparse,
  };
}

function tooManyBlocks(label: string): ProvisionerError {
  return new ProvisionerError('ERR_LIMIT_EXCEEDED', `${label} has more than ${MAX_BLOCKS} blocks of headers`, {
    details: { limit: MAX_BLOCKS },
  });
}

/** The reader's words speak of layers. @param position of what is read */
function reading(label: string, position: number, read: () => void): void {
  try {
    read();
  } catch (error) {
    if (!isProvisionerError(error)) throw error;
    const problem = String(error.details['problem']);
    switch (error.code) {
      case 'ERR_LAYER_TRUNCATED':
        throw truncatedSource(label, `it ends at byte ${position}, inside of a member`, error);
      case 'ERR_LAYER_MALFORMED':
        if (position === 0) throw malformedSource(label, 'it is not a tar file', { cause: error });
        throw malformedSource(label, `what is at byte ${position} is damaged: ${problem}`, { cause: error });
      case 'ERR_LIMIT_EXCEEDED':
        throw new ProvisionerError('ERR_LIMIT_EXCEEDED', `${label} has, at byte ${position}, ${problem}`, {
          cause: error,
          details: { ...error.details },
        });
    }
    throw error;
  }
}
