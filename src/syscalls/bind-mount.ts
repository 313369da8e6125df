import { constants as os } from 'node:os';
import { toBytePath } from './byte-path.js';
import { AT_FDCWD, check, close, lastErrno, lastError, mount, moveMount } from './libc.js';
import { MS_PRIVATE, mountSetattr, openTree } from './libc-mounts.js';
import { AT_EMPTY_PATH } from './libc-trees.js';
import { detachMount } from './native-detach.js';

const OPEN_TREE_CLONE = 1;
const O_CLOEXEC = 0o2000000;
const MOVE_MOUNT_F_EMPTY_PATH = 4;
const MOUNT_ATTR_RDONLY = 1n;
/** `struct mount_attr`: set, clear, propagation, user namespace. */
const READ_ONLY_AND_PRIVATE = new BigUint64Array([MOUNT_ATTR_RDONLY, 0n, BigInt(MS_PRIVATE), 0n]);
const MS_RDONLY = 1;
const MS_REMOUNT = 32;
const MS_BIND = 4096;
/** ENOSYS: before Linux 5.12. EPERM: also from a sandbox that does not know the calls; the older one tells that from a real refusal. */
const NOT_HERE = new Set([os.errno.ENOSYS, os.errno.EPERM]);

/**
 * Mounts a directory a second time, read-only. Where the mount that it is on is shared, as systemd makes them, its copy would be a peer of it: what
 * somebody mounts in the copy would appear in the directory itself, and in all other copies. So the copy is taken out of that group before it is anywhere.
 * @see open_tree(2), mount_setattr(2), mount_namespaces(7) "Propagation type transitions"
 */
export function mountBindReadOnly(source: string, target: string): void {
  const copy = openTree(AT_FDCWD, source, OPEN_TREE_CLONE | O_CLOEXEC);
  if (copy < 0 && NOT_HERE.has(lastErrno())) {
    mountBindClassic(source, target);
    return;
  }
  check(copy, 'open_tree', toBytePath(source));
  try {
    if (mountSetattr(copy, '', AT_EMPTY_PATH, READ_ONLY_AND_PRIVATE) < 0) {
      if (!NOT_HERE.has(lastErrno())) throw lastError('mount_setattr', toBytePath(source));
      mountBindClassic(source, target);
      return;
    }
    check(moveMount(copy, target, MOVE_MOUNT_F_EMPTY_PATH), 'move_mount', toBytePath(target));
  } finally {
    close(copy);
  }
}

/** The mount(2) of kernels before 5.12. Exported for the test that keeps it working on newer ones. */
export function mountBindClassic(source: string, target: string): void {
  check(mount(source, target, null, MS_BIND, null), 'mount', toBytePath(target));
  // Both take a call of their own: the first one ignores every flag but MS_BIND and MS_REC. See mount(2), "Bind mount".
  for (const flags of [MS_PRIVATE, MS_BIND | MS_REMOUNT | MS_RDONLY]) {
    if (mount(source, target, null, flags, null) === 0) continue;
    const error = lastError('mount', toBytePath(target));
    detachMount(target);
    throw error;
  }
}
