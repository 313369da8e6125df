import { closeSync, constants, openSync } from 'node:fs';
import { constants as os } from 'node:os';
import { toBytePath } from './byte-path.js';
import { check, close, fsconfig, fsmount, fsopen, lastErrno, mount, moveMount } from './libc.js';
import type { OverlayMount } from './syscalls.js';

const FSOPEN_CLOEXEC = 1;
const FSMOUNT_CLOEXEC = 1;
const FSCONFIG_SET_FLAG = 0;
const FSCONFIG_SET_STRING = 1;
const FSCONFIG_CMD_CREATE = 6;
const MOVE_MOUNT_F_EMPTY_PATH = 4;
const O_PATH = 0o10000000;
const O_CLOEXEC = 0o2000000;
/** The kernel copies at most so many bytes of one option's value, the NUL included. */
const OPTION_VALUE_MAX = 256;

/** False once this kernel has turned `lowerdir+` down; it came with Linux 6.8. */
let takesLayersOneByOne = true;

/**
 * Mounts an overlay. The classic call takes all options in one page, which 127 layers with long paths overflow; so each layer is handed over
 * in a call of its own where the kernel can do that, and where it cannot, layers go by `/proc/self/fd/N`, 17 bytes each.
 * @see https://docs.kernel.org/filesystems/overlayfs.html "Multiple lower layers"
 */
export function mountOverlay(overlay: OverlayMount): void {
  if (takesLayersOneByOne && mountOneByOne(overlay)) return;
  takesLayersOneByOne = false;
  mountClassic(overlay);
}

/** @returns false when this kernel cannot do it this way */
function mountOneByOne(overlay: OverlayMount): boolean {
  const context = fsopen('overlay', FSOPEN_CLOEXEC);
  if (context < 0) {
    if (lastErrno() === os.errno.ENOSYS) return false;
    check(context, 'fsopen');
  }
  const directories = new OpenDirectories();
  try {
    for (const [index, layer] of overlay.lower.entries()) {
      const result = fsconfig(context, FSCONFIG_SET_STRING, 'lowerdir+', directories.optionValue(layer));
      // A kernel that does not know the option turns down the first one, whatever its value.
      if (result < 0 && index === 0 && lastErrno() === os.errno.EINVAL) return false;
      check(result, 'fsconfig', toBytePath(layer));
    }
    const set = (key: string, value: string) =>
      check(fsconfig(context, FSCONFIG_SET_STRING, key, value), 'fsconfig', toBytePath(value));
    set('upperdir', directories.optionValue(overlay.upper));
    set('workdir', directories.optionValue(overlay.work));
    set('source', 'overlay');
    set('index', 'off');
    if (overlay.userXattr) check(fsconfig(context, FSCONFIG_SET_FLAG, 'userxattr', null), 'fsconfig');
    check(fsconfig(context, FSCONFIG_CMD_CREATE, null, null), 'mount', toBytePath(overlay.target));
    const detached = check(fsmount(context, FSMOUNT_CLOEXEC, 0), 'fsmount');
    try {
      check(moveMount(detached, overlay.target, MOVE_MOUNT_F_EMPTY_PATH), 'move_mount', toBytePath(overlay.target));
    } finally {
      close(detached);
    }
    return true;
  } finally {
    directories.close();
    close(context);
  }
}

/** The mount(2) of kernels before 6.8. Exported for the test that keeps it working on newer ones. */
export function mountClassic(overlay: OverlayMount): void {
  const directories = new OpenDirectories();
  try {
    const options = [
      `lowerdir=${overlay.lower.map((layer) => directories.short(layer)).join(':')}`,
      `upperdir=${directories.short(overlay.upper)}`,
      `workdir=${directories.short(overlay.work)}`,
      'index=off',
      ...(overlay.userXattr ? ['userxattr'] : []),
    ].join(',');
    check(mount('overlay', overlay.target, 'overlay', 0, options), 'mount', toBytePath(overlay.target));
  } finally {
    directories.close();
  }
}

/** Directories that go by their descriptor until the mount holds them itself. */
class OpenDirectories {
  readonly #descriptors: number[] = [];

  /** The path itself where an option takes it as it is, so that `mount` and `findmnt` show it; else a short one. */
  optionValue(path: string): string {
    return Buffer.byteLength(path) < OPTION_VALUE_MAX && !/[\\:,]/.test(path) ? path : this.short(path);
  }

  short(path: string): string {
    const descriptor = openSync(path, constants.O_DIRECTORY | O_PATH | O_CLOEXEC);
    this.#descriptors.push(descriptor);
    return `/proc/self/fd/${descriptor}`;
  }

  close(): void {
    for (const descriptor of this.#descriptors) closeSync(descriptor);
  }
}
