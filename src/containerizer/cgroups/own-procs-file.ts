import { existsSync } from 'node:fs';
import { type BytePath, fromBytePath, nodePath } from '../../system/syscalls/byte-path.js';
import { readCgroupFile } from './cgroup-files.js';
import { directoryOf, type Hierarchies, type Hierarchy } from './hierarchies.js';

/**
 * A file through which a process of this one's cgroup can be moved to where it is already.
 * @param selfCgroup the text of `/proc/self/cgroup` @returns undefined where there is none
 * @see cgroups(7), "/proc/[pid]/cgroup"
 */
export function ownProcsFile(
  { mounted }: Hierarchies,
  selfCgroup: BytePath = readCgroupFile('/proc/self/cgroup') ?? '',
): string | undefined {
  const lines = selfCgroup.split('\n').map((line) => line.split(':'));
  for (const hierarchy of mounted) {
    const line = lines.find(([number, controllers = '']) => isOf(hierarchy, number, controllers.split(',')));
    if (line === undefined) continue;
    // A container may be shown its own cgroup as the root, and told of it by the path that it has on the machine.
    const paths = [line.slice(2).join(':'), ''].map((path) => directoryOf(hierarchy, path === '/' ? '' : path));
    const file = paths.map((path) => `${path}/cgroup.procs`).find((path) => existsSync(nodePath(path)));
    if (file !== undefined) return fromBytePath(file);
  }
  return undefined;
}

function isOf({ version, controllers, isNamed }: Hierarchy, number: string | undefined, names: string[]): boolean {
  if (version === 2) return number === '0';
  return !isNamed && controllers.some((controller) => names.includes(controller === 'io' ? 'blkio' : controller));
}
