import { type BytePath, fromBytePath, toBytePath } from '../../system/syscalls/byte-path.js';
import { readCgroupFile } from './cgroup-files.js';

/** A process as the kernel sees it, for people: why a container does not end. */
export interface ProcessState {
  readonly pid: number;
  /** `R` runs, `S` sleeps, `D` waits for a device or a file system and cannot be killed until that answers, `Z` has ended and nobody has asked how, `T` is stopped; others in proc(5). */
  readonly state: string;
  /** The first 15 bytes of the program's name, or what the program calls itself. */
  readonly command: string;
}

/**
 * Of processes that still are. Only `stat` is read: for the arguments of a process (`cmdline`) the kernel waits for its memory, and whoever reads those of one in
 * state `D` may never come back. @see proc(5), /proc/pid/stat
 * @param pids as this process's PID namespace numbers them @param root stands for `/`
 */
export function processStates(pids: readonly number[], root = ''): ProcessState[] {
  return pids.flatMap((pid) => stateOf(pid, toBytePath(root)) ?? []);
}

function stateOf(pid: number, root: BytePath): ProcessState | undefined {
  const text = readStat(`${root}/proc/${pid}/stat`);
  // A name may have brackets, spaces and line feeds in it.
  const [begin, end] = [text.indexOf('('), text.lastIndexOf(')')];
  const [, state] = /^ (\S) /.exec(text.slice(end + 1)) ?? [];
  if (begin < 0 || state === undefined) return undefined;
  return { pid, state, command: fromBytePath(text.slice(begin + 1, end)) };
}

/** Empty for a process that has gone, also in the middle of it (`ESRCH`). */
function readStat(file: BytePath): string {
  try {
    return readCgroupFile(file) ?? '';
  } catch {
    return '';
  }
}

/** In one line, for messages and details: `4711 D dd`. */
export function printStates(states: readonly ProcessState[]): string[] {
  return states.map(({ pid, state, command }) => `${pid} ${state} ${command}`);
}
