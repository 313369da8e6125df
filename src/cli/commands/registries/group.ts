import type { CommandGroup } from '../command-group.js';

/** Who we are to registries. In the order of the help. */
export const REGISTRIES: CommandGroup = {
  login: ['log in to a registry', () => import('./login.js')],
  logout: ['forget the login to a registry', () => import('./logout.js')],
};
