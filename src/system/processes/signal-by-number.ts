import { syscallError } from '../syscalls/syscalls.js';
import { processStat } from './process-stat.js';
import type { ProcessHandle } from './processes.js';

/** @throws `EINVAL`: kill(2) takes 0 and what is below for groups of processes, and -1 for all there are; 1 is the init of this machine, or of this container */
export function requirePid(pid: number): void {
  if (!Number.isInteger(pid) || pid <= 1) throw syscallError('EINVAL', 'kill');
}

/** Whether the process is the one that was started then, and has not ended. */
export function livesSince(pid: number, startTicks: bigint): boolean {
  const stat = processStat(pid);
  return stat !== undefined && stat.startTicks === startTicks && stat.state !== 'Z' && stat.state !== 'X';
}

/**
 * Holds a process by its number, and looks at its start time before each signal. Between that look and the signal it may end and another one get its number, which
 * takes that all numbers have been given away meanwhile.
 * @param kill throws `ESRCH` when there is no such process @returns undefined when there is none, or another one
 */
export function handleByNumber(
  pid: number,
  startTicks: bigint | undefined,
  kill: (pid: number, signal: number) => void,
): ProcessHandle | undefined {
  const found = processStat(pid)?.startTicks;
  if (found === undefined || (startTicks !== undefined && startTicks !== found)) return undefined;
  return {
    pid,
    send(signal) {
      if (processStat(pid)?.startTicks !== found) return false;
      try {
        kill(pid, signal);
        return true;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
        throw error;
      }
    },
    hasEnded: () => !livesSince(pid, found),
    close() {},
  };
}
