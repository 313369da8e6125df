import { realpathSync } from 'node:fs';
import { basename, join } from 'node:path';
import { unhurried } from '../base/unhurried.js';
import type { StorePaths } from '../paths.js';
import { type MountPlace, mountNamespaceHere, whereabouts } from '../system/locks/mount-place.js';
import { readMountPoints } from '../system/syscalls/mount-table.js';

/**
 * How a rootfs that is made by mounting stands, as seen from this process. `mounted`: at its path. `unmounted`: it was mounted in this mount namespace, or before
 * the machine was booted, and is not any more. `elsewhere`: it is or may be mounted in another mount namespace, or by another path to the store.
 */
export type MountState = 'mounted' | 'unmounted' | 'elsewhere';

/** What this process's table of mounts says of the rootfses of a store; as it was when it was read. */
export class RootfsMounts {
  readonly #here = mountNamespaceHere();
  /** With the path of the store as its users spell it. */
  readonly #points = new Set<string>();
  /** Ids of rootfses that are mounted by whatever path. */
  readonly #ids = new Set<string>();

  static async read({ containers }: StorePaths): Promise<RootfsMounts> {
    const real = realpathSync(containers);
    const mounts = new RootfsMounts();
    for await (const point of unhurried(await readMountPoints())) {
      mounts.#ids.add(basename(point));
      if (point.startsWith(`${real}/`)) mounts.#points.add(join(containers, point.slice(real.length + 1)));
    }
    return mounts;
  }

  private constructor() {}

  /** Whether something is mounted at a path below the containers. */
  has(path: string): boolean {
    return this.#points.has(path);
  }

  /** @param path the rootfs's own @param mount as recorded */
  stateOf(path: string, { id, mount }: { readonly id: string; readonly mount: MountPlace | undefined }): MountState {
    if (this.has(path)) return 'mounted';
    if (this.#ids.has(id)) return 'elsewhere';
    const where = whereabouts(mount, this.#here);
    return where === 'here' || where === 'before' ? 'unmounted' : 'elsewhere';
  }
}
