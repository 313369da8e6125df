import { constants as os } from 'node:os';
import { toBytePath } from '../../byte-path.js';
import { AT_FDCWD, check, close, lastErrno, lastError, mount, moveMount } from '../libc/libc.js';
import { AT_EMPTY_PATH } from '../libc/libc-trees.js';
import { MS_PRIVATE, mountSetattr, openTree, statvfs } from './libc-mounts.js';
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
/**
 * What a mount forbids: the bit of `f_flag` that tells so, and the one of mount(2) that asks for it. When a file is said to have been read is not among them: a
 * remount that says nothing of that leaves it as it is.
 * @see statvfs(3), mount(2)
 */
const FORBIDDING = [
  { told: 2n, asked: 2 /* nosuid */ },
  { told: 4n, asked: 4 /* nodev */ },
  { told: 8n, asked: 8 /* noexec */ },
  { told: 0x2000n, asked: 256 /* nosymfollow */ },
] as const;
/** Where in `struct statvfs` that word stands. */
const FLAGS = 9;
/** ENOSYS: before Linux 5.12. EPERM: also from a sandbox that does not know the calls; the older one tells that from a real refusal. */
const NOT_HERE = new Set([os.errno.ENOSYS, os.errno.EPERM]);

/**
 * Mounts a directory a second time, read-only. What its mount forbids, such as setuid programs, the second one forbids too. Where the mount that it is on is shared, as systemd makes them, its copy would be a peer of it: what
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
  // A remount takes away what it does not name; or is refused for it, where a user namespace may not.
  const readOnly = MS_BIND | MS_REMOUNT | MS_RDONLY | forbidding(target);
  // Both take a call of their own: the first one ignores every flag but MS_BIND and MS_REC. See mount(2), "Bind mount".
  for (const flags of [MS_PRIVATE, readOnly]) {
    if (mount(source, target, null, flags, null) === 0) continue;
    const error = lastError('mount', toBytePath(target));
    detachMount(target);
    throw error;
  }
}

/** What the mount at a path forbids, in the words of mount(2). */
function forbidding(target: string): number {
  const answer = new BigUint64Array(32);
  // The next call on it says what is the matter.
  if (statvfs(target, answer) < 0) return 0;
  const flags = answer[FLAGS] ?? 0n;
  return FORBIDDING.reduce((all, { told, asked }) => all | ((flags & told) === 0n ? 0 : asked), 0);
}
