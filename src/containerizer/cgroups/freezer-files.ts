import type { BytePath } from '../../system/syscalls/byte-path.js';

/**
 *   thawed ──ask(true)──► freezing ──the last process has come to a stand──► frozen
 *     ▲                      │                                                 │
 *     └──────ask(false)──────┴──────────────────ask(false)────────────────────┘
 */
export type FreezerState = 'thawed' | 'freezing' | 'frozen';

/** How a cgroup, with all below it, is frozen in either version. */
export interface FreezerFiles {
  /** @returns false where the cgroup is not there */
  ask(directory: BytePath, frozen: boolean): boolean;
  /** @returns undefined where the cgroup is not there */
  state(directory: BytePath): FreezerState | undefined;
}
