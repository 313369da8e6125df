import { ProvisionerError } from '../../base/errors.js';
import { detectCompression } from '../../system/compression/detect.js';
import { isTarHeader } from '../../system/tar/tar-header.js';
import { malformedSource } from '../source-errors.js';

/** Of those that can be read. */
export type ArchiveCompression = 'none' | 'gzip' | 'zstd' | 'xz' | 'bzip2';

/** Bytes that tell everything apart: a tar file shows in its first header. */
export const SIGNATURE_LENGTH = 512;

/**
 * @param start up to `SIGNATURE_LENGTH` first bytes
 * @throws ProvisionerError `ERR_SOURCE_UNSUPPORTED` for a compression we cannot undo, `ERR_SOURCE_MALFORMED` for anything else
 */
export function detectArchiveCompression(start: Buffer, label: string): ArchiveCompression {
  if (start.length === 0) throw malformedSource(label, 'it is empty');
  if (isTarHeader(start)) return 'none';
  const name = detectCompression(start);
  if (name === 'gzip' || name === 'zstd' || name === 'xz' || name === 'bzip2') return name;
  if (name !== undefined) {
    throw new ProvisionerError(
      'ERR_SOURCE_UNSUPPORTED',
      `${label} is compressed with ${name}, which is not supported`,
      {
        hint: 'decompress it first; plain, gzip, zstd, xz and bzip2 archives can be read',
        details: { compression: name },
      },
    );
  }
  // All zeros is how a tar file without members begins.
  if (start.every((byte) => byte === 0)) throw malformedSource(label, 'it holds nothing');
  throw malformedSource(label, 'it is not a tar file');
}
