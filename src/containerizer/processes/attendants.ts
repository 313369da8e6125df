import { readdirSync, readlinkSync } from 'node:fs';
import { hasOpen } from '../../system/syscalls/process-state.js';

/**
 * Those who may hold the lock of a launch, since they have its file `alive` open: its monitor, or whoever starts it. The kernel tells of such a lock that it is held, and not by whom, so that
 * all processes are looked at, which takes some milliseconds.
 */
export function attendantsOf(launchId: string): number[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.map(Number).filter((pid) => hasOpen(pid, `${launchId}/alive`));
}

/** Whether a process is the monitor of a launch: it is at it, and works in its directory, as nobody else does. */
export function isMonitorOf(pid: number, launchId: string): boolean {
  return hasOpen(pid, `${launchId}/alive`) && workingDirectory(pid).endsWith(`/${launchId}`);
}

function workingDirectory(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    // It has ended meanwhile.
    return '';
  }
}
