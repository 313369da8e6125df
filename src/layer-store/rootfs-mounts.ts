import { realpathSync } from 'node:fs';
import { basename, join } from 'node:path';
import { unhurried } from '../base/unhurried.js';
import type { StorePaths } from '../paths.js';
import { type MountPlace, mountNamespaceHere, whereabouts } from '../system/locks/mount-place.js';
import { loadSyscalls } from '../system/syscalls/load-syscalls.js';
import { readMountPoints } from '../system/syscalls/mounts/mount-table.js';
import type { Syscalls } from '../system/syscalls/syscalls.js';

/**
 * How a rootfs that is made by mounting stands, as seen from this process. `mounted`: at its path. `unmounted`: it was mounted in this mount namespace, or before
 * the machine was booted, and is not any more. `elsewhere`: it is or may be mounted in another mount namespace, or by another path to the store.
 */
export type MountState = 'mounted' | 'unmounted' | 'elsewhere';

/** What the table of mounts says of a store's containers. */
interface TableOfContainers {
  /** With the path of the store as its users spell it. */
  readonly points: ReadonlySet<string>;
  /** Ids of rootfses that are mounted by whatever path. */
  readonly ids: ReadonlySet<string>;
}

/**
 * What is mounted below the containers of a store, as this process sees it. Made for one operation.
 *
 * With ten thousand containers the table of mounts has 14 MB, which the kernel makes anew for each reader in a tenth of a second, while a question about one path
 * takes it a microsecond. So paths are asked about one by one, and the table is read, once, for what they do not tell: on kernels before 5.8, and where a rootfs is
 * that is not at its path.
 */
export class RootfsMounts {
  readonly #paths: Pick<StorePaths, 'containers'>;
  readonly #syscalls: Pick<Syscalls, 'mountState'>;
  readonly #readPoints: () => Promise<Iterable<string>>;
  readonly #here = mountNamespaceHere();
  #asks = true;
  #table: Promise<TableOfContainers> | undefined;

  /** For whoever asks about every directory there is, which is many more than there are mounts: the table is read at once, and counts as it is then. */
  static async ofAll(paths: Pick<StorePaths, 'containers'>): Promise<RootfsMounts> {
    const mounts = new RootfsMounts(paths);
    mounts.#asks = false;
    await mounts.#readTable();
    return mounts;
  }

  /** @param readPoints all places of this mount namespace where something is mounted */
  constructor(
    paths: Pick<StorePaths, 'containers'>,
    syscalls: Pick<Syscalls, 'mountState'> = loadSyscalls(),
    readPoints: () => Promise<Iterable<string>> = readMountPoints,
  ) {
    this.#paths = paths;
    this.#syscalls = syscalls;
    this.#readPoints = readPoints;
  }

  /** Whether something is mounted at a path below the containers. */
  async has(path: string): Promise<boolean> {
    if (this.#asks) {
      const state = this.#syscalls.mountState(path);
      if (state !== 'unknown') return state !== 'none';
    }
    return (await this.#readTable()).points.has(path);
  }

  /** @param path the rootfs's own @param mount as recorded */
  async stateOf(
    path: string,
    { id, mount }: { readonly id: string; readonly mount: MountPlace | undefined },
  ): Promise<MountState> {
    if (await this.has(path)) return 'mounted';
    const where = whereabouts(mount, this.#here);
    if (where !== 'here' && where !== 'before') return 'elsewhere';
    return (await this.#readTable()).ids.has(id) ? 'elsewhere' : 'unmounted';
  }

  #readTable(): Promise<TableOfContainers> {
    this.#table ??= this.#sorted();
    return this.#table;
  }

  async #sorted(): Promise<TableOfContainers> {
    const { containers } = this.#paths;
    const real = realpathSync(containers);
    const points = new Set<string>();
    const ids = new Set<string>();
    for await (const point of unhurried(await this.#readPoints())) {
      ids.add(basename(point));
      if (point.startsWith(`${real}/`)) points.add(join(containers, point.slice(real.length + 1)));
    }
    return { points, ids };
  }
}
