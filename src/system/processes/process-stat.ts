import { readFileSync } from 'node:fs';

export interface ProcessStat {
  /** One letter: `R` running, `S` sleeping, `D` waiting for a device and not to be killed, `T` stopped, `Z` ended and not waited for, … */
  readonly state: string;
  readonly parent: number;
  readonly session: number;
  /** When it was started, in ticks of the kernel since the machine was: together with the boot id and the pid it names a process for good. */
  readonly startTicks: bigint;
  /** It is a copy of its parent still, and has executed nothing. */
  readonly isBeforeExecution: boolean;
}

/**
 * What the kernel says of a process.
 * @param pid as this process's PID namespace numbers it @returns undefined when there is no such process, or no /proc @see proc(5), /proc/pid/stat
 */
export function processStat(pid: number): ProcessStat | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name before it may have anything in it, brackets and spaces too. From here on the state, the third field, is the first.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const [state = '', parent = '', , session = ''] = fields;
    const startTicks = fields[START_TIME];
    if (startTicks === undefined) return undefined;
    const isBeforeExecution = (Number(fields[FLAGS]) & PF_FORKNOEXEC) !== 0;
    return {
      state,
      parent: Number(parent),
      session: Number(session),
      startTicks: BigInt(startTicks),
      isBeforeExecution,
    };
  } catch {
    return undefined;
  }
}

/** The ninth field, and one of its bits. @see the kernel's include/linux/sched.h */
const FLAGS = 9 - 3;
const PF_FORKNOEXEC = 0x40;
/** The 22nd field. */
const START_TIME = 22 - 3;
