import { koffi } from '../../../koffi.js';

/** Calls on mounts by number, the same on every architecture, because C libraries wrap them late or never. @see syscall(2) */
const OPEN_TREE = 428;
const MOUNT_SETATTR = 442;
const STATMOUNT = 457;
const LISTMOUNT = 458;

const libc = koffi.load(null);

const rawOpenTree = libc.func('long syscall(long, int, const char *, uint)') as (...values: unknown[]) => number;
const rawMountSetattr = libc.func('long syscall(long, int, const char *, uint, const void *, ulong)') as (
  ...values: unknown[]
) => number;
/** `statmount` and `listmount` take values of the same kinds. */
const rawMountQuery = libc.func('long syscall(long, const void *, void *, ulong, uint)') as (
  ...values: unknown[]
) => number;

/** Linux 5.2. @see open_tree(2) */
export const openTree = (directory: number, path: string, flags: number): number =>
  rawOpenTree(OPEN_TREE, directory, path, flags);
/** Linux 5.12. @param attributes `struct mount_attr` @see mount_setattr(2) */
export const mountSetattr = (directory: number, path: string, flags: number, attributes: BigUint64Array): number =>
  rawMountSetattr(MOUNT_SETATTR, directory, path, flags, attributes, attributes.byteLength);
/** Linux 6.8. @param request `struct mnt_id_req` @param answer for a `struct statmount` @see statmount(2) */
export const statmount = (request: BigUint64Array, answer: BigUint64Array): number =>
  rawMountQuery(STATMOUNT, request, answer, answer.byteLength, 0);
/** Linux 6.8. @param request `struct mnt_id_req` @param ids where they are written @returns how many, or -1 @see listmount(2) */
export const listmount = (request: BigUint64Array, ids: BigUint64Array): number =>
  rawMountQuery(LISTMOUNT, request, ids, ids.length, 0);
/** @param answer for a `struct statvfs`, as 64-bit words @see statvfs(3) */
export const statvfs = libc.func('int statvfs(const char *, void *)') as (
  path: string,
  answer: BigUint64Array,
) => number;
/** Of the calling thread alone. @see unshare(2) */
export const unshare = libc.func('int unshare(int)') as (flags: number) => number;

export const AT_NO_AUTOMOUNT = 0x800;
export const AT_STATX_DONT_SYNC = 0x4000;
export const AT_RECURSIVE = 0x8000;
export const MS_REC = 1 << 14;
export const MS_PRIVATE = 1 << 18;
export const MS_SLAVE = 1 << 19;
export const MS_SHARED = 1 << 20;
export const MNT_DETACH = 2;
export const UMOUNT_NOFOLLOW = 8;
export const CLONE_NEWNS = 0x20000;
