import { systemCode } from '../../../../base/errors.js';
import { mountOf } from '../../mounts/mount-table.js';
import { close } from '../libc/libc.js';
import { openUnread } from '../native-open.js';

/**
 * Whether an open directory is the root of a mount, for kernels before 5.8, which do not say so: then the directory above it is on another mount.
 * @returns undefined where the system does not tell that either
 */
export function isMountRoot(directory: number): boolean | undefined {
  const above = openUnread(directory, '..');
  try {
    return mountOf(above) !== mountOf(directory);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  } finally {
    close(above);
  }
}
