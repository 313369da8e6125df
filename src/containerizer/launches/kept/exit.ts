/** Why a program ended, or what is known of it. */
export type ExitReason =
  | 'exited'
  | 'killed'
  | 'oom'
  | 'time-limit'
  | 'log-limit'
  | 'disk-limit'
  | 'start-failed'
  | 'forked'
  | 'monitor-lost'
  | 'lost-by-reboot'
  | 'unknown';

/** How a program ended. Times are milliseconds since the epoch. What nobody knows is not there: a code that is not known is never 0. */
export interface Exit {
  /** 0 to 255, where it ended by itself. */
  readonly code?: number | undefined;
  /** The number of the signal that ended it. */
  readonly signal?: number | undefined;
  readonly reason: ExitReason;
  /** Processes of the container that the kernel killed for want of memory, this program or others. */
  readonly oomKills: number;
  /** Bytes; undefined where the kernel does not count it. */
  readonly peakMemory?: number | undefined;
  /** Nanoseconds of all its processes. */
  readonly cpuTime?: number | undefined;
  readonly startedAt?: number | undefined;
  readonly finishedAt?: number | undefined;
}

/** What the monitor wrote at the end. */
export interface ExitFile {
  /** As waitpid(2) gives it. */
  readonly status: number;
  /** What the monitor ended it for, or was about to when it ended by itself. */
  readonly by: 'time-limit' | 'log-limit' | undefined;
  readonly oomKills: number | undefined;
  readonly peakMemory: number | undefined;
  readonly cpuTime: number | undefined;
  readonly finishedAt: number;
}

const KILLED_BY = /^(?:time-limit|log-limit)$/;

/** @returns undefined for a text that no monitor wrote whole */
export function parseExitFile(text: string): ExitFile | undefined {
  const values = new Map(text.split('\n').map((line) => line.split(' ', 2) as [string, string]));
  const number = (name: string) => {
    const value = values.get(name);
    return value !== undefined && /^\d+(?:\.\d+)?$/.test(value) ? Number(value) : undefined;
  };
  const status = number('status');
  const finished = number('finished');
  if (status === undefined || finished === undefined) return undefined;
  const by = values.get('by') ?? '';
  const microseconds = number('cpu-microseconds');
  return {
    status,
    by: KILLED_BY.test(by) ? (by as ExitFile['by']) : undefined,
    oomKills: number('oom'),
    peakMemory: number('peak'),
    cpuTime: number('cpu') ?? (microseconds === undefined ? undefined : microseconds * 1000),
    finishedAt: Math.round(finished * 1000),
  };
}

/** @param isOverDisk it was to be killed for its limit of disk space @see wait(2), "WIFEXITED" */
export function exitOf(file: ExitFile, startedAt: number | undefined, isOverDisk = false): Exit {
  const signal = file.status & 0x7f;
  const code = (file.status >> 8) & 0xff;
  const oomKills = file.oomKills ?? 0;
  return {
    ...(signal === 0 ? { code } : { signal }),
    reason: file.by ?? (isOverDisk && signal === SIGKILL ? 'disk-limit' : reasonOf(signal, oomKills)),
    oomKills,
    peakMemory: file.peakMemory,
    cpuTime: file.cpuTime,
    startedAt,
    finishedAt: file.finishedAt,
  };
}

/** Of a program that was killed where the kernel killed something for want of memory. 137 alone is a kill, not a want of memory. */
function reasonOf(signal: number, oomKills: number): ExitReason {
  if (signal === 0) return 'exited';
  return signal === SIGKILL && oomKills > 0 ? 'oom' : 'killed';
}

const SIGKILL = 9;

/** As `provisioner run` and `wait` tell it, and Docker: the code, 128 and the signal, or 125 where nobody knows. */
export function exitStatus(exit: Exit): number {
  if (exit.code !== undefined) return exit.code;
  return exit.signal === undefined ? 125 : 128 + exit.signal;
}
