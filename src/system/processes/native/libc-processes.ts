import { koffi } from '../../koffi.js';
// Judges the machine: 64-bit Linux, or it throws.
import '../../syscalls/native/libc/libc.js';

type Memory = Uint8Array | BigUint64Array | Int32Array;

const libc = koffi.load(null);

/** Those that are newer than others: whoever loads this finds out what is missing. glibc 2.34; musl lacks the first. */
const rawAddCloseFrom = libc.func('int posix_spawn_file_actions_addclosefrom_np(void *, int)');
const rawAddChdir = libc.func('int posix_spawn_file_actions_addchdir_np(void *, const char *)');

// They return the number of the error, and leave `errno` alone. @see posix_spawn(3)
export const posixSpawn = libc.func(
  'int posix_spawn(void *, const char *, const void *, const void *, const void *, const void *)',
) as (
  pid: Int32Array,
  program: string,
  actions: Uint8Array,
  attributes: Uint8Array,
  texts: BigUint64Array,
  variables: BigUint64Array,
) => number;
export const actionsInit = libc.func('int posix_spawn_file_actions_init(void *)') as (actions: Memory) => number;
export const actionsDestroy = libc.func('int posix_spawn_file_actions_destroy(void *)') as (actions: Memory) => number;
export const addDup2 = libc.func('int posix_spawn_file_actions_adddup2(void *, int, int)') as (
  actions: Memory,
  source: number,
  target: number,
) => number;
export const addOpen = libc.func('int posix_spawn_file_actions_addopen(void *, int, const char *, int, uint)') as (
  actions: Memory,
  target: number,
  path: string,
  flags: number,
  mode: number,
) => number;
export const addCloseFrom = rawAddCloseFrom as (actions: Memory, first: number) => number;
export const addChdir = rawAddChdir as (actions: Memory, directory: string) => number;
export const attributesInit = libc.func('int posix_spawnattr_init(void *)') as (attributes: Memory) => number;
export const attributesDestroy = libc.func('int posix_spawnattr_destroy(void *)') as (attributes: Memory) => number;
export const setFlags = libc.func('int posix_spawnattr_setflags(void *, short)') as (
  attributes: Memory,
  flags: number,
) => number;
export const setSignalMask = libc.func('int posix_spawnattr_setsigmask(void *, const void *)') as (
  attributes: Memory,
  set: Memory,
) => number;
export const setSignalDefaults = libc.func('int posix_spawnattr_setsigdefault(void *, const void *)') as (
  attributes: Memory,
  set: Memory,
) => number;

// They leave the number of the error in `errno`.
export const waitid = libc.func('int waitid(int, uint, void *, int)') as (
  kind: number,
  id: number,
  info: Memory,
  options: number,
) => number;
export const kill = libc.func('int kill(int, int)') as (pid: number, signal: number) => number;
export const pipe2 = libc.func('int pipe2(void *, int)') as (ends: Int32Array, flags: number) => number;
export const poll = libc.func('int poll(void *, ulong, int)') as (
  waits: Memory,
  count: number,
  milliseconds: number,
) => number;
export const addSeals = libc.func('int fcntl(int, int, long)') as (
  descriptor: number,
  command: number,
  seals: number,
) => number;

/** Newer calls by number, which is the same on every architecture, because older C libraries do not wrap them. @see pidfd_open(2), pidfd_send_signal(2) */
const PIDFD_OPEN = 434;
const PIDFD_SEND_SIGNAL = 424;
const rawPidfdOpen = libc.func('long syscall(long, int, uint)');
const rawPidfdSendSignal = libc.func('long syscall(long, int, int, void *, uint)');
export const pidfdOpen = (pid: number): number =>
  (rawPidfdOpen as (...values: unknown[]) => number)(PIDFD_OPEN, pid, 0);
export const pidfdSendSignal = (pidfd: number, signal: number): number =>
  (rawPidfdSendSignal as (...values: unknown[]) => number)(PIDFD_SEND_SIGNAL, pidfd, signal, null, 0);
