import { constants as os } from 'node:os';
import { toBytePath } from '../../byte-path.js';
import { OpenDirectories } from '../../open-directories.js';
import type { OverlayMount } from '../../syscalls.js';
import { aside, type Turn } from '../aside.js';
import {
  check,
  close,
  FSCONFIG_CMD_CREATE,
  fsconfig,
  fsconfigCreateAside,
  fsmount,
  fsopen,
  lastErrno,
  mount,
  moveMount,
} from '../libc/libc.js';

const FSOPEN_CLOEXEC = 1;
const FSMOUNT_CLOEXEC = 1;
const FSCONFIG_SET_FLAG = 0;
const FSCONFIG_SET_STRING = 1;
const MOVE_MOUNT_F_EMPTY_PATH = 4;

/** False once this kernel has turned `lowerdir+` down, which came with Linux 6.8; undefined before it was asked. */
let takesLayersOneByOne: boolean | undefined;

/**
 * Mounts an overlay. The classic call takes all options in one page, which 127 layers with long paths overflow; so each layer is handed over
 * in a call of its own where the kernel can do that, and where it cannot, layers go by `/proc/self/fd/N`, 17 bytes each.
 * @see https://docs.kernel.org/filesystems/overlayfs.html "Multiple lower layers"
 */
export function mountOverlay(overlay: OverlayMount): void {
  const context = OverlayContext.open(overlay);
  if (context === undefined) {
    mountClassic(overlay);
    return;
  }
  try {
    context.create();
    context.attach();
  } finally {
    context.close();
  }
}

/** As `mountOverlay`; the step that takes most of the time is made on another thread, where the kernel can make it by itself. */
export async function mountOverlayAside(overlay: OverlayMount): Promise<void> {
  await aside(async (turn) => {
    const context = OverlayContext.open(overlay);
    if (context === undefined) {
      mountClassic(overlay);
      return;
    }
    try {
      await context.createAside(turn);
      context.attach();
    } finally {
      context.close();
    }
  });
}

/** An overlay that is being put together, with a call for each option. Close it. */
class OverlayContext {
  readonly #overlay: OverlayMount;
  readonly #descriptor: number;
  readonly #directories = new OpenDirectories();

  /** @returns undefined when this kernel cannot do it this way */
  static open(overlay: OverlayMount): OverlayContext | undefined {
    if (takesLayersOneByOne === false) return undefined;
    if (takesLayersOneByOne === undefined && takesAnyOption()) {
      takesLayersOneByOne = false;
      return undefined;
    }
    const descriptor = fsopen('overlay', FSOPEN_CLOEXEC);
    if (descriptor < 0 && lastErrno() === os.errno.ENOSYS) {
      takesLayersOneByOne = false;
      return undefined;
    }
    const context = new OverlayContext(overlay, check(descriptor, 'fsopen'));
    try {
      takesLayersOneByOne = context.#configure();
      if (takesLayersOneByOne) return context;
    } catch (error) {
      context.close();
      throw error;
    }
    context.close();
    return undefined;
  }

  private constructor(overlay: OverlayMount, descriptor: number) {
    this.#overlay = overlay;
    this.#descriptor = descriptor;
  }

  create(): void {
    check(fsconfig(this.#descriptor, FSCONFIG_CMD_CREATE, null, null), 'mount', toBytePath(this.#overlay.target));
  }

  async createAside(turn: Turn): Promise<void> {
    await fsconfigCreateAside(turn, this.#descriptor, (result) =>
      check(result, 'mount', toBytePath(this.#overlay.target)),
    );
  }

  attach(): void {
    const { target } = this.#overlay;
    const detached = check(fsmount(this.#descriptor, FSMOUNT_CLOEXEC, 0), 'fsmount');
    try {
      check(moveMount(detached, target, MOVE_MOUNT_F_EMPTY_PATH), 'move_mount', toBytePath(target));
    } finally {
      close(detached);
    }
  }

  close(): void {
    this.#directories.close();
    close(this.#descriptor);
  }

  /** @returns false when the kernel does not know how a layer is handed over */
  #configure(): boolean {
    const { lower, upper, work, userXattr } = this.#overlay;
    for (const [index, layer] of lower.entries()) {
      const result = fsconfig(this.#descriptor, FSCONFIG_SET_STRING, 'lowerdir+', this.#directories.optionValue(layer));
      // A kernel that does not know the option turns down the first one, whatever its value.
      if (result < 0 && index === 0 && lastErrno() === os.errno.EINVAL) return false;
      check(result, 'fsconfig', toBytePath(layer));
    }
    this.#set('upperdir', this.#directories.optionValue(upper));
    this.#set('workdir', this.#directories.optionValue(work));
    this.#set('source', 'overlay');
    this.#set('index', 'off');
    if (userXattr) check(fsconfig(this.#descriptor, FSCONFIG_SET_FLAG, 'userxattr', null), 'fsconfig');
    return true;
  }

  #set(key: string, value: string): void {
    check(fsconfig(this.#descriptor, FSCONFIG_SET_STRING, key, value), 'fsconfig', toBytePath(value));
  }
}

/** Before Linux 6.5 overlay looks at its options only when it is mounted: until then each word is one, `lowerdir+` too. */
function takesAnyOption(): boolean {
  const descriptor = fsopen('overlay', FSOPEN_CLOEXEC);
  if (descriptor < 0) return false;
  try {
    return fsconfig(descriptor, FSCONFIG_SET_FLAG, 'no-such-option', null) >= 0;
  } finally {
    close(descriptor);
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
