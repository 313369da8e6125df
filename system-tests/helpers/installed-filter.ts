import { koffi } from '#src/system/koffi.js';

const PTRACE_ATTACH = 16;
const PTRACE_DETACH = 17;
const PTRACE_SECCOMP_GET_FILTER = 0x420c;
const WALL = 0x40000000;

const libc = koffi.load(null);
const ptrace = libc.func('long ptrace(long, int, long, void *)') as (
  request: number,
  pid: number,
  address: number,
  data: Uint8Array | null,
) => number;
const waitpid = libc.func('int waitpid(int, void *, int)') as (
  pid: number,
  status: Int32Array,
  options: number,
) => number;

/** The program of the filter that a process was given last, as the kernel has it. For root. @see ptrace(2) */
export function installedFilter(pid: number): Buffer {
  const checked = (result: number, what: string): number => {
    if (result < 0) throw new Error(`${what} failed with error ${koffi.errno()}`);
    return result;
  };
  checked(ptrace(PTRACE_ATTACH, pid, 0, null), 'PTRACE_ATTACH');
  try {
    checked(waitpid(pid, new Int32Array(1), WALL), 'waitpid');
    const count = checked(ptrace(PTRACE_SECCOMP_GET_FILTER, pid, 0, null), 'PTRACE_SECCOMP_GET_FILTER');
    const program = Buffer.alloc(8 * count);
    checked(ptrace(PTRACE_SECCOMP_GET_FILTER, pid, 0, program), 'PTRACE_SECCOMP_GET_FILTER');
    return program;
  } finally {
    ptrace(PTRACE_DETACH, pid, 0, null);
  }
}
