import { constants as os } from 'node:os';
import { close, fsconfig, fsopen, lastErrno } from '../native/libc/libc.js';
import { OpenDirectories } from '../open-directories.js';
import type { OverlayMount } from '../syscalls.js';

const FSOPEN_CLOEXEC = 1;
const FSCONFIG_SET_FLAG = 0;
const FSCONFIG_SET_STRING = 1;
const FSCONFIG_CMD_CREATE = 6;

/**
 * Whether an overlay has an upper or a work directory in use: mounted in any namespace, by any path, or detached and still busy.
 *
 * The kernel marks both directories for as long as such a file system lives, and with `index=on` refuses to use them a second time (EBUSY). So it is asked for an
 * overlay that it cannot make: the upper directory is to be the lower one too. It looks at the upper directory first, then at the work directory, and only then
 * at the lower ones, where it stops (ELOOP). Nothing is mounted, and nothing is written but the empty directory `work` in the work directory, as each mount does.
 *
 * While it is asked the mark is ours for a moment, and a mount that is made at that moment gets none: ask only where nobody can be mounting this rootfs.
 * @returns undefined when the kernel's answer is neither: it is too old (before 5.2), or mounting is not permitted
 * @see fs/overlayfs/super.c: ovl_get_upper, ovl_get_workdir, ovl_get_layers
 */
export function isOverlayInUse({
  upper,
  work,
  userXattr,
}: Omit<OverlayMount, 'lower' | 'target'>): boolean | undefined {
  const descriptor = fsopen('overlay', FSOPEN_CLOEXEC);
  if (descriptor < 0) return undefined;
  const directories = new OpenDirectories();
  try {
    const options = {
      lowerdir: directories.short(upper),
      upperdir: directories.short(upper),
      workdir: directories.short(work),
      index: 'on',
    };
    for (const [key, value] of Object.entries(options)) {
      if (fsconfig(descriptor, FSCONFIG_SET_STRING, key, value) < 0) return undefined;
    }
    if (userXattr && fsconfig(descriptor, FSCONFIG_SET_FLAG, 'userxattr', null) < 0) return undefined;
    if (fsconfig(descriptor, FSCONFIG_CMD_CREATE, null, null) >= 0) return undefined;
    const number = lastErrno();
    if (number === os.errno.EBUSY) return true;
    return number === os.errno.ELOOP ? false : undefined;
  } finally {
    directories.close();
    close(descriptor);
  }
}
