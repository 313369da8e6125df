import { randomBytes } from 'node:crypto';
import { systemCode } from '../../base/errors.js';
import type { BytePath } from '../../system/syscalls/byte-path.js';
import { syscallError } from '../../system/syscalls/syscalls.js';
import type { OpenDirectory } from '../../system/syscalls/tree-calls.js';

const PREFIX = '.provisioner-';

/** What something is called until it is whole, in the directory where it is to be: a rename then puts it in its place. Who is killed in between leaves it. */
export function draftName(): BytePath {
  return PREFIX + randomBytes(8).toString('hex');
}

/** Gives a draft its name, and with it the place of what had that. @throws `EBUSY` when something is mounted there */
export function putDraft(directory: OpenDirectory, draft: BytePath, name: BytePath): void {
  requireNoMount(directory, name);
  directory.rename(draft, directory, name);
}

/**
 * The kernel would let us: it keeps mount points from those only who see them mounted, and takes away what is mounted there in the namespaces of others.
 * @throws `EBUSY` when something is mounted there
 * @see rename(2), unlink(2); the kernel's `detach_mounts`
 */
export function requireNoMount(directory: OpenDirectory, name: BytePath): void {
  let isMounted: boolean | undefined;
  try {
    isMounted = directory.usage(name).mountPoint;
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error;
  }
  if (isMounted === true) throw syscallError('EBUSY', 'rename', name);
}
