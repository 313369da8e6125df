import { readCgroupFile, writeIfThere } from '../cgroup-files.js';
import type { FreezerFiles } from '../freezer-files.js';
import { numberOf } from '../numbers.js';

/** @see Linux, Documentation/admin-guide/cgroup-v2.rst, "cgroup.freeze" */
export const freezerV2: FreezerFiles = {
  ask: (directory, frozen) => writeIfThere(`${directory}/cgroup.freeze`, frozen ? '1' : '0'),
  state: (directory) => {
    const events = readCgroupFile(`${directory}/cgroup.events`);
    if (events === undefined) return undefined;
    if (numberOf(events, 'frozen') === 1) return 'frozen';
    return readCgroupFile(`${directory}/cgroup.freeze`)?.trim() === '1' ? 'freezing' : 'thawed';
  },
};
