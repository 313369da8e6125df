import type { BytePath } from '../../system/syscalls/byte-path.js';
import type { FreezerFiles } from './freezer-files.js';
import { PAUSES_MS } from './pauses.js';

/**
 * Asks a cgroup to stand still, or to go on, and again until it does: in version 1 the kernel tries those that it could not stop anew only when it is asked.
 * Without a pause when it does so at once, as most do.
 * @param pause waits @returns `gone` where there is no such cgroup, or not any more; `late` after two seconds, and then all are asked to go on
 */
export async function settleFreezer(
  freezer: FreezerFiles,
  directory: BytePath,
  frozen: boolean,
  pause: (milliseconds: number) => Promise<void>,
): Promise<'settled' | 'gone' | 'late'> {
  for (const milliseconds of PAUSES_MS) {
    if (!freezer.ask(directory, frozen)) return 'gone';
    const state = freezer.state(directory);
    if (state === undefined) return 'gone';
    if (state === (frozen ? 'frozen' : 'thawed')) return 'settled';
    await pause(milliseconds);
  }
  freezer.ask(directory, false);
  return 'late';
}
