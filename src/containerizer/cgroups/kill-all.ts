import type { BytePath } from '../../system/syscalls/byte-path.js';
import { toBytePath } from '../../system/syscalls/byte-path.js';
import { readCgroupFile, withAllBelow, writeIfThere } from './cgroup-files.js';

/**
 * Sends a signal to one process, and does nothing where that has gone.
 * @param isStill whether the process with this number is in the cgroup now. Numbers are given again: who opens a pidfd first, then asks this, then signals the pidfd,
 *   can hit no other process.
 */
export type SendSignal = (pid: number, signal: NodeJS.Signals, isStill: () => boolean) => void;

/** A live cgroup, with what of it a kill makes use of. */
export interface KillTarget {
  /** Absolute, as `linux.cgroupsPath` has it. */
  readonly cgroupsPath: BytePath;
  /** In each hierarchy. */
  readonly directories: readonly BytePath[];
  /** The one of version 2, where there is no other hierarchy. */
  readonly onlyVersion2: BytePath | undefined;
  /** Where `pids.max` is. */
  readonly pids: BytePath | undefined;
  /** Without waiting; nothing where there is no freezer. */
  freeze(frozen: boolean): void;
  readonly sendSignal: SendSignal;
  /** Stands for `/`. */
  readonly root: string;
}

export interface KillReport {
  /** How many processes the signal was sent to. */
  readonly signalled: number;
  /** False when new ones kept coming. After `SIGKILL` that is so only where nothing keeps them from it, neither freezer nor `pids.max`. */
  readonly settled: boolean;
}

/** More than enough for those that come while the list is read; with forks kept off, two do. */
const MOST_ROUNDS = 100;

/** Zero stands for processes that this PID namespace cannot see, and to signal zero is to signal oneself and all of one's group. @returns ascending */
export function processesIn(directories: readonly BytePath[]): number[] {
  const pids = new Set<number>();
  for (const directory of directories) {
    for (const each of withAllBelow(directory)) {
      for (const line of (readCgroupFile(`${each}/cgroup.procs`) ?? '').split('\n'))
        if (line !== '') pids.add(Number(line));
    }
  }
  pids.delete(0);
  pids.delete(process.pid);
  return [...pids].sort((one, other) => one - other);
}

/**
 * Signals every process of a cgroup and of those below it, and thaws it.
 *
 * A program that forks without end is ahead of anybody who reads a list and signals what is on it. So when those that are there have been sent `SIGKILL`, nothing new may begin any more,
 * and what has begun meanwhile is sent it too:
 *
 *   version 2 alone    the kernel does it all: `cgroup.kill` (Linux 5.14), which no fork escapes and which kills what is frozen
 *   pids controller    `pids.max` becomes 0, and stays so: each fork fails from then on, whatever state a process is in, without waiting for anything
 *   freezer            where there is no pids controller: what is frozen cannot fork, and dies of what it was sent as soon as it is thawed
 */
export function killAll(target: KillTarget, signal: NodeJS.Signals): KillReport {
  const { directories, onlyVersion2, pids, freeze } = target;
  if (signal === 'SIGKILL' && onlyVersion2 !== undefined) {
    const signalled = processesIn(directories).length;
    if (tryWrite(`${onlyVersion2}/cgroup.kill`, '1')) return { signalled, settled: true };
  }
  const known = new Set<number>();
  if (signal === 'SIGKILL') {
    // Whoever is there now dies of the signal: a shell that cannot fork any more would end by itself, with a code that its program never gave.
    signalFound(target, signal, known);
    if (!(pids !== undefined && tryWrite(`${pids}/pids.max`, '0'))) tryFreeze(target);
  }
  signalNew(target, signal, known);
  // What is frozen dies only when it may go on.
  freeze(false);
  const settled = signalNew(target, signal, known);
  return { signalled: known.size, settled };
}

/** Rounds until there is none that was not there in the one before. */
function signalNew(target: KillTarget, signal: NodeJS.Signals, known: Set<number>): boolean {
  for (let round = 0; round < MOST_ROUNDS; round++) if (signalFound(target, signal, known) === 0) return true;
  return false;
}

/** @returns how many were not known */
function signalFound(target: KillTarget, signal: NodeJS.Signals, known: Set<number>): number {
  const found = processesIn(target.directories).filter((pid) => !known.has(pid));
  for (const pid of found) {
    known.add(pid);
    target.sendSignal(pid, signal, () => isIn(pid, target));
  }
  return found.length;
}

/** A process is in the same path in every hierarchy that has it, below what this process sees as the root. @see cgroups(7), /proc/pid/cgroup */
function isIn(pid: number, { cgroupsPath, root }: KillTarget): boolean {
  const text = readQuietly(`${toBytePath(root)}/proc/${pid}/cgroup`);
  return text.split('\n').some((line) => `${line}/`.includes(`${cgroupsPath}/`));
}

function readQuietly(file: BytePath): string {
  try {
    return readCgroupFile(file) ?? '';
  } catch {
    return '';
  }
}

/** What cannot be frozen can be killed all the same. */
function tryFreeze({ freeze }: KillTarget): void {
  try {
    freeze(true);
  } catch {
    // The rounds have an end.
  }
}

/** False also where it may not be written, or the kernel does not take it: there is another way. */
function tryWrite(file: BytePath, text: string): boolean {
  try {
    return writeIfThere(file, text);
  } catch {
    return false;
  }
}
