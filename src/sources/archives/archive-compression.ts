import { ProvisionerError } from '../../base/errors.js';
import { malformedSource } from '../source-errors.js';
import { isTarHeader } from './tar-members.js';

/** Told by the first bytes: what a file is called says little, and a stream has no name. */
export type ArchiveCompression = 'none' | 'gzip' | 'zstd';

/** Bytes that tell everything apart: a tar file shows in its first header. */
export const SIGNATURE_LENGTH = 512;

const SIGNATURES: readonly (readonly [hex: string, name: 'gzip' | 'zstd' | 'xz' | 'bzip2' | 'lz4' | 'compress'])[] = [
  ['1f8b', 'gzip'],
  ['28b52ffd', 'zstd'],
  ['fd377a585a00', 'xz'],
  ['425a68', 'bzip2'],
  ['04224d18', 'lz4'],
  ['1f9d', 'compress'],
];

/** A zstd file may open with frames that carry no data. @see RFC 8878, 3.1.2 */
const SKIPPABLE_ZSTD = /^5[0-9a-f]2a4d18/;

/**
 * @param start up to `SIGNATURE_LENGTH` first bytes
 * @throws ProvisionerError `ERR_SOURCE_UNSUPPORTED` for a compression we cannot undo, `ERR_SOURCE_MALFORMED` for anything else
 */
export function detectArchiveCompression(start: Buffer, label: string): ArchiveCompression {
  if (start.length === 0) throw malformedSource(label, 'it is empty');
  if (isTarHeader(start)) return 'none';
  const hex = start.subarray(0, 8).toString('hex');
  const name = SKIPPABLE_ZSTD.test(hex) ? 'zstd' : SIGNATURES.find(([signature]) => hex.startsWith(signature))?.[1];
  if (name === 'gzip' || name === 'zstd') return name;
  if (name !== undefined) {
    throw new ProvisionerError(
      'ERR_SOURCE_UNSUPPORTED',
      `${label} is compressed with ${name}, which is not supported`,
      {
        hint: 'decompress it first; plain, gzip and zstd archives can be read',
        details: { compression: name },
      },
    );
  }
  // All zeros is how a tar file without members begins.
  if (start.every((byte) => byte === 0)) throw malformedSource(label, 'it holds nothing');
  throw malformedSource(label, 'it is not a tar file');
}
