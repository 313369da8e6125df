import { toBytePath } from '../../byte-path.js';
import type { TmpfsSize } from '../../syscalls.js';
import { check, mount } from '../libc/libc.js';

const MS_REMOUNT = 32;

/** @see Syscalls.mountTmpfs, tmpfs(5) */
export function mountTmpfs(target: string, size: TmpfsSize): void {
  // It has a name in tables of mounts, so that people see what it is for.
  check(mount('provisioner', target, 'tmpfs', 0, `${sizeOptions(size)},mode=0700`), 'mount', toBytePath(target));
}

/** @see Syscalls.resizeTmpfs; tmpfs(5): "size", "remount" */
export function resizeTmpfs(target: string, size: TmpfsSize): void {
  check(mount('provisioner', target, 'tmpfs', MS_REMOUNT, sizeOptions(size)), 'mount', toBytePath(target));
}

const sizeOptions = ({ bytes, entries }: TmpfsSize): string => `size=${bytes},nr_inodes=${entries}`;
