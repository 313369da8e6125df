import { readCgroupFile, writeIfThere } from '../cgroup-files.js';
import type { FreezerFiles, FreezerState } from '../freezer-files.js';

const STATES: Readonly<Record<string, FreezerState>> = { THAWED: 'thawed', FREEZING: 'freezing', FROZEN: 'frozen' };

/**
 * Has to be asked again as long as it says FREEZING: what was in the middle of something that cannot be frozen is tried anew only then.
 * @see Linux, Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst
 */
export const freezerV1: FreezerFiles = {
  ask: (directory, frozen) => writeIfThere(`${directory}/freezer.state`, frozen ? 'FROZEN' : 'THAWED'),
  state: (directory) => STATES[readCgroupFile(`${directory}/freezer.state`)?.trim() ?? ''],
};
