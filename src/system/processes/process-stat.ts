import { readFileSync } from 'node:fs';

export interface ProcessStat {
  /** The first 15 bytes of its program's name, or what it calls itself: anything. */
  readonly name: string;
  /** One letter: `R` running, `S` sleeping, `D` waiting for a device and not to be killed, `T` stopped, `Z` ended and not waited for, … */
  readonly state: string;
  readonly parent: number;
  readonly session: number;
  /** Time of processors that it has used, in ticks of the kernel; what it has waited for is not in it. */
  readonly cpuTicks: bigint;
  /** When it was started, in ticks of the kernel since the machine was: together with the boot id and the pid it names a process for good. */
  readonly startTicks: bigint;
  /** It is a copy of its parent still, and has executed nothing. */
  readonly isBeforeExecution: boolean;
  /**
   * It runs nothing any more, and is on its way out. The first process of a PID namespace stays so until all others in it have been waited for, by
   * whoever started them: that may take as long as it likes.
   */
  readonly isExiting: boolean;
}

/**
 * What the kernel says of a process.
 * @param pid as this process's PID namespace numbers it @param root stands for `/` @returns undefined when there is no such process, or no /proc @see proc(5), /proc/pid/stat
 */
export function processStat(pid: number, root = ''): ProcessStat | undefined {
  try {
    const stat = readFileSync(`${root}/proc/${pid}/stat`);
    // The name before it may have anything in it, brackets and spaces too. From here on the state, the third field, is the first.
    const end = stat.lastIndexOf(')');
    const fields = stat.toString('latin1', end + 2).split(' ');
    const [state = '', parent = '', , session = ''] = fields;
    const startTicks = fields[START_TIME];
    if (startTicks === undefined) return undefined;
    const flags = Number(fields[FLAGS]);
    return {
      name: stat.toString('utf8', stat.indexOf('(') + 1, end),
      state,
      parent: Number(parent),
      session: Number(session),
      cpuTicks: BigInt(fields[USER_TIME] ?? 0) + BigInt(fields[SYSTEM_TIME] ?? 0),
      startTicks: BigInt(startTicks),
      isBeforeExecution: (flags & PF_FORKNOEXEC) !== 0,
      // The first thread of a program may end before the others: it is dead at once.
      isExiting: (flags & PF_EXITING) !== 0 && state !== 'Z',
    };
  } catch {
    return undefined;
  }
}

/** As programs see them, on all machines. @see the kernel's include/asm-generic/param.h, USER_HZ */
export const TICKS_PER_SECOND = 100;

/** The ninth field, and two of its bits. @see the kernel's include/linux/sched.h */
const FLAGS = 9 - 3;
const PF_EXITING = 0x4;
const PF_FORKNOEXEC = 0x40;
/** The 14th and the 15th. */
const USER_TIME = 14 - 3;
const SYSTEM_TIME = 15 - 3;
/** The 22nd field. */
const START_TIME = 22 - 3;
