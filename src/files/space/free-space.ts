import { ProvisionerError } from '../../base/errors.js';

/** Bytes written between two looks at the free space. */
export const SPACE_CHECK_INTERVAL = 32 * 1024 * 1024;

/**
 * @param free bytes of the directory's file system
 * @param reserve bytes that are left free
 * @param label of an archive that is written out into the directory
 * @throws ProvisionerError `ERR_NO_SPACE` when the next stretch would take from the reserve
 */
export function assertFreeSpace(free: number, reserve: number, label: string, directory: string): void {
  if (free >= reserve + SPACE_CHECK_INTERVAL) return;
  throw new ProvisionerError('ERR_NO_SPACE', `no space left to unpack ${label} into ${directory}`, {
    hint: 'free some space, or decompress the archive elsewhere and load that file, which is read where it lies',
    details: { free, reserve, path: directory },
  });
}
