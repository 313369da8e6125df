import { realpathSync } from 'node:fs';
import { dirname } from 'node:path';
import { layersNamedIn, rootfsIdOf, StorePaths } from '../paths.js';
import { type Mount, type MountTable, mountTables } from '../system/syscalls/mounts/mount-tables.js';

/** Overlay's options name a directory so when its path did not fit: see `overlay-mount.ts`. */
const BY_DESCRIPTOR = '/proc/self/fd/';

/**
 * Which layers the mounts of this machine show, whatever the records say: as a lower directory of an overlay, or as the source of a bind mount; in any mount
 * namespace that this process may look into, by whatever path the store is reached there. Only the tables are read: a path of another namespace may lead to
 * a file system that answers when it likes.
 */
export class ShownLayers {
  readonly #names: ReadonlySet<string>;
  /** Why any layer may be shown. */
  readonly #unknown: string | undefined;

  private constructor(names: ReadonlySet<string>, unknown: string | undefined) {
    this.#names = names;
    this.#unknown = unknown;
  }

  /** Where it could not be found out, any layer may be shown. @param reason as a clause */
  static unknown(reason: string): ShownLayers {
    return new ShownLayers(new Set(), reason);
  }

  /** @param isRecorded whether the records name a rootfs: then they name its layers too */
  static async read(paths: StorePaths, isRecorded: (rootfsId: string) => boolean): Promise<ShownLayers> {
    const { layers, containers } = new StorePaths(realpathSync(paths.root));
    const names = new Set<string>();
    let unknown: string | undefined;
    let store: { readonly layers: string; readonly containers: string } | undefined;
    for await (const table of mountTables()) {
      // The first table is this process's own.
      store ??= { layers: table.locate(layers) ?? layers, containers: table.locate(containers) ?? containers };
      for (const mount of table.mounts) {
        for (const name of namesIn(mount, table, store.layers, layers)) names.add(name);
        if (unknown === undefined && isUntold(mount, table, store.containers, isRecorded)) unknown = untold(mount);
      }
    }
    return new ShownLayers(names, unknown);
  }

  /** Why a layer may be in use, as a clause; undefined when no mount shows it. @param name of its directory */
  whyInUse(name: string): string | undefined {
    if (this.#names.has(name)) return 'a mount of this machine shows it';
    return this.#unknown;
  }
}

/** @param location of `layers/` in its file system @param path of `layers/` as this process has it */
function* namesIn(mount: Mount, table: MountTable, location: string, path: string): Generator<string> {
  const source = `${mount.device}:${mount.root}`;
  if (source.startsWith(`${location}/`)) yield source.slice(location.length + 1).split('/', 1)[0] as string;
  if (mount.type !== 'overlay') return;
  for (const lower of layersNamedIn(mount.options)) {
    const directory = dirname(dirname(lower.path));
    if (directory === path || table.locate(directory) === location || isOutOfSight(directory, table)) yield lower.name;
  }
}

/** An overlay of this store of which neither the table nor the records tell the layers. */
function isUntold(
  { type, options, target }: Mount,
  table: MountTable,
  containers: string,
  isRecorded: (rootfsId: string) => boolean,
): boolean {
  if (type !== 'overlay' || !options.includes(BY_DESCRIPTOR)) return false;
  const id = rootfsIdOf(target);
  return id !== undefined && !isRecorded(id) && table.locate(dirname(target))?.startsWith(`${containers}/`) === true;
}

function untold({ target }: Mount): string {
  return `the mount at ${target} may show it, and no record tells what that is made of`;
}

/** The namespace has another root by now, as a container's has: what its mounts were made of cannot be found from there. */
function isOutOfSight(path: string, table: MountTable): boolean {
  const mount = table.mountOf(path);
  return mount === undefined || (mount.target === '/' && mount.type === 'overlay');
}
