import { closeSync, openSync, readSync } from 'node:fs';
import { processStat, TICKS_PER_SECOND } from '../../system/processes/process-stat.js';
import { readOrEmpty } from '../read-or-empty.js';

/** A process of a container, as it is just now. */
export interface ContainerProcess {
  /** As this machine numbers it. */
  readonly pid: number;
  /** As the container numbers it; undefined where the kernel does not tell. */
  readonly pidInside: number | undefined;
  /** Of the user who it runs as. */
  readonly uid: number;
  /** His name in the container's own `/etc/passwd`; undefined where he has none. */
  readonly user: string | undefined;
  /** `R` runs, `S` sleeps, `D` waits for a device or a file system, `Z` has ended and nobody has asked how, `T` is stopped; others in proc(5). */
  readonly state: string;
  /** Nanoseconds of processors that it has used. */
  readonly cpuTime: number;
  /** Milliseconds since it was started. */
  readonly elapsed: number;
  /** The first 15 bytes of its program's name, or what it calls itself. */
  readonly name: string;
  /** Its program and the arguments, of which the first 4 KiB are told; empty for one that has ended, or waits for a device: whoever asks such a one for them may wait with it. */
  readonly command: readonly string[];
}

const COMMAND_SHOWN = 4096;
const NANOSECONDS_PER_TICK = 1e9 / TICKS_PER_SECOND;

/**
 * What the kernel says of processes. One that has ended meanwhile is none of them, and neither is what has got its number since.
 * @param pids which there are, looked up anew each time @param users names by number @param root stands for `/` @see proc(5)
 */
export function readProcesses(
  pids: () => readonly number[],
  users: ReadonlyMap<number, string>,
  root = '',
): ContainerProcess[] {
  const uptime = Number(readOrEmpty(`${root}/proc/uptime`).split(' ')[0]);
  const found = pids().flatMap((pid) => readProcess(pid, users, uptime, root) ?? []);
  const still = new Set(pids());
  return found.filter(({ pid }) => still.has(pid)).sort((one, other) => numberOf(one) - numberOf(other));
}

const numberOf = ({ pid, pidInside }: ContainerProcess) => pidInside ?? pid;

function readProcess(
  pid: number,
  users: ReadonlyMap<number, string>,
  uptime: number,
  root: string,
): ContainerProcess | undefined {
  const stat = processStat(pid, root);
  const status = readOrEmpty(`${root}/proc/${pid}/status`);
  const uid = /^Uid:\t\d+\t(\d+)/m.exec(status)?.[1];
  if (stat === undefined || uid === undefined) return undefined;
  const inside = /^NSpid:.*\t(\d+)$/m.exec(status)?.[1];
  const { name, state, cpuTicks, startTicks } = stat;
  return {
    pid,
    pidInside: inside === undefined ? undefined : Number(inside),
    uid: Number(uid),
    user: users.get(Number(uid)),
    state,
    cpuTime: Number(cpuTicks) * NANOSECONDS_PER_TICK,
    elapsed: Math.max(0, Math.round((uptime - Number(startTicks) / TICKS_PER_SECOND) * 1000)),
    name,
    command: state === 'D' || state === 'Z' ? [] : commandOf(`${root}/proc/${pid}/cmdline`),
  };
}

/** As the process has it in its memory, where it may have put something else. */
function commandOf(file: string): string[] {
  let descriptor: number | undefined;
  try {
    descriptor = openSync(file, 'r');
    const bytes = Buffer.alloc(COMMAND_SHOWN);
    const text = bytes.toString('utf8', 0, readSync(descriptor, bytes, 0, COMMAND_SHOWN, 0));
    // What ends a word stands behind the last one too, unless it was cut, or the process has written over it.
    return text === '' ? [] : text.replace(/\0+$/, '').split('\0');
  } catch {
    return [];
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}
