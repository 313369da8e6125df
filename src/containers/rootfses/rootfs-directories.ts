import { existsSync, lstatSync, mkdirSync, realpathSync, rmdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { ProvisionerError, systemCode } from '../../base/errors.js';
import { makeOwnDirectory, umaskTakesFromOwner } from '../../base/own-files.js';
import type { Sweeper } from '../../layer-store/sweeper.js';
import { letGoOfTree } from '../../mounts/let-go-of-tree.js';
import { memoryPlace, type StorePaths } from '../../paths.js';
import { requireNothingHidden } from '../../store-directory/one-file-system.js';
import type { Syscalls } from '../../system/syscalls/syscalls.js';
import type { EmptyDirectories, RootfsPlace } from './rootfs-place.js';

/** The directories of rootfses, and of the containers that hold them. */
export class RootfsDirectories {
  readonly #paths: StorePaths;
  readonly #sweeper: Sweeper;
  readonly #syscalls: () => Syscalls;
  #realContainers: string | undefined;

  constructor(paths: StorePaths, sweeper: Sweeper, syscalls: () => Syscalls) {
    this.#syscalls = syscalls;
    this.#paths = paths;
    this.#sweeper = sweeper;
  }

  rootfs({ id, containerId, backend }: RootfsPlace): string {
    return this.#paths.rootfs(containerId, backend, id);
  }

  scratch({ id, containerId, backend }: RootfsPlace): string {
    return this.#paths.scratch(containerId, backend, id);
  }

  /**
   * Stands before a rootfs is taken apart: what leads elsewhere is not to be followed, and what is hidden is not gone.
   * @returns the first symlink on the way to it, or in its place. This store makes none there, so what lies behind it is somebody else's, even where it looks
   *   like a container that was moved away
   * @throws ProvisionerError `ERR_STORE_DAMAGED` when it is not there, and something is mounted over what leads to it
   */
  symlinkTo(place: RootfsPlace): string | undefined {
    // Most are as they were made.
    if (this.#isWhole(place)) return undefined;
    const link = this.#firstSymlink(place);
    if (link === undefined) this.#requireNotHidden(place);
    return link;
  }

  /** @throws ProvisionerError `ERR_STORE_DAMAGED` when a symlink is in the way */
  requireOwn(place: RootfsPlace): void {
    // Most containers are new.
    if (this.#isNew(place) || this.#isWhole(place)) return;
    const link = this.#firstSymlink(place);
    if (link === undefined) return;
    throw new ProvisionerError('ERR_STORE_DAMAGED', `${link} is a symlink, and this store made none there`, {
      hint: 'put the directory back that it stands for, or destroy the container, which removes the symlink and nothing behind it',
      details: { path: link, containerId: place.containerId },
    });
  }

  /** Removes a symlink that `symlinkTo` found, and nothing behind it. */
  removeSymlink(link: string, { id, containerId }: RootfsPlace): void {
    this.#sweeper.retire(link, id);
    this.#removeEmptyAbove(link, containerId);
  }

  /** Two empty directories, and whatever leads to them. */
  create(place: RootfsPlace): { readonly rootfs: string; readonly scratch: string } {
    const rootfs = this.rootfs(place);
    const scratch = this.scratch(place);
    // From the top down, since a container's directories are new most times, and a failed call costs more than a successful one.
    const way = new Set([...this.#wayTo(rootfs), ...this.#wayTo(scratch)]);
    for (let attempt = 0; ; attempt++) {
      try {
        for (const directory of way) makeDirectory(directory);
        return { rootfs, scratch };
      } catch (error) {
        // Others remove directories on the way because these are empty just now.
        if (systemCode(error) !== 'ENOENT' || attempt === 100) throw error;
      }
    }
  }

  /**
   * Takes away what a rootfs has on disk; nothing of it is mounted any more. Empty directories go at once, which is all there is after most
   * overlay containers; the rest is retired into `gc/`. Then the container's own directories go, as far as they are empty.
   * @param own what its backend made in its scratch directory, as `Backend.ownDirectories` has it
   * @returns whether it is known that nothing of the container is left
   * @throws ProvisionerError `ERR_PERMISSION` when something is mounted on one of them that cannot be let go of
   */
  async remove(place: RootfsPlace, own: readonly string[]): Promise<boolean> {
    try {
      return this.#remove(place, own);
    } catch (error) {
      if (systemCode(error) !== 'EBUSY') throw error;
      // On what was let go of just now something has been mounted again, or on a directory beside it, which is none of the backend's.
      for (const directory of [this.rootfs(place), this.scratch(place)]) {
        await letGoOfTree(this.#syscalls(), directory);
      }
      return this.#remove(place, own);
    }
  }

  #remove(place: RootfsPlace, own: readonly string[]): boolean {
    const rootfs = this.rootfs(place);
    const scratch = this.scratch(place);
    if (!this.#removeEmpty(rootfs)) this.#sweeper.retire(rootfs, place.id);
    if (![...own, scratch].every((path) => this.#removeEmpty(path)))
      this.#sweeper.retire(scratch, `${place.id}-scratch`);
    try {
      return this.removeEmptyDirectories(place);
    } catch (error) {
      // The rootfs is gone, and its record shall go. What led to it is for the next recovery, which tells of it.
      if (systemCode(error) === 'EPERM') return false;
      throw error;
    }
  }

  /** Whether a path, not the rootfs's own, has the shape of one that leads to the rootfs, or to what it has in memory, through another name of the store. */
  isAnotherPath(path: string, place: RootfsPlace): boolean {
    const own = [this.rootfs(place), memoryPlace(this.scratch(place))];
    return !own.includes(path) && own.some((one) => path.endsWith(one.slice(this.#paths.containers.length)));
  }

  /** Takes away the mount point of a rootfs, when nothing is in it. @throws `EBUSY` when something is mounted on it in this namespace, by whatever path */
  removeMountPoint(place: RootfsPlace): void {
    this.#removeEmpty(this.rootfs(place));
  }

  /**
   * The directories of a container that lead to nothing: of one backend, or of all. What has something in it stays, and so does what leads there.
   * @returns whether nothing of the container is left
   */
  removeEmptyDirectories({ containerId, backend }: EmptyDirectories): boolean {
    const backends = this.#paths.backends(containerId);
    if (backend === undefined) {
      const emptied = [backends, this.#paths.nestedContainers(containerId)].map((path) => this.#removeEmpty(path));
      return emptied.every(Boolean) && this.#removeEmptyAbove(backends, containerId);
    }
    const rootfses = this.#paths.rootfses(containerId, backend);
    const emptied = [rootfses, this.#paths.scratches(containerId, backend)].map((path) => this.#removeEmpty(path));
    return emptied.every(Boolean) && this.#removeEmptyAbove(rootfses, containerId);
  }

  /** Whether nothing of the topmost container is there. */
  #isNew({ containerId }: RootfsPlace): boolean {
    const [top = ''] = containerId.split('/', 1);
    return lstatSync(`${this.#paths.containers}/${top}`, { throwIfNoEntry: false }) === undefined;
  }

  /** Whether it is known to have all its directories, without a symlink. */
  #isWhole(place: RootfsPlace): boolean {
    return [this.rootfs(place), this.scratch(place)].every((path) => this.#isPlain(path));
  }

  /** Whether the system knows that all of a path is there, without a symlink. */
  #isPlain(path: string): boolean {
    const { containers } = this.#paths;
    this.#realContainers ??= realpathSync(containers);
    return this.#syscalls().isPlainPath(`${this.#realContainers}${path.slice(containers.length)}`) === true;
  }

  #firstSymlink(place: RootfsPlace): string | undefined {
    if (this.#isNew(place)) return undefined;
    const way = new Set([...this.#wayTo(this.rootfs(place)), ...this.#wayTo(this.scratch(place))]);
    return [...way].find((at) => lstatSync(at, { throwIfNoEntry: false })?.isSymbolicLink());
  }

  /** Of what leads to a directory of a rootfs that is not there, the last one that is there tells: it is on the mount that hides the rest, if there is one. */
  #requireNotHidden(place: RootfsPlace): void {
    for (const path of [this.rootfs(place), this.scratch(place)]) {
      let last = this.#paths.containers;
      for (const at of this.#wayTo(path)) {
        if (!existsSync(at)) {
          requireNothingHidden(last, this.#paths);
          break;
        }
        last = at;
      }
    }
  }

  /** The directories from the topmost container's down to the path itself. */
  #wayTo(path: string): string[] {
    const { containers } = this.#paths;
    const way: string[] = [];
    for (let at = path; at !== containers; at = dirname(at)) way.push(at);
    return way.reverse();
  }

  /** @returns whether the directory of the container itself has gone */
  #removeEmptyAbove(path: string, containerId: string): boolean {
    let at = dirname(path);
    while (at !== this.#paths.containers && this.#removeEmpty(at)) at = dirname(at);
    return at.length < this.#paths.container(containerId).length;
  }

  /** One that is immutable becomes mutable, as where it is retired. @returns false when there is something in it */
  #removeEmpty(directory: string): boolean {
    try {
      return removeEmpty(directory);
    } catch (error) {
      if (systemCode(error) !== 'EPERM' || !this.#sweeper.makeMutable(directory)) throw error;
      return removeEmpty(directory);
    }
  }
}

/** One that is there already will do. */
function makeDirectory(path: string): void {
  try {
    if (umaskTakesFromOwner()) makeOwnDirectory(path);
    else mkdirSync(path, 0o700);
  } catch (error) {
    if (systemCode(error) !== 'EEXIST') throw error;
  }
}

/** @returns false when there is something in it */
function removeEmpty(directory: string): boolean {
  try {
    rmdirSync(directory);
    return true;
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT') return true;
    if (code === 'ENOTEMPTY' || code === 'EEXIST' || code === 'ENOTDIR') return false;
    throw error;
  }
}
