import type { CommandGroup } from '../command-group.js';

/** What connects containers. In the order of the help. */
export const NETWORKS: CommandGroup = {
  network: ['make, list, look at and remove networks', () => import('./network.js')],
  port: ['show the ports of this machine that lead to a container', () => import('./port.js')],
};
