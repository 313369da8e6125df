import { isProvisionerError, ProvisionerError } from '../../base/errors.js';
import { fromBytePath } from '../../system/syscalls/byte-path.js';
import type { TarEntry } from '../../unpack/tar/tar-entry.js';
import { BLOCK_SIZE, parseTarHeader } from '../../unpack/tar/tar-header.js';
import { TarReader } from '../../unpack/tar/tar-reader.js';
import { malformedSource, truncatedSource } from '../source-errors.js';

/** One member of a tar file, without its bytes. */
export interface TarMember {
  /** As written. */
  readonly name: string;
  readonly kind: 'file' | 'sparse' | 'hardlink' | 'symlink' | 'other';
  /** Where a link points, as written; empty for the rest. */
  readonly target: string;
  /** First byte of the body in the tar file. */
  readonly offset: number;
  /** Bytes of the body, which of a sparse file are not the bytes of the file. */
  readonly size: number;
}

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
  const reader = new TarReader(handler);
  let position = 0;
  while (position < size && !reader.isOver) {
    const block = await readAt(position, BLOCK_SIZE);
    entry = undefined;
    reading(label, position, () => reader.push(block));
    position += block.length;
    if (entry === undefined) continue;
    const member = toMember(entry, position);
    if (position + member.size > size) {
      throw truncatedSource(label, `it has ${size} bytes, and a member needs ${position + member.size}`);
    }
    yield member;
    position += reader.passOver();
  }
  reading(label, size, () => reader.end());
}

/** True when `block` starts a tar file: what tells one from anything else. */
export function isTarHeader(block: Buffer): boolean {
  if (block.length < BLOCK_SIZE) return false;
  try {
    return parseTarHeader(block, 0) !== undefined;
  } catch {
    return false;
  }
}

function toMember({ type, path, linkPath, sparse, dataSize }: TarEntry, offset: number): TarMember {
  const isLink = type === 'hardlink' || type === 'symlink';
  const ofFile = sparse === undefined ? 'file' : 'sparse';
  return {
    name: fromBytePath(path),
    kind: isLink ? type : type === 'file' ? ofFile : 'other',
    target: fromBytePath(linkPath),
    offset,
    size: dataSize,
  };
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
