import type { FileUsage } from '../../../system/syscalls/tree-calls.js';

/**
 * Whether something is mounted on a directory of a tree. Another device number alone is no mount: each subvolume of btrfs has its own. Where the system does not
 * tell of mounts, though, it may be one, and tells of all but bind mounts.
 */
export function isMountedIn(above: FileUsage, directory: FileUsage): boolean {
  return directory.mountPoint ?? directory.fileSystem !== above.fileSystem;
}
