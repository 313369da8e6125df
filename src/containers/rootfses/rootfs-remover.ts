import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Backend, isMountedBackend } from '../../backends/backend.js';
import type { Backends } from '../../backends/backends.js';
import { isInMemory } from '../../backends/memory-place.js';
import { crashPoint } from '../../base/crash-points.js';
import { systemCode } from '../../base/errors.js';
import type { RootfsSummary } from '../../metadata/metadata-manager.js';
import { type MountNamespace, whereabouts } from '../../system/locks/mount-place.js';
import { isMountPoint } from '../../system/syscalls/mounts/is-mount-point.js';
import { readMountPoints } from '../../system/syscalls/mounts/mount-table.js';
import { mayBeInUse, stillInUse } from './mounted-elsewhere.js';
import type { RootfsDirectories } from './rootfs-directories.js';
import type { RootfsPlace } from './rootfs-place.js';
import type { FoundRootfs } from './rootfses-on-disk.js';

/** A rootfs, and where it was mounted as far as that is known. */
export type PlacedRootfs = RootfsPlace & Partial<Pick<RootfsSummary, 'mount'>>;

/** So often the kernel is asked whether a rootfs is in use, since another process that asks at the same time makes it look so; and after how many milliseconds. */
const USE_ATTEMPTS = 4;
const USE_POLL = 10;

/** Takes rootfses off the disk: what is mounted first, wherever that is, then what is in memory, then the directories. */
export class RootfsRemover {
  readonly #backends: Backends;
  readonly #directories: RootfsDirectories;
  readonly #here: MountNamespace;

  /** @param here where this process mounts */
  constructor(backends: Backends, directories: RootfsDirectories, here: MountNamespace) {
    this.#backends = backends;
    this.#directories = directories;
    this.#here = here;
  }

  /**
   * Lets go of a rootfs and takes away what it has on disk. Nothing behind a symlink is touched.
   * @param aside as in `RootfsRequest`
   * @returns whether it is known that nothing of the container is left on disk
   * @throws ProvisionerError `ERR_CONTAINER_ELSEWHERE` when it is in use where this process does not see it; then what is in use is left;
   *   when it was mounted elsewhere and the kernel does not tell whether it is in use: then nothing is touched
   */
  async takeApart(rootfs: PlacedRootfs, aside: boolean): Promise<boolean> {
    const link = this.#directories.symlinkTo(rootfs);
    if (link !== undefined) {
      this.#directories.removeSymlink(link, rootfs);
      return false;
    }
    const backend = this.#backends.named(rootfs.backend);
    const isElsewhere = backend?.mounts && this.#mayBeElsewhere(rootfs);
    await backend?.destroy(this.#directories.rootfs(rootfs), aside);
    crashPoint('destroy.letGo');
    if (isElsewhere) await this.#detachElsewhere(rootfs, backend);
    if (backend !== undefined) await this.#letGoOfMemory(rootfs, backend, aside);
    let isCleared = false;
    const own = backend?.ownDirectories(this.#directories.scratch(rootfs)) ?? [];
    const remove = async () => {
      isCleared = await this.#directories.remove(rootfs, own);
    };
    if (!(await freed(remove))) {
      await this.#detachOtherPaths(rootfs, backend);
      await remove();
    }
    crashPoint('destroy.removed');
    return isCleared;
  }

  /**
   * How a rootfs that no record names may be in use, as the end of a clause: of a copy nothing tells, since a process in it needs no mount. Ask with the lock
   * held alone. @returns undefined when it is certain that nobody uses it
   */
  possibleUse(rootfs: FoundRootfs): string | undefined {
    if (rootfs.mounted) return 'is mounted';
    if (this.#mayBeMountedElsewhere(rootfs)) return 'may be mounted elsewhere';
    return isMountedBackend(rootfs.backend) || !existsSync(this.#directories.rootfs(rootfs)) ? undefined : 'is a copy';
  }

  #mayBeMountedElsewhere(rootfs: RootfsPlace): boolean {
    const backend = this.#backends.named(rootfs.backend);
    return backend?.mayBeMounted(this.#directories.scratch(rootfs)) ?? false;
  }

  /** Whether a rootfs may have mounts that letting go of it here does not take away. Ask before that. */
  #mayBeElsewhere(rootfs: PlacedRootfs): boolean {
    const where = whereabouts(rootfs.mount, this.#here);
    if (where === 'here' || where === 'elsewhere') return where === 'elsewhere';
    // Mounted here without a record of that: by a release that kept none, or by a recovery that has not come to it yet.
    const path = this.#directories.rootfs(rootfs);
    return !existsSync(path) || !isMountPoint(path);
  }

  /**
   * Takes the mounts of a rootfs away that other namespaces have, and makes sure that nobody works in it any more where this process cannot look: what is in
   * use must not be deleted. One that was mounted in this namespace has been let go of already.
   */
  async #detachElsewhere(rootfs: PlacedRootfs, backend: Backend): Promise<void> {
    const known = whereabouts(rootfs.mount, this.#here) === 'elsewhere';
    const isInUse = () => backend.isInUse(this.#directories.scratch(rootfs));
    // Without an answer nothing may be deleted, so nobody's mount is taken away for nothing.
    if (known && isInUse() === undefined) throw mayBeInUse(rootfs);
    await this.#removeMountPoint(rootfs, backend);
    crashPoint('destroy.detachedElsewhere');
    for (let attempt = 1; ; attempt++) {
      const inUse = isInUse();
      // Where the kernel does not tell, only what is known to have been mounted elsewhere is held back.
      if (inUse === false || (inUse === undefined && !known)) return;
      if (attempt === USE_ATTEMPTS) throw inUse === undefined ? mayBeInUse(rootfs) : stillInUse(rootfs);
      await sleep(USE_POLL);
    }
  }

  /**
   * What is in memory is gone with it, so from there on the rootfs must not be taken for one that can be mounted again: one without its directory is taken for a destroy that was under way. The mount in other
   * namespaces goes with the directory that it is on, later.
   */
  async #letGoOfMemory(rootfs: RootfsPlace, backend: Backend, aside: boolean): Promise<void> {
    const scratch = this.#directories.scratch(rootfs);
    if (!isInMemory(scratch)) return;
    await this.#removeMountPoint(rootfs, backend);
    await backend.letGoOfMemory(scratch, aside);
    crashPoint('destroy.memoryLetGo');
  }

  /** With a mount point the kernel takes away what is mounted there in other namespaces, as a lazy unmount does (Linux 3.18; fs/namespace.c, __detach_mounts). */
  async #removeMountPoint(rootfs: RootfsPlace, backend: Backend): Promise<void> {
    if (await freed(() => this.#directories.removeMountPoint(rootfs))) return;
    await this.#detachOtherPaths(rootfs, backend);
    this.#directories.removeMountPoint(rootfs);
  }

  /** Detaches what is mounted on a rootfs in this namespace by another path that leads to the store. */
  async #detachOtherPaths(rootfs: RootfsPlace, backend: Backend | undefined): Promise<void> {
    for (const path of (await readMountPoints()).filter((point) => this.#directories.isAnotherPath(point, rootfs))) {
      await backend?.destroy(path, false);
    }
  }
}

/** @returns false when something is mounted in the way, in this namespace */
async function freed(remove: () => void | Promise<void>): Promise<boolean> {
  try {
    await remove();
    return true;
  } catch (error) {
    if (systemCode(error) === 'EBUSY') return false;
    throw error;
  }
}
