import { systemCode } from '../../../base/errors.js';
import type { BytePath } from '../../../system/syscalls/byte-path.js';
import { loadTreeCalls } from '../../../system/syscalls/load-tree-calls.js';
import { mountsBelow } from '../../../system/syscalls/mounts/mount-table.js';
import type { Syscalls } from '../../../system/syscalls/syscalls.js';
import type { OpenDirectory } from '../../../system/syscalls/tree-calls.js';
import { isMountedIn } from './is-mounted-in.js';
import { removeFrom, removeTree } from './remove-tree.js';

/** A path with mounts upon each other, of which the lower ones are shared. */
export interface CoveredPlace {
  /** Absolute; on its way to being deleted. */
  readonly directory: string;
  /** In the directory, where the mounts are; empty when they are on the directory itself. */
  readonly path: BytePath;
}

/**
 * Has the kernel detach mounts that cannot be unmounted one by one without being unmounted elsewhere, too: it does so when what they are mounted on is
 * deleted, and does not pass that on. It refuses where they are mounted in one's own mount namespace, so the thread leaves that first, and has them
 * unmounted for itself. Whoever renames things in the directory meanwhile can at most have other mounts unmounted for this thread.
 *
 * Synchronous, for a worker thread that is ended afterwards.
 * @param isCancelled asked for every entry
 * @throws ProvisionerError `ERR_ABORTED`; like Node's `fs`: `EPERM` and `ENOSPC` where there can be no other mount namespace
 * @see rmdir(2), unlink(2); the kernel's commit 8ed936b5671b "vfs: Lazily remove mounts on unlinked files and directories"
 */
export function removeCovered(
  { directory, path }: CoveredPlace,
  syscalls: Syscalls,
  isCancelled: () => boolean = () => false,
): undefined {
  syscalls.leaveMounts();
  while (syscalls.detachMount(directory));
  for (let mounts = mountsBelow(directory); mounts.length > 0; mounts = mountsBelow(directory)) {
    const gone = mounts.filter((mount) => syscalls.detachMount(mount));
    if (gone.length === 0) break;
  }
  if (path === '') {
    removeTree(directory, { syscalls, isCancelled });
    return;
  }
  const names = path.split('/');
  const name = names.pop() as BytePath;
  let above: OpenDirectory | undefined = loadTreeCalls(syscalls).openDirectory(directory);
  if (above.usage('').mountPoint) {
    // Mounted since: the next look finds it.
    above.close();
    return;
  }
  for (const each of names) above = enter(above, each);
  if (above !== undefined) removeFrom(above, name, [directory, ...names].join('/'), isCancelled);
}

/** @returns undefined when it is not there any more, or another thing, or a mount that has come to stand there: not ours to delete in */
function enter(above: OpenDirectory | undefined, name: BytePath): OpenDirectory | undefined {
  if (above === undefined) return undefined;
  try {
    const directory = above.openDirectory(name);
    if (!isMountedIn(above.usage(''), directory.usage(''))) return directory;
    directory.close();
    return undefined;
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ELOOP') return undefined;
    throw error;
  } finally {
    above.close();
  }
}
