import { mkdirSync } from 'node:fs';
import { type BytePath, fromBytePath, nodePath } from '../../system/syscalls/byte-path.js';
import { readCgroupFile } from './cgroup-files.js';
import { directoryOf, type Hierarchies } from './hierarchies.js';

/** Of the cgroup in which the monitors of a store are, beside those of its launches. */
export const MONITORS = 'monitors';

/**
 * Where monitors have to be so that they outlive whoever started them: a service manager ends all processes that are in the cgroup of a service when that is stopped, and goes by the
 * hierarchy of version 2, or by a named one of version 1 (systemd's own). Where this process is in the root of that, it is no service, and nothing has to be done.
 * @param parent `parentOf` the store @param selfCgroup the text of `/proc/self/cgroup`
 * @returns directories, which are there; none where they cannot be made: the monitors stay with this process then
 * @see cgroups(7), "/proc/[pid]/cgroup"; systemd.kill(5), KillMode=
 */
export function monitorCgroups(
  hierarchies: Hierarchies,
  parent: BytePath,
  selfCgroup: BytePath = readCgroupFile('/proc/self/cgroup') ?? '',
): string[] {
  const lines = selfCgroup.split('\n').map((line) => line.split(':'));
  const isInService = (version: 1 | 2) =>
    lines.some(([number, controllers = '', ...path]) => {
      const isThis = version === 2 ? number === '0' : controllers.startsWith('name=');
      return isThis && path.join(':') !== '/';
    });
  return hierarchies.mounted
    .filter(({ version, isNamed }) => (version === 2 || isNamed) && isInService(version))
    .map((hierarchy) => directoryOf(hierarchy, `${parent}/${MONITORS}`))
    .filter(isMade)
    .map(fromBytePath);
}

function isMade(directory: BytePath): boolean {
  try {
    mkdirSync(nodePath(directory), { recursive: true });
    return true;
  } catch {
    return false;
  }
}
