import type { CommandGroup } from '../command-group.js';

/** What goes on in containers. In the order of the help. */
export const WATCHING: CommandGroup = {
  logs: ['print what a container has printed', () => import('./logs.js')],
  stats: ['show what containers take', () => import('./stats.js')],
  top: ['list the processes of a container', () => import('./top.js')],
  leases: ['show who has processors and devices for himself', () => import('./leases.js')],
  pool: ['show the pools of containers that are ready before they are asked for', () => import('./pool.js')],
  events: ['show what happens to containers', () => import('./events.js')],
};
