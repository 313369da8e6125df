/**
 * Starting, waiting for and signalling processes. `native` does it through koffi with posix_spawn(3): Node's `child_process` forks, which stops the event loop for as
 * long as the kernel takes to copy the tables of this process's memory, 64 ms with 1 GB of heap, and 0.3 ms this way, whatever the heap. `native-free` does it with
 * `child_process`. Load either with `loadProcesses` of `load-processes.ts`.
 *
 * | | native | native-free |
 * |---|---|---|
 * | stops the event loop, until the kernel has loaded the program | 0.3 ms | 1 ms, and 60 ms more with each GB of heap |
 * | descriptors that are not asked for | closed | closed, but for those that somebody has opened without close-on-exec |
 * | `sealedCopy` | yes | no: undefined |
 * | a program without `#!` that is none for this machine | `ENOEXEC` | run by a shell |
 * | the end by a real-time signal | told | taken for exit code 0, as Node tells it |
 * | a process that ends between the look at its start time and the signal | never another one is hit | another one may be, if it has got the number by then |
 *
 * A failed call throws or rejects with an Error with `code` (`ENOENT`, …), `syscall` and `path`, like those of Node's `fs`. For one thread only, the one that stays:
 * what it has open is not closed with a thread that is ended.
 */
export interface Processes {
  readonly kind: 'native' | 'native-free';

  /**
   * Starts a program with all signals at their defaults and none blocked. The caller keeps the descriptors, and may close them when this has resolved; then the
   * program has been loaded, or has not and never will. Whoever starts one asks for its `exitOf`, or it stays a zombie.
   * @throws `ENOENT`, `EACCES`, `ENOEXEC`, … of the program; `ENOENT`, `ENOTDIR` or `EACCES` with the syscall `chdir` of the directory; `E2BIG`, when arguments and
   *   environment are too long, all in all or one of them; `EBADF` for a descriptor that is not open; `EINVAL` for a text with a NUL in it, or a path that is not
   *   absolute; `EAGAIN`, `ENOMEM`, `EMFILE`, `ENFILE`, which are shortages (`isShortage`)
   */
  spawn(request: SpawnRequest): Promise<SpawnedProcess>;

  /**
   * How a process that `spawn` has started ended, once it has. To be asked for once: the kernel tells it once. Node's own children are not touched.
   * @throws `ECHILD` when there is no such child, or it has been told before; the reason of the signal
   */
  exitOf(pid: number, wait?: ExitWait): Promise<ProcessExit>;

  /** A pipe; both ends are closed in whatever is started, unless they are handed over. The caller closes them. @throws `EMFILE`, `ENFILE` */
  openPipe(): PipeEnds;

  /**
   * A copy of a program in memory that nobody can change any more, not even who runs it. Run as `/proc/self/fd/N`, which takes that the descriptor is handed over, or
   * as `/proc/PID/fd/N` with the PID of this process. crun and runc make such a copy of themselves each time they start, unless they are run from one.
   * @returns its descriptor, which the caller closes; undefined where the system has no such thing
   * @see memfd_create(2); fcntl(2), "File Sealing"
   */
  sealedCopy(program: string): number | undefined;

  /**
   * Takes hold of a process, child or not, so that signals reach that one and no other that gets its number later.
   * @param pid above 1: 0 and what is below are groups of processes, or all there are, and 1 is the init of this machine @param startTicks see `processStat`: another process is not taken for it
   * @returns undefined when there is no such process @throws `EINVAL` for a pid of 1 and less
   */
  open(pid: number, startTicks?: bigint): ProcessHandle | undefined;
}

export interface SpawnRequest {
  /** Absolute. */
  readonly program: string;
  /** Without the name of the program, which comes first by itself. */
  readonly args: readonly string[];
  /** All of it: nothing is inherited. */
  readonly env: Readonly<Record<string, string>>;
  /** Absolute. Default: that of this process. */
  readonly directory?: string | undefined;
  /** What it finds open as 0, 1, 2, …: descriptors of this process, in any order and more than once, or the null device. All above the last are closed; up to 2 the rest is the null device. Default: none. */
  readonly descriptors?: readonly (number | 'null')[] | undefined;
  /** It leads a session of its own, and so gets no signals of this one's terminal. Default: true. */
  readonly newSession?: boolean | undefined;
}

export interface SpawnedProcess {
  readonly pid: number;
}

export interface ExitWait {
  /**
   * Resolves when it ends or shortly before: such as the closing of a pipe that it alone holds. Then the end is told within a millisecond or two; while this is
   * pending there is a look every second, in case somebody else holds that pipe. Default: there are looks with growing pauses, up to 20 ms.
   */
  readonly ended?: Promise<unknown> | undefined;
  /** From when this aborts on nobody is in a hurry any more: there is a look every second, and this process does not stay for it. */
  readonly idle?: AbortSignal | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Either its exit code, or the number of the signal that ended it. @see signal(7) */
export type ProcessExit =
  | { readonly code: number; readonly signal?: undefined }
  | { readonly signal: number; readonly code?: undefined };

export interface PipeEnds {
  readonly readEnd: number;
  readonly writeEnd: number;
}

export interface ProcessHandle {
  readonly pid: number;
  /** @param signal its number @returns false when the process has ended, and been waited for @throws `EPERM`; `EINVAL` for a number that is no signal */
  send(signal: number): boolean;
  /** Also when nobody has waited for it yet. */
  hasEnded(): boolean;
  close(): void;
}
