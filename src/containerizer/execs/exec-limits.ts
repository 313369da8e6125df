import { setTimeout as sleep } from 'node:timers/promises';
import { processStat } from '../../system/processes/process-stat.js';
import type { Processes, ProcessHandle } from '../../system/processes/processes.js';
import type { ExecOptions } from '../containerizer.js';
import { endFamily } from '../processes/end-family.js';
import { readOrEmpty } from '../read-or-empty.js';

/** Why a program was ended before its time. */
export type Stopped = 'time-limit' | 'aborted';

const SIGKILL = 9;
/** Milliseconds that a runtime has to tell how its program ended, when that has ended first and the limit comes in between. */
const TELLING = 1000;
/** Milliseconds between looks whether a program has been started. */
const STARTING = 5;

/**
 * Signals what an `exec` runs, and ends it when its time is over, or its caller gives up. What ends first counts: a program that has ended by itself was not ended by us. Who is signalled is held before: the runtime as long as nobody
 * has waited for it, and the program as a child of that runtime, since the number in the file may be anybody's when it has ended.
 */
export class ExecLimits {
  readonly #processes: Processes;
  readonly #runtime: ProcessHandle | undefined;
  readonly #pidFile: string;
  readonly #signal: AbortSignal | undefined;
  #timer: NodeJS.Timeout | undefined;
  #telling: NodeJS.Timeout | undefined;
  #stopped: Stopped | undefined;
  #isOver = false;

  /** @param runtimePid a child of this process that nobody has waited for @param pidFile where it notes whom it has started */
  constructor(
    processes: Processes,
    runtimePid: number,
    pidFile: string,
    { timeout, signal }: Pick<ExecOptions, 'timeout' | 'signal'>,
  ) {
    this.#processes = processes;
    this.#runtime = processes.open(runtimePid);
    this.#pidFile = pidFile;
    this.#signal = signal;
    if (timeout !== undefined) this.#timer = setTimeout(() => this.#stop('time-limit'), timeout);
    signal?.addEventListener('abort', this.#giveUp, { once: true });
    if (signal?.aborted) this.#giveUp();
  }

  /** Undefined for what ended by itself. */
  get stopped(): Stopped | undefined {
    return this.#stopped;
  }

  /** The runtime has ended: nobody is ended any more. Safe to repeat. */
  end(): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#telling);
    this.#signal?.removeEventListener('abort', this.#giveUp);
    this.#runtime?.close();
  }

  /** Sends a signal to the program, once it has been started. @returns false when it has ended */
  async kill(signal: number): Promise<boolean> {
    const runtime = this.#runtime;
    while (!this.#isOver && runtime !== undefined && !runtime.hasEnded()) {
      const pid = Number(readOrEmpty(this.#pidFile));
      const program = pid > 1 ? this.#programOf(runtime, pid) : undefined;
      try {
        if (program !== undefined) return !program.hasEnded() && program.send(signal);
      } finally {
        program?.close();
      }
      await sleep(STARTING);
    }
    return false;
  }

  readonly #giveUp = (): void => this.#stop('aborted');

  #stop(why: Stopped): void {
    if (this.#stopped !== undefined || this.#telling !== undefined) return;
    const runtime = this.#runtime;
    if (runtime === undefined || runtime.hasEnded()) return;
    const pid = Number(readOrEmpty(this.#pidFile));
    const program = pid > 1 ? this.#programOf(runtime, pid) : undefined;
    try {
      if (pid > 1 && (program === undefined || program.hasEnded())) {
        this.#telling = setTimeout(() => {
          if (runtime.hasEnded()) return;
          this.#stopped = why;
          void this.#endWhole(runtime);
        }, TELLING);
        return;
      }
      this.#stopped = why;
      // Where it is not told yet which one the program is, it may run all the same.
      if (program === undefined) return void this.#endWhole(runtime);
      program.send(SIGKILL);
      // The runtime waits for it, and ends. What it had not waited for would be left to whoever takes such children in, and keep the container from ending until he does.
      this.#telling = setTimeout(() => void this.#endWhole(runtime), TELLING);
    } finally {
      program?.close();
    }
  }

  /** With nothing left to hold its family by, such as descriptors, the runtime alone is ended. */
  async #endWhole(runtime: ProcessHandle): Promise<void> {
    let held: ProcessHandle | undefined;
    try {
      // Our own hold is let go with its end.
      held = this.#processes.open(runtime.pid);
      if (held !== undefined) await endFamily(this.#processes, held);
    } catch {
      if (!this.#isOver) runtime.send(SIGKILL);
    } finally {
      held?.close();
    }
  }

  /** Undefined when it has ended, and the runtime knows. Between a terminal's program and what we have started is the runtime. */
  #programOf({ pid: starter }: ProcessHandle, pid: number): ProcessHandle | undefined {
    const found = processStat(pid);
    const isOurs = found?.parent === starter || (found && processStat(found.parent)?.parent === starter);
    return isOurs ? this.#processes.open(pid, found.startTicks) : undefined;
  }
}
