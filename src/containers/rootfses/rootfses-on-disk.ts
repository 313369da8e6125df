import { lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { systemCode } from '../../base/errors.js';
import { RootfsMounts } from '../../layer-store/rootfs-mounts.js';
import type { StorePaths } from '../../paths.js';
import { syscallError } from '../../system/syscalls/syscalls.js';
import type { EmptyDirectories, RootfsPlace } from './rootfs-place.js';

/** A rootfs that stands on disk. */
export interface FoundRootfs extends RootfsPlace {
  /** Something is mounted at it. */
  readonly mounted: boolean;
}

export interface FoundOnDisk {
  /** Recorded or not, children before parents. */
  readonly rootfses: readonly FoundRootfs[];
  /** Children before parents. */
  readonly empty: readonly EmptyDirectories[];
}

/** The names of the directories in one; undefined for one that is to be left alone, of which somebody has been told. */
type ReadDirectories = (path: string) => Promise<string[] | undefined>;

/** Directories are read so long before others get a turn, in milliseconds. */
const SLICE = 10;

/**
 * What containers have on disk.
 * @param top of this container and below; default: all
 * @param onUnreadable told of directories that cannot be read, or on which something is mounted that is no rootfs: what is in them is somebody else's. Nothing
 *   is found in them
 * @throws like Node's `fs`, for a directory that cannot be read, where nobody is told of those
 */
export async function rootfsesOnDisk(
  paths: StorePaths,
  top?: string,
  onUnreadable?: (error: unknown, path: string) => void,
): Promise<FoundOnDisk> {
  const mounts = top === undefined ? await RootfsMounts.ofAll(paths) : new RootfsMounts(paths);
  const directories: ReadDirectories = async (path) => {
    try {
      if (await mounts.has(path)) throw syscallError('EBUSY', 'open', path);
      return directoriesIn(path);
    } catch (error) {
      if (onUnreadable === undefined) throw error;
      onUnreadable(error, path);
      return undefined;
    }
  };
  const rootfses: FoundRootfs[] = [];
  const empty: EmptyDirectories[] = [];
  const waiting = top === undefined ? ((await directories(paths.containers)) ?? []) : [top];
  let sliceEnds = performance.now() + SLICE;
  for (let container = waiting.pop(); container !== undefined; container = waiting.pop()) {
    const names = await directories(paths.container(container));
    if (names === undefined) continue;
    const parts = names.map((name) => join(paths.container(container), name));
    if (parts.includes(paths.backends(container))) {
      const found = await rootfsesOf(paths, container, mounts, directories);
      for (const rootfs of found.rootfses) rootfses.push(rootfs);
      for (const one of found.empty) empty.push(one);
    }
    const hasNested = parts.includes(paths.nestedContainers(container));
    const nested = hasNested ? await directories(paths.nestedContainers(container)) : undefined;
    if (nested?.length === 0 || parts.length === 0) empty.push({ containerId: container, backend: undefined });
    for (const name of nested ?? []) waiting.push(`${container}/${name}`);
    if (performance.now() < sliceEnds) continue;
    await setImmediate();
    sliceEnds = performance.now() + SLICE;
  }
  return { rootfses: rootfses.sort(childrenFirst), empty: empty.sort(childrenFirst) };
}

async function rootfsesOf(
  paths: StorePaths,
  containerId: string,
  mounts: RootfsMounts,
  directories: ReadDirectories,
): Promise<FoundOnDisk> {
  const found: FoundRootfs[] = [];
  const empty: EmptyDirectories[] = [];
  const backends = await directories(paths.backends(containerId));
  for (const backend of backends ?? []) {
    if (await mounts.has(join(paths.backends(containerId), backend))) {
      await directories(join(paths.backends(containerId), backend));
      continue;
    }
    const rootfses = await directories(paths.rootfses(containerId, backend));
    const scratches = await directories(paths.scratches(containerId, backend));
    const ids = new Set([...(rootfses ?? []), ...(scratches ?? [])]);
    if (rootfses?.length === 0 && scratches?.length === 0) empty.push({ containerId, backend });
    for (const id of ids) {
      const mounted = await mounts.has(paths.rootfs(containerId, backend, id));
      found.push({ containerId, backend, id, mounted });
    }
  }
  if (backends?.length === 0) empty.push({ containerId, backend: undefined });
  return { rootfses: found, empty };
}

function childrenFirst(one: { readonly containerId: string }, other: { readonly containerId: string }): number {
  return Number(one.containerId < other.containerId) - Number(one.containerId > other.containerId);
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
