import { arch } from 'node:os';
import { MONITOR_CALLS, SYSTEM_CALLS } from './system-calls.js';

/** What a monitor is told. Paths are absolute, or relative to the directory of the launch. */
export interface MonitorSettings {
  /** Shown in the list of processes. */
  readonly container: string;
  /** What is executed as the runtime. */
  readonly program: string;
  /** What the runtime is called, its first argument. */
  readonly runtime: string;
  readonly arguments: readonly string[];
  /** Mounts that the runtime must not see. */
  readonly hide: readonly string[];
  /** `cgroup.procs` of the cgroups that the monitor itself is to be in. */
  readonly join: readonly string[];
  /** Taken away at the end: what the runtime notes of it, and its cgroups. */
  readonly remove: readonly string[];
  /** A command and its arguments, executed at the end unless somebody watches. */
  readonly after: readonly string[];
  /** The runtime brings a terminal. Default: false. */
  readonly terminal?: boolean;
  /** There is a file `deadline`. */
  readonly timeLimit: boolean;
  /** Bytes of log that are kept at most; 0 for no limit. */
  readonly logLimit: number;
  /** The limit ends the program; else the older half goes. */
  readonly logEnds: boolean;
  /** Where the numbers of the end are read. */
  readonly counters: MonitorCounters;
}

/** Files of the container's cgroups; undefined where the kernel has none. */
export interface MonitorCounters {
  /** Has a line `oom_kill N`. */
  readonly oomEvents?: string | undefined;
  /** Bytes. */
  readonly memoryPeak?: string | undefined;
  /** Nanoseconds, of cgroup v1. */
  readonly cpuTime?: string | undefined;
  /** Has a line `usage_usec N`, of cgroup v2. */
  readonly cpuStat?: string | undefined;
  readonly freezerState?: string | undefined;
  readonly cgroupFreeze?: string | undefined;
}

/** Whether a monitor can be run on this architecture. */
export const monitorRunsHere = (architecture: string = arch()): boolean => architecture in SYSTEM_CALLS;

/** The text of the file `monitor`. */
export function monitorFile(settings: MonitorSettings, architecture: string = arch()): string {
  const { counters } = settings;
  const lines: (readonly [string, string | number | undefined])[] = [
    ['container', settings.container],
    ['program', settings.program],
    ['runtime', settings.runtime],
    ...MONITOR_CALLS.map((name) => [name, SYSTEM_CALLS[architecture]?.[name]] as const),
    ...named('argument', settings.arguments),
    ...named('hide', settings.hide),
    ...named('join', settings.join),
    ...named('remove', settings.remove),
    ...named('after', settings.after),
    ['terminal', settings.terminal ? 1 : undefined],
    ['time-limit', settings.timeLimit ? 1 : undefined],
    ['log-limit', settings.logLimit || undefined],
    ['log-end', settings.logEnds ? 1 : undefined],
    ['oom-events', counters.oomEvents],
    ['memory-peak', counters.memoryPeak],
    ['cpu-time', counters.cpuTime],
    ['cpu-stat', counters.cpuStat],
    ['freezer-state', counters.freezerState],
    ['cgroup-freeze', counters.cgroupFreeze],
  ];
  return lines.map(([name, value]) => (value === undefined ? '' : `${name} ${escaped(String(value))}\n`)).join('');
}

const named = (name: string, values: readonly string[]) => values.map((value) => [name, value] as const);

/** A value stays on its line. */
function escaped(value: string): string {
  return value.replace(
    /[%\n\r]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  );
}
