import { type Dirent, readdirSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { systemCode } from '../errors.js';
import type { StorePaths } from '../paths.js';
import { loadSyscalls } from '../syscalls/load-syscalls.js';
import { loadTreeCalls } from '../syscalls/load-tree-calls.js';
import { mountsBelow } from '../syscalls/mount-table.js';
import type { RootfsPlace } from './rootfs-directories.js';

/** A rootfs that stands on disk. */
export interface FoundRootfs extends RootfsPlace {
  /** Something is mounted at it. */
  readonly mounted: boolean;
}

/** Directories are read so long before others get a turn, in milliseconds. */
const SLICE = 10;

/**
 * The rootfses on disk, recorded or not, children before parents.
 * @param top of this container and below; default: all @param hollow gets the containers that hold no rootfs, children before parents
 */
export async function rootfsesOnDisk(paths: StorePaths, top?: string, hollow: string[] = []): Promise<FoundRootfs[]> {
  const mounts = mountPoints(paths);
  const found: FoundRootfs[] = [];
  const waiting = top === undefined ? directories(paths.containers) : [top];
  let sliceEnds = performance.now() + SLICE;
  for (let container = waiting.pop(); container !== undefined; container = waiting.pop()) {
    const rootfses = rootfsesOf(paths, container, mounts);
    for (const rootfs of rootfses) found.push(rootfs);
    if (rootfses.length === 0) hollow.push(container);
    for (const name of directories(paths.nestedContainers(container))) waiting.push(`${container}/${name}`);
    if (performance.now() < sliceEnds) continue;
    await setImmediate();
    sliceEnds = performance.now() + SLICE;
  }
  hollow.sort().reverse();
  return found.sort(
    (one, other) => Number(one.containerId < other.containerId) - Number(one.containerId > other.containerId),
  );
}

/** Where something is mounted below the containers. */
export function mountPoints(paths: StorePaths): ReadonlySet<string> {
  const real = realpathSync(paths.containers);
  return new Set(mountsBelow(real).map((path) => join(paths.containers, path.slice(real.length + 1))));
}

/** Whether something is mounted at a directory, as far as the system tells. */
export function isMountPoint(path: string): boolean {
  const directory = loadTreeCalls(loadSyscalls()).openDirectory(path);
  try {
    return directory.usage('').mountPoint;
  } finally {
    directory.close();
  }
}

function rootfsesOf(paths: StorePaths, containerId: string, mounts: ReadonlySet<string>): FoundRootfs[] {
  const found: FoundRootfs[] = [];
  for (const backend of directories(paths.backends(containerId))) {
    const rootfses = directories(paths.rootfses(containerId, backend));
    const scratches = directories(paths.scratches(containerId, backend));
    for (const id of new Set([...rootfses, ...scratches])) {
      const mounted = mounts.has(paths.rootfs(containerId, backend, id));
      found.push({ containerId, backend, id, mounted });
    }
  }
  return found;
}

/** The names of the directories in a directory; none when it is not there. Symlinks and files are none of ours and left alone. */
function directories(path: string): string[] {
  let entries: Dirent[];
  try {
    entries = readdirSync(path, { withFileTypes: true });
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw error;
  }
  return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
}
