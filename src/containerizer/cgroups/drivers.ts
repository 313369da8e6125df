import type { FreezerFiles } from './freezer-files.js';
import type { LimitFiles } from './limits/limit-files.js';
import type { UsageFiles } from './usage-files.js';
import { freezerV1 } from './v1/freezer.js';
import { limitFilesV1 } from './v1/limits.js';
import { usageV1 } from './v1/usage.js';
import { freezerV2 } from './v2/freezer.js';
import { limitFilesV2 } from './v2/limits.js';
import { usageV2 } from './v2/usage.js';

/** What the files of a cgroup are called and mean, which is all that the versions differ in. */
export interface CgroupDriver {
  readonly usage: UsageFiles;
  readonly limits: LimitFiles;
  readonly freezer: FreezerFiles;
}

export const DRIVERS: Readonly<Record<1 | 2, CgroupDriver>> = {
  1: { usage: usageV1, limits: limitFilesV1, freezer: freezerV1 },
  2: { usage: usageV2, limits: limitFilesV2, freezer: freezerV2 },
};
