import type { MonitorCounters } from '../monitor/monitor-settings.js';
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
  /** Names of the files that a monitor reads and writes by itself, by the controller whose directory they are in. */
  readonly monitored: {
    readonly memory: MonitoredFiles;
    readonly cpuacct: MonitoredFiles;
    readonly freezer: MonitoredFiles;
  };
}

type MonitoredFiles = { readonly [Name in keyof MonitorCounters]?: string };

export const DRIVERS: Readonly<Record<1 | 2, CgroupDriver>> = {
  1: {
    usage: usageV1,
    limits: limitFilesV1,
    freezer: freezerV1,
    monitored: {
      memory: { oomEvents: 'memory.oom_control', memoryPeak: 'memory.max_usage_in_bytes' },
      cpuacct: { cpuTime: 'cpuacct.usage' },
      freezer: { freezerState: 'freezer.state' },
    },
  },
  2: {
    usage: usageV2,
    limits: limitFilesV2,
    freezer: freezerV2,
    monitored: {
      memory: { oomEvents: 'memory.events', memoryPeak: 'memory.peak' },
      cpuacct: { cpuStat: 'cpu.stat' },
      freezer: { cgroupFreeze: 'cgroup.freeze' },
    },
  },
};
