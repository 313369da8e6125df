import type { BytePath } from '../../system/syscalls/byte-path.js';
import { childrenOf, isDirectory, removeOne } from './cgroup-files.js';
import { directoryOf, type Hierarchies } from './hierarchies.js';
import { MONITORS } from './monitor-cgroups.js';

/**
 * Which launches have a cgroup, in whichever hierarchy: runtimes leave some behind, in some hierarchies, when they fail half-way. Whoever sweeps removes those that
 * no record names, by the `remove` of a `ContainerCgroup`.
 * @param parent `parentOf` the store @returns the last parts of their paths, sorted @throws ProvisionerError `ERR_CGROUP`
 */
export function listLaunches(hierarchies: Hierarchies, parent: BytePath): string[] {
  const names = hierarchies.mounted.flatMap((hierarchy) => childrenOf(directoryOf(hierarchy, parent)));
  return [...new Set(names)].sort();
}

/**
 * Removes the cgroup in which the launches of a store have theirs, in each hierarchy in which nothing is left in it.
 * @param parent `parentOf` the store @returns whether it is gone everywhere @throws ProvisionerError `ERR_CGROUP`
 */
export function removeParent(hierarchies: Hierarchies, parent: BytePath): boolean {
  // A read-only file system refuses to remove even what is not there.
  const isGone = (directory: BytePath) => !isDirectory(directory) || removeOne(directory);
  // Each is tried, whatever became of those before it.
  return hierarchies.mounted
    .map((hierarchy) => directoryOf(hierarchy, parent))
    .map((directory) => isGone(`${directory}/${MONITORS}`) && isGone(directory))
    .every(Boolean);
}
