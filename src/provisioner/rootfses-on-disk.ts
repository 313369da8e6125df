import { lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { systemCode } from '../errors.js';
import type { StorePaths } from '../paths.js';
import { RootfsMounts } from '../store/rootfs-mounts.js';
import { syscallError } from '../syscalls/syscalls.js';
import type { RootfsPlace } from './rootfs-directories.js';

/** A rootfs that stands on disk. */
export interface FoundRootfs extends RootfsPlace {
  /** Something is mounted at it. */
  readonly mounted: boolean;
}

export interface FoundListeners {
  /** Told of containers, and of backends in them, that have directories which lead to nothing; containers come before those in them. */
  readonly onHollow?: (containerId: string, backend: string | undefined) => void;
  /** Told of directories that cannot be read, or on which something is mounted that is no rootfs: what is in them is somebody else's. Nothing is found in them. */
  readonly onUnreadable?: (error: unknown, path: string) => void;
}

/** The names of the directories in one; undefined for one that is to be left alone, of which somebody has been told. */
type ReadDirectories = (path: string) => string[] | undefined;

/** Directories are read so long before others get a turn, in milliseconds. */
const SLICE = 10;

/**
 * The rootfses on disk, recorded or not, children before parents.
 * @param top of this container and below; default: all
 * @throws like Node's `fs`, for a directory that cannot be read, where nobody is told of those
 */
export async function rootfsesOnDisk(
  paths: StorePaths,
  top?: string,
  listeners: FoundListeners = {},
): Promise<FoundRootfs[]> {
  const { onHollow = () => {}, onUnreadable } = listeners;
  const mounts = await RootfsMounts.read(paths);
  const directories: ReadDirectories = (path) => {
    try {
      if (mounts.has(path)) throw syscallError('EBUSY', 'open', path);
      return directoriesIn(path);
    } catch (error) {
      if (onUnreadable === undefined) throw error;
      onUnreadable(error, path);
      return undefined;
    }
  };
  const found: FoundRootfs[] = [];
  const waiting = top === undefined ? (directories(paths.containers) ?? []) : [top];
  let sliceEnds = performance.now() + SLICE;
  for (let container = waiting.pop(); container !== undefined; container = waiting.pop()) {
    const parts = directories(paths.container(container))?.map((name) => join(paths.container(container), name));
    if (parts === undefined) continue;
    if (parts.includes(paths.backends(container))) {
      for (const rootfs of rootfsesOf(paths, container, mounts, { directories, onHollow })) found.push(rootfs);
    }
    const hasNested = parts.includes(paths.nestedContainers(container));
    const nested = hasNested ? directories(paths.nestedContainers(container)) : undefined;
    if (nested?.length === 0 || parts.length === 0) onHollow(container, undefined);
    for (const name of nested ?? []) waiting.push(`${container}/${name}`);
    if (performance.now() < sliceEnds) continue;
    await setImmediate();
    sliceEnds = performance.now() + SLICE;
  }
  return found.sort(
    (one, other) => Number(one.containerId < other.containerId) - Number(one.containerId > other.containerId),
  );
}

function rootfsesOf(
  paths: StorePaths,
  containerId: string,
  mounts: RootfsMounts,
  { directories, onHollow }: { readonly directories: ReadDirectories } & Required<Pick<FoundListeners, 'onHollow'>>,
): FoundRootfs[] {
  const found: FoundRootfs[] = [];
  const backends = directories(paths.backends(containerId));
  if (backends?.length === 0) onHollow(containerId, undefined);
  for (const backend of backends ?? []) {
    if (mounts.has(join(paths.backends(containerId), backend))) {
      directories(join(paths.backends(containerId), backend));
      continue;
    }
    const rootfses = directories(paths.rootfses(containerId, backend));
    const scratches = directories(paths.scratches(containerId, backend));
    const ids = new Set([...(rootfses ?? []), ...(scratches ?? [])]);
    if (rootfses?.length === 0 && scratches?.length === 0) onHollow(containerId, backend);
    for (const id of ids) {
      const mounted = mounts.has(paths.rootfs(containerId, backend, id));
      found.push({ containerId, backend, id, mounted });
    }
  }
  return found;
}

/** The names of the directories in a directory; none when it is not there. Symlinks and files are none of ours and left alone. */
function directoriesIn(path: string): string[] {
  try {
    const entries = readdirSync(path, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOTDIR') return [];
    if (code !== 'ENOENT') throw error;
  }
  // It is not there; or, on a file system without d_type, where Node looks at each entry, one of them has gone meanwhile.
  return namesOf(path).filter((name) => lstatSync(join(path, name), { throwIfNoEntry: false })?.isDirectory());
}

function namesOf(path: string): string[] {
  try {
    return readdirSync(path);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return [];
    throw error;
  }
}
