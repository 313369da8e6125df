import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';

/**
 * Names one life of one process, so that a record left by a dead process is told from one of a living process that got
 * the same pid; and within it one provisioner, since several may work on one store:
 * `<pid>:<start time>:<boot id>:<provisioner>`. Start time is in clock ticks since boot; it and the boot id are empty where
 * the system has no /proc.
 */
export type ProcessIdentity = string & { readonly processIdentity?: never };

/** A new provisioner in this process. */
export function newIdentity(): ProcessIdentity {
  return `${process.pid}:${startTime(process.pid) ?? ''}:${bootId()}:${randomBytes(4).toString('hex')}`;
}

/** False once the process has ended, whoever has its pid now. */
export function isAlive(identity: ProcessIdentity): boolean {
  const [pidText = '', start = '', boot = ''] = identity.split(':');
  const pid = Number(pidText);
  if (!Number.isSafeInteger(pid) || pid <= 0 || boot !== bootId()) return false;
  if (start !== '') return startTime(pid) === start;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it lives, and belongs to somebody else.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** What is tried out or put together for some milliseconds. */
export const PROBE = 'probe';

/**
 * Begins the name of what a process makes for a moment in a directory of the store, so that whoever tidies there can tell whether it is still at
 * it. @param kind without an underscore
 */
export function transientName(kind: string): string {
  return `${kind}_${newIdentity().replaceAll(':', '_')}-`;
}

/** @param name begins with a `transientName` of this kind */
export function isMakerAlive(name: string, kind: string): boolean {
  const [begin, ...identity] = name.split('_');
  return begin === kind && isAlive(identity.join(':'));
}

/** Field 22 of /proc/<pid>/stat; undefined for a dead process, a zombie, or without /proc. @see proc(5) */
function startTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The command name, field 2, may hold spaces and parentheses: count from the last one.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const state = fields[0];
    return state === 'Z' || state === 'X' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

let boot: string | undefined;

function bootId(): string {
  if (boot === undefined) {
    try {
      boot = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
    } catch {
      boot = '';
    }
  }
  return boot;
}
