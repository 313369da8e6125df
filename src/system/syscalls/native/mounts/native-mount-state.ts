import { constants as os } from 'node:os';
import { dirname } from 'node:path';
import type { MountState } from '../../syscalls.js';
import { AT_FDCWD, AT_SYMLINK_NOFOLLOW, lastErrno } from '../libc/libc.js';
import { statx } from '../libc/libc-trees.js';
import { AT_NO_AUTOMOUNT, AT_STATX_DONT_SYNC, MS_SHARED, statmount } from './libc-mounts.js';

/** Linux 5.8; and the unique id 6.8. @see statx(2) */
const STATX_ATTR_MOUNT_ROOT = 0x2000n;
const STATX_MNT_ID_UNIQUE = 0x4000;
/** Nobody is asked who is not on this machine, and no attributes that the file system might refuse to give. */
const QUICKLY = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC;
/** `struct statx` and `struct statmount`, as 64-bit words, of which these are looked at. */
const status = new BigUint64Array(32);
const statusBytes = new Uint8Array(status.buffer);
const masks = new Uint32Array(status.buffer);
const [ATTRIBUTES, ATTRIBUTES_KNOWN, MOUNT_ID] = [1, 7, 18];
const answer = new BigUint64Array(64);
const [PARENT, PROPAGATION] = [6, 9];
/** `struct mnt_id_req` of its first version, whose first 32 bits are its size: asks for STATMOUNT_MNT_BASIC of an id. */
const request = new BigUint64Array([0n, 0n, 2n]);
new Uint32Array(request.buffer)[0] = request.byteLength;
/**
 * The mount that rootfses were found to lie on the last time. Unique ids are never given out again, and what lies right on it, at whatever path, covers nothing:
 * so nearly always a question is saved.
 */
let lastGround: bigint | undefined;
/** More mounts upon each other than anybody means. */
const MOST_STACKED = 10_000;

/** @see Syscalls.mountState */
export function mountState(path: string): MountState {
  const refused = ask(path);
  if (refused !== 0) return refused === os.errno.ENOENT || refused === os.errno.ENOTDIR ? 'none' : 'unknown';
  if (((status[ATTRIBUTES_KNOWN] ?? 0n) & STATX_ATTR_MOUNT_ROOT) === 0n) return 'unknown';
  if (((status[ATTRIBUTES] ?? 0n) & STATX_ATTR_MOUNT_ROOT) === 0n) return 'none';
  const id = status[MOUNT_ID] ?? 0n;
  if (((masks[0] ?? 0) & STATX_MNT_ID_UNIQUE) === 0) return 'mounted';
  if (lastGround !== undefined && describe(id)?.parent === lastGround) return 'alone';
  if (ask(`${dirname(path)}/.`) !== 0) return 'mounted';
  lastGround = status[MOUNT_ID] ?? 0n;
  const parent = describe(id)?.parent;
  if (parent === lastGround) return 'alone';
  return isSharedBelow(parent, lastGround) ? 'coversShared' : 'mounted';
}

/** The unique id of the mount that a path is on, or is the root of. @returns undefined when it is not there, and where the kernel does not tell */
export function mountIdOf(path: string): bigint | undefined {
  if (ask(path) !== 0 || ((masks[0] ?? 0) & STATX_MNT_ID_UNIQUE) === 0) return undefined;
  return status[MOUNT_ID];
}

/** @param ground the mount that all of them lie on, and that has nothing to do with them */
function isSharedBelow(covered: bigint | undefined, ground: bigint): boolean {
  let lower = covered;
  for (let count = 0; lower !== undefined && lower !== ground && count < MOST_STACKED; count++) {
    const mount = describe(lower);
    if (mount?.shared) return true;
    lower = mount?.parent;
  }
  return false;
}

/** Fills `status`. @returns the number of the error, or 0 */
function ask(path: string): number {
  const result = statx(AT_FDCWD, path, QUICKLY, STATX_MNT_ID_UNIQUE, statusBytes);
  return result === 0 ? 0 : lastErrno();
}

/** @returns undefined where the kernel cannot tell, or may not */
function describe(id: bigint): { readonly parent: bigint; readonly shared: boolean } | undefined {
  request[1] = id;
  if (statmount(request, answer) !== 0) return undefined;
  return { parent: answer[PARENT] ?? 0n, shared: ((answer[PROPAGATION] ?? 0n) & BigInt(MS_SHARED)) !== 0n };
}
