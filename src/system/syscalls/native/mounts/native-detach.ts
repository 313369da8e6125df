import { constants, lstatSync } from 'node:fs';
import { constants as os } from 'node:os';
import { type BytePath, cPath, toBytePath } from '../../byte-path.js';
import { mountOf } from '../../mounts/mount-table.js';
import { aside } from '../aside.js';
import {
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  check,
  close,
  lastErrno,
  lastError,
  mount,
  openat,
  umount2,
  umount2Aside,
} from '../libc/libc.js';
import { AT_EMPTY_PATH } from '../libc/libc-trees.js';
import {
  AT_RECURSIVE,
  CLONE_NEWNS,
  MNT_DETACH,
  MS_PRIVATE,
  MS_REC,
  MS_SLAVE,
  mountSetattr,
  UMOUNT_NOFOLLOW,
  unshare,
} from './libc-mounts.js';

const O_PATH = 0o10000000;
const O_CLOEXEC = 0o2000000;
const NAME_ONLY = O_PATH | constants.O_NOFOLLOW | O_CLOEXEC;

/** `struct mount_attr`: set, clear, propagation, user namespace. */
const PRIVATE = new BigUint64Array([0n, 0n, BigInt(MS_PRIVATE), 0n]);
/** ENOSYS: before Linux 5.12. EPERM: also from a sandbox that does not know the call; the older call tells that from a real refusal. */
const NO_MOUNT_SETATTR = new Set([os.errno.ENOSYS, os.errno.EPERM]);
/** EINVAL: no mount point; the others: no such path. */
const NOTHING_MOUNTED = new Set([os.errno.EINVAL, os.errno.ENOENT, os.errno.ENOTDIR]);

/*
 * How a mount is detached. An unmount is passed on to every mount that is a peer or a slave of the one it happens upon, and MNT_DETACH unmounts all that
 * is mounted further in as well, each time passing it on: in a rootfs that shows the host's /dev by a recursive bind, that unmounts the host's own
 * /dev/pts. So the tree that goes is made private first, in this mount namespace, and no other mount is touched: its topmost mount, the one that was
 * asked for, still vanishes from where the mount below it is shown elsewhere (other namespaces, which got it in the same way), and nothing else does.
 *
 * That leaves a mount upon a mount that is shared itself: the lower one cannot be reached while it is covered. See `mountState`.
 *
 * see mount_namespaces(7), umount(2), https://docs.kernel.org/filesystems/sharedsubtree.html section 5d
 */

/** @see Syscalls.detachMount */
export function detachMount(target: string): boolean {
  if (!makePrivate(target)) return false;
  return isDetached(umount2(target, MNT_DETACH | UMOUNT_NOFOLLOW), () => toBytePath(target));
}

/** @see Syscalls.detachMountAside */
export async function detachMountAside(target: string): Promise<boolean> {
  if (!makePrivate(target)) return false;
  return unmountAside(target, MNT_DETACH | UMOUNT_NOFOLLOW, () => toBytePath(target));
}

/** @see Syscalls.detachMountInside */
export async function detachMountInside(directory: string, path: BytePath, id: number): Promise<boolean> {
  const descriptor = openInside(directory, path);
  if (descriptor === undefined) return false;
  try {
    // The topmost of what is mounted there, by its root: were it anything else, the kernel would refuse below.
    if (mountOf(descriptor) !== id || !makePrivateOpen(descriptor)) return false;
    // The link is one of the kernel's own, which is why it must be followed and nobody can have another file in its place.
    return await unmountAside(`/proc/self/fd/${descriptor}`, MNT_DETACH, () => `${toBytePath(directory)}/${path}`);
  } finally {
    close(descriptor);
  }
}

/** @see Syscalls.leaveMounts */
export function leaveMounts(): void {
  check(unshare(CLONE_NEWNS), 'unshare');
  // Slaves: what the others unmount vanishes here too, and is not kept busy; what is unmounted here stays where it is for the others.
  check(mount('none', '/', null, MS_REC | MS_SLAVE, null), 'mount');
}

/** @returns false when nothing is mounted there */
function makePrivate(target: string): boolean {
  if (mountSetattr(AT_FDCWD, target, AT_SYMLINK_NOFOLLOW | AT_RECURSIVE, PRIVATE) === 0) return true;
  const number = lastErrno();
  if (NOTHING_MOUNTED.has(number)) return false;
  if (!NO_MOUNT_SETATTR.has(number)) throw lastError('mount_setattr', toBytePath(target));
  // This call would follow a symlink.
  if (lstatSync(target, { throwIfNoEntry: false })?.isSymbolicLink()) return false;
  return makePrivateClassic(target);
}

function makePrivateOpen(descriptor: number): boolean {
  if (mountSetattr(descriptor, '', AT_EMPTY_PATH | AT_RECURSIVE, PRIVATE) === 0) return true;
  const number = lastErrno();
  if (NOTHING_MOUNTED.has(number)) return false;
  if (!NO_MOUNT_SETATTR.has(number)) throw lastError('mount_setattr');
  return makePrivateClassic(`/proc/self/fd/${descriptor}`);
}

/** The mount(2) of kernels before 5.12. Exported for the test that keeps it working on newer ones. */
export function makePrivateClassic(target: string): boolean {
  if (mount('none', target, null, MS_REC | MS_PRIVATE, null) === 0) return true;
  if (NOTHING_MOUNTED.has(lastErrno())) return false;
  throw lastError('mount', toBytePath(target));
}

/**
 * Opens what is at a path in a directory, only to name it, by one name after the other: what somebody puts in the place of one of them meanwhile is refused
 * when it is a symlink, and else is in that directory as well.
 * @returns undefined when it is not there
 */
function openInside(directory: string, path: BytePath): number | undefined {
  const names = path.split('/');
  let at = openat(AT_FDCWD, directory, NAME_ONLY | constants.O_DIRECTORY, 0);
  for (const [index, name] of names.entries()) {
    if (at < 0) return undefined;
    const above = at;
    at = openat(above, cPath(name), index === names.length - 1 ? NAME_ONLY : NAME_ONLY | constants.O_DIRECTORY, 0);
    close(above);
  }
  return at < 0 ? undefined : at;
}

function unmountAside(target: string, flags: number, called: () => BytePath): Promise<boolean> {
  return aside((turn) => umount2Aside(turn, target, flags, (result) => isDetached(result, called)));
}

function isDetached(result: number, called: () => BytePath): boolean {
  if (result === 0) return true;
  // Somebody else was faster, or it is one that only a more privileged user namespace may unmount. See mount_namespaces(7), "Restrictions".
  if (NOTHING_MOUNTED.has(lastErrno())) return false;
  throw lastError('umount', called());
}
