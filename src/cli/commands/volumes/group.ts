import type { CommandGroup } from '../command-group.js';

/** What outlives containers. In the order of the help. */
export const VOLUMES: CommandGroup = {
  volume: ['make, list, look at and remove volumes', () => import('./volume.js')],
};
