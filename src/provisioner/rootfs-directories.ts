import { mkdirSync, rmdirSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { systemCode } from '../errors.js';
import { overlayScratch, type StorePaths } from '../paths.js';
import type { Sweeper } from '../store/sweeper.js';

export interface RootfsPlace {
  readonly id: string;
  readonly containerId: string;
  readonly backend: string;
}

/** The directories of rootfses, and of the containers that hold them. */
export class RootfsDirectories {
  readonly #paths: StorePaths;
  readonly #sweeper: Sweeper;

  constructor(paths: StorePaths, sweeper: Sweeper) {
    this.#paths = paths;
    this.#sweeper = sweeper;
  }

  rootfs({ id, containerId, backend }: RootfsPlace): string {
    return this.#paths.rootfs(containerId, backend, id);
  }

  scratch({ id, containerId, backend }: RootfsPlace): string {
    return this.#paths.scratch(containerId, backend, id);
  }

  /** Two empty directories, and whatever leads to them. */
  create(place: RootfsPlace): { readonly rootfs: string; readonly scratch: string } {
    const rootfs = this.rootfs(place);
    const scratch = this.scratch(place);
    for (const directory of [rootfs, scratch]) this.#make(directory);
    return { rootfs, scratch };
  }

  /**
   * Takes away what a rootfs has on disk; nothing of it is mounted any more. Empty directories go at once, which is all there is after most
   * overlay containers; the rest is retired into `gc/`. Then the container's own directories go, as far as they are empty.
   */
  remove(place: RootfsPlace): void {
    const rootfs = this.rootfs(place);
    const scratch = this.scratch(place);
    if (!removeEmpty(rootfs)) this.#sweeper.retire(rootfs, place.id);
    const { upper, work } = overlayScratch(scratch);
    // The kernel makes a directory of its own in overlay's work directory, and leaves it there.
    const emptied = removeEmpty(upper) && removeEmpty(join(work, 'work')) && removeEmpty(work) && removeEmpty(scratch);
    if (!emptied) this.#sweeper.retire(scratch, `${place.id}-scratch`);
    this.removeHollow(place.containerId, place.backend);
  }

  /** The directories of a container that lead to nothing: of one backend, or of all. What has something in it stays, and so does what leads there. */
  removeHollow(containerId: string, backend: string | undefined): void {
    const backends = this.#paths.backends(containerId);
    if (backend === undefined) {
      const emptied = [backends, this.#paths.nestedContainers(containerId)].map(removeEmpty);
      if (emptied.every(Boolean)) this.#removeEmptyAbove(backends);
      return;
    }
    const rootfses = this.#paths.rootfses(containerId, backend);
    const emptied = [rootfses, this.#paths.scratches(containerId, backend)].map(removeEmpty);
    if (emptied.every(Boolean)) this.#removeEmptyAbove(rootfses);
  }

  /** From the top down, since a container's directories are new most times, and a failed call costs more than a successful one. */
  #make(path: string): void {
    const { containers } = this.#paths;
    const names = relative(containers, path).split(sep);
    for (let attempt = 0; ; attempt++) {
      try {
        names.reduce((parent, name) => makeDirectory(join(parent, name)), containers);
        return;
      } catch (error) {
        // Others remove directories on the way because these are empty just now.
        if (systemCode(error) !== 'ENOENT' || attempt === 100) throw error;
      }
    }
  }

  #removeEmptyAbove(path: string): void {
    for (let at = dirname(path); at !== this.#paths.containers && removeEmpty(at); ) at = dirname(at);
  }
}

/** @returns its path; one that is there already will do */
function makeDirectory(path: string): string {
  try {
    mkdirSync(path, 0o700);
  } catch (error) {
    if (systemCode(error) !== 'EEXIST') throw error;
  }
  return path;
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
