import { setTimeout as sleep } from 'node:timers/promises';
import { printablePath } from '../system/syscalls/byte-path.js';
import { type MountInside, mountsInside } from '../system/syscalls/mounts/mount-table.js';
import type { Syscalls } from '../system/syscalls/syscalls.js';
import { cannotLetGo, letGo, removeCovered, unmounted } from './let-go.js';

/**
 * So many looks may pass without a mount less, with a pause between them in milliseconds: whoever renames things in the tree all the time makes it hard
 * to find them.
 */
const MOST_VAIN_LOOKS = 200;
const PAUSES = 5;
/** So many looks in all: somebody mounts as fast as is unmounted here. */
const MOST_LOOKS = 1000;
/** So often a mount is looked for in the place where it was seen, which somebody may keep exchanging with another. */
const TRIES = 20;
/** Each of these takes a thread of its own. */
const MOST_COVERED = 100;

/**
 * Lets go of all that is mounted on a directory that is to be deleted, and below it, as `letGo` does. What is below it may be renamed by others at the
 * same time, as by a process that still runs in the tree, and replaced by symlinks: only what is really mounted below it is unmounted.
 *
 * The table of mounts is not read when there are none, where the kernel tells that; else once.
 * @throws ProvisionerError `ERR_PERMISSION` for what cannot be unmounted, or could not be found for all the renaming
 */
export async function letGoOfTree(syscalls: Syscalls, directory: string): Promise<void> {
  await letGo(syscalls, directory, true);
  if ((await syscalls.hasMountsInside(directory)) === false) return;
  let vain = 0;
  let covered = 0;
  let looks = 0;
  for (let mounts = await mountsInside(directory); mounts.length > 0; mounts = await mountsInside(directory)) {
    let some = false;
    for (const mount of mounts) {
      if (!mount.coversShared) some = (await letGoInside(syscalls, directory, mount)) || some;
      else if (covered++ < MOST_COVERED) {
        await removeCovered(directory, mount.path);
        some = true;
      }
    }
    if (looks++ === MOST_LOOKS) throw cannotLetGo(placeOf(directory, mounts[0]));
    if (!some && (vain++ === MOST_VAIN_LOOKS || syscalls.kind === 'native-free')) {
      throw cannotLetGo(placeOf(directory, mounts[0]));
    }
    if (!some) await sleep(Math.random() * PAUSES);
  }
}

/** @returns false when it was not found there */
async function letGoInside(syscalls: Syscalls, directory: string, mount: MountInside): Promise<boolean> {
  return unmounted(placeOf(directory, mount), async () => {
    for (let attempt = 0; attempt < TRIES; attempt++) {
      if (await syscalls.detachMountInside(directory, mount.path, mount.id)) return true;
    }
    return false;
  });
}

function placeOf(directory: string, mount: MountInside | undefined): string {
  return `${directory}/${printablePath(mount?.path ?? '')}`;
}
