import { readFileSync } from 'node:fs';
import { loadTreeCalls } from '../../system/syscalls/load-tree-calls.js';
import type { Syscalls } from '../../system/syscalls/syscalls.js';
import { userNames } from '../bundle/rootfs/resolve-user.js';
import { RootfsView } from '../bundle/rootfs/rootfs-view.js';
import type { RuntimeSpecConfig } from '../bundle/runtime-spec.js';
import type { LaunchDirectory } from '../launches/kept/launch-directory.js';

/** Names of users by their numbers, as the root filesystem of a container has them; none where they cannot be read. */
export function usersInside({ config }: LaunchDirectory, syscalls: Syscalls): ReadonlyMap<number, string> {
  try {
    const { root } = JSON.parse(readFileSync(config, 'utf8')) as RuntimeSpecConfig;
    const view = new RootfsView(loadTreeCalls(syscalls), root.path);
    try {
      return userNames(view);
    } finally {
      view.close();
    }
  } catch {
    return new Map();
  }
}
