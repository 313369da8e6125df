import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** The first signal is the lowest bit, and SIGKILL the ninth one. */
const SIGKILL_BIT = 1n << 8n;

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

/**
 * Whether a process has been sent SIGKILL and is there still: one that is frozen sees it when it goes on. False for one that is not there.
 * @param pid as this process's PID namespace numbers it @see proc(5), /proc/pid/status, ShdPnd and SigPnd: a bit for each signal that waits
 */
export function isKilled(pid: number | undefined): boolean {
  try {
    const waiting = readFileSync(`/proc/${pid ?? 'none'}/status`, 'latin1').matchAll(
      /^(?:SigPnd|ShdPnd):\t([0-9a-f]+)$/gm,
    );
    return [...waiting].some(([, mask]) => (BigInt(`0x${mask}`) & SIGKILL_BIT) !== 0n);
  } catch {
    return false;
  }
}

/**
 * Whether a process has a file of that name open, in whichever directory and mount namespace. False where that cannot be found out.
 * @param pid as this process's PID namespace numbers it @param name that no other file has @see proc(5), /proc/pid/fd
 */
export function hasOpen(pid: number, name: string): boolean {
  const directory = `/proc/${pid}/fd`;
  try {
    return readdirSync(directory).some((descriptor) => linkTarget(`${directory}/${descriptor}`).endsWith(`/${name}`));
  } catch {
    return false;
  }
}

/** Names the PID namespace of this process; empty where there is none. @see pid_namespaces(7) */
export function pidNamespace(): string {
  return linkTarget('/proc/self/ns/pid');
}

/** Empty for one that is not there, or not any more. */
function linkTarget(link: string): string {
  try {
    return readlinkSync(link);
  } catch {
    return '';
  }
}
