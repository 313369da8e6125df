import { lstatSync, mkdirSync, rmdirSync, statfsSync } from 'node:fs';
import { crashPoint } from '../base/crash-points.js';
import { fileError, ProvisionerError, systemCode } from '../base/errors.js';
import { memoryPlace } from '../paths.js';
import { toBytePath } from '../system/syscalls/byte-path.js';
import type { Syscalls, TmpfsSize } from '../system/syscalls/syscalls.js';
import type { Backend } from './backend.js';

/**
 * What is written to a rootfs may go to a tmpfs of its own in place of its scratch directory, which keeps it to a size to the byte. The directory that the tmpfs is mounted on stands before it is
 * mounted and goes after it, so it tells what the rootfs is like whatever became of the mount: of a rootfs that has one nothing is ever on disk, and without the mount it has nothing.
 */

/** What a rootfs has in memory. */
export interface MemoryUse {
  /** At most. */
  readonly bytes: number;
  readonly used: number;
}

/** An empty file takes about that much of the kernel's own memory, which the size says nothing of. */
const BYTES_PER_ENTRY = 1024;
/** An attribute that overlay would write, to see whether it could. */
const TRIED = 'user.overlay.opaque';

/** The directory in which a rootfs keeps all that is written: its scratch directory, or what is in the place of that. */
export function keptIn(scratch: string): string {
  return isInMemory(scratch) ? memoryPlace(scratch) : scratch;
}

/** Whether what is written to a rootfs goes to memory, or did so until that was gone. */
export function isInMemory(scratch: string): boolean {
  return lstatSync(memoryPlace(scratch), { throwIfNoEntry: false }) !== undefined;
}

/** Whether what a rootfs had in memory is not there, as after a reboot; or not to be seen from this mount namespace. */
export function isMemoryGone(scratch: string): boolean {
  const memory = lstatSync(memoryPlace(scratch), { throwIfNoEntry: false });
  return memory !== undefined && memory.dev === lstatSync(scratch, { throwIfNoEntry: false })?.dev;
}

/** @returns undefined where what is written goes to disk, and where what was in memory is gone */
export function memoryUse(scratch: string): MemoryUse | undefined {
  if (!isInMemory(scratch) || isMemoryGone(scratch)) return undefined;
  const { bsize, blocks, bfree } = statfsSync(memoryPlace(scratch));
  return { bytes: blocks * bsize, used: (blocks - bfree) * bsize };
}

/** @throws ProvisionerError `ERR_BAD_OPTION` for a backend that cannot do so */
export function requireKeptInMemory({ name, keepsInMemory }: Pick<Backend, 'name' | 'keepsInMemory'>): void {
  if (keepsInMemory) return;
  throw new ProvisionerError(
    'ERR_BAD_OPTION',
    `what is written to a root filesystem can be kept in memory only where it is made by overlay, and this one is to be made by ${name}`,
    {
      hint: 'have it made by overlay (`--backend overlay`; `provisioner info` says whether that works here), or keep what is written on disk',
      details: { backend: name },
    },
  );
}

/**
 * Makes the place of a new rootfs in memory. What it has made when it fails goes with the rootfs.
 * @param scratch that is empty so far @param userMarks whether overlay's marks are `user.` attributes
 * @throws ProvisionerError `ERR_BACKEND_UNUSABLE` where the tmpfs of this kernel cannot have those, `ERR_PERMISSION`, `ERR_NATIVE_MISSING`, …
 */
export function makeMemoryPlace(syscalls: Syscalls, scratch: string, bytes: number, userMarks: boolean): void {
  const place = memoryPlace(scratch);
  try {
    mkdirSync(place, 0o700);
    syscalls.mountTmpfs(place, sizeOf(bytes));
  } catch (error) {
    throw fileError(error, 'mount a tmpfs', place);
  }
  crashPoint('provision.memoryMounted');
  if (userMarks) requireUserMarks(syscalls, place);
}

/**
 * Gives what a rootfs has in memory another size.
 * @returns false where more is in use, or it is gone @throws ProvisionerError `ERR_PERMISSION`, …
 */
export function resizeMemory(syscalls: Syscalls, scratch: string, bytes: number): boolean {
  if (memoryUse(scratch) === undefined) return false;
  const place = memoryPlace(scratch);
  try {
    syscalls.resizeTmpfs(place, sizeOf(bytes));
    return true;
  } catch (error) {
    if (systemCode(error) === 'EINVAL') return false;
    throw fileError(error, 'change the size of the tmpfs', place);
  }
}

const sizeOf = (bytes: number): TmpfsSize => ({ bytes, entries: Math.ceil(bytes / BYTES_PER_ENTRY) });

/** Without them a directory that is removed and made anew would show what was in it before, or could not be made. Linux 6.6 has them. */
function requireUserMarks(syscalls: Syscalls, place: string): void {
  const tried = `${place}/tried`;
  try {
    mkdirSync(tried);
    syscalls.setXattr(toBytePath(tried), TRIED, Buffer.from('y'));
    rmdirSync(tried);
  } catch (error) {
    if (systemCode(error) !== 'ENOTSUP' && systemCode(error) !== 'EOPNOTSUPP') {
      throw fileError(error, 'try an attribute', tried);
    }
    throw new ProvisionerError(
      'ERR_BACKEND_UNUSABLE',
      'what is written cannot be kept in memory: a tmpfs of this kernel has no user.* attributes',
      { cause: error, hint: 'keep it on disk, or use Linux 6.6 or later, or a store of root' },
    );
  }
}
