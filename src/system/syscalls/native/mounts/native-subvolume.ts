import { ioctlOn } from '../libc/libc-trees.js';

/** The direction bits lie elsewhere on ppc64. @see linux/btrfs.h, BTRFS_IOC_SUBVOL_GETFLAGS and BTRFS_IOC_SUBVOL_SETFLAGS */
const [GETFLAGS, SETFLAGS] = process.arch === 'ppc64' ? [0x40089419, 0x8008941a] : [0x80089419, 0x4008941a];
const BTRFS_SUBVOL_RDONLY = 2n;

/** Lets a read-only subvolume of btrfs be written. @param directory its topmost one, open @returns false for what is none, or may not be */
export function makeSubvolumeWritable(directory: number): boolean {
  const flags = new BigUint64Array(1);
  const bytes = new Uint8Array(flags.buffer);
  if (ioctlOn(directory, GETFLAGS, bytes) !== 0) return false;
  const [before = 0n] = flags;
  if ((before & BTRFS_SUBVOL_RDONLY) === 0n) return false;
  flags[0] = before & ~BTRFS_SUBVOL_RDONLY;
  return ioctlOn(directory, SETFLAGS, bytes) === 0;
}
