import { type BigIntStats, readFileSync } from 'node:fs';
import { splitDevice } from './syscalls.js';

/** A lock that a process holds on a file, as the kernel tells it. */
export interface TableLock {
  /** As this process's PID namespace numbers it. */
  readonly pid: number;
  readonly kind: 'shared' | 'exclusive';
}

/**
 * The locks on one file, those of other processes too. None where the system hides them, or where its file system shows another device than it has; those of processes
 * that this PID namespace does not see are left out.
 * @param made by flock(2), or by fcntl(2) for the whole process @see proc(5), /proc/locks
 */
export function locksOn({ dev, ino }: Pick<BigIntStats, 'dev' | 'ino'>, made: 'FLOCK' | 'POSIX'): TableLock[] {
  const { major, minor } = splitDevice(dev);
  const hex = (number: number) => number.toString(16).padStart(2, '0');
  const file = `${hex(major)}:${hex(minor)}:${ino}`;
  return lockTable()
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[1] === made && fields[5] === file)
    .map((fields) => ({ pid: Number(fields[4]), kind: fields[3] === 'WRITE' ? 'exclusive' : 'shared' }) as const)
    .filter(({ pid }) => pid > 0);
}

/** Empty where the system hides it. */
function lockTable(): string {
  try {
    return readFileSync('/proc/locks', 'latin1');
  } catch {
    return '';
  }
}
