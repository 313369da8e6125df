import { readFileSync, readlinkSync } from 'node:fs';

/**
 * Whether a process has been stopped, by a signal or by a debugger. For people only: whether it lives is not asked here, and a container that is frozen as a
 * whole does not show. @param pid as this process's PID namespace numbers it @see proc(5), /proc/pid/stat
 */
export function isStopped(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name before it may have anything in it, brackets too.
    return /^ [Tt] /.test(stat.slice(stat.lastIndexOf(')') + 1));
  } catch {
    return false;
  }
}

/** Names the PID namespace of this process; empty where there is none. @see pid_namespaces(7) */
export function pidNamespace(): string {
  try {
    return readlinkSync('/proc/self/ns/pid');
  } catch {
    return '';
  }
}
