import type { CommandGroup } from '../command-group.js';

/** Root filesystems, made and taken apart. In the order of the help. */
export const CONTAINERS: CommandGroup = {
  provision: ['make a root filesystem for a container', () => import('./provision.js')],
  fork: ['make a container that begins as what another one is', () => import('./fork.js')],
  destroy: ['remove containers', () => import('./destroy.js')],
  ps: ['list the containers', () => import('./ps.js')],
  recover: ['put the store right after a crash or a reboot', () => import('./recover.js')],
};
