import type { CommandGroup } from '../command-group.js';

/** What the store holds, why, and whether it is sound. In the order of the help. */
export const STORE: CommandGroup = {
  prune: ['remove images that nobody keeps, and layers that nobody needs', () => import('./prune.js')],
  why: ['tell what keeps an image or a layer', () => import('./why.js')],
  check: ['compare the store with its records, and heal it', () => import('./check.js')],
  df: ['show where the disk space goes', () => import('./df.js')],
  info: ['show the store and what works on it', () => import('./info.js')],
};
