import { ProvisionerError } from '../../base/errors.js';
import { type ProcessIdentity, pidOf } from './process-identity.js';

/** What another process works at while somebody waits for it. */
export interface AwaitedWork {
  /** To follow the process: `pulls docker://ghcr.io/me/app:v1`. */
  readonly deed: string;
  /** The values in it. */
  readonly details: Readonly<Record<string, string>>;
}

/** What all waits of a provisioner have in common. */
export interface StoppedWaitRoom {
  readonly isStopped: (identity: ProcessIdentity) => boolean;
  /** Called once when a process has been stopped for long, for the first of those who wait for it. */
  readonly onLongWait: (pid: number, work: AwaitedWork, stopped: number) => void;
  /** What is long, in milliseconds. Default: 5000. */
  readonly longWait?: number | undefined;
  /** A process that has been stopped for so many milliseconds is waited for no longer. Default: until it goes on or ends. */
  readonly timeout?: number | undefined;
  /** Those that have been told: one wait tells for all. */
  readonly told: Set<ProcessIdentity>;
}

const LONG_WAIT = 5000;

/** One wait for what another process works at: as long as that takes while it works, but not for ever when it has been stopped. */
export class StoppedWait {
  readonly #room: StoppedWaitRoom;
  readonly #work: AwaitedWork;
  #process: ProcessIdentity | undefined;
  /** When it was first seen to be stopped. */
  #since: number | undefined;
  #told = false;

  constructor(room: StoppedWaitRoom, work: AwaitedWork) {
    this.#room = room;
    this.#work = work;
  }

  /** Call it before each further look. @param process that is waited for now @throws ProvisionerError `ERR_LOCK_TIMEOUT` when it has been stopped for long enough */
  goOn(process: ProcessIdentity): void {
    const { isStopped, onLongWait, longWait = LONG_WAIT, timeout, told } = this.#room;
    if (process !== this.#process) this.end();
    this.#process = process;
    if (!isStopped(process)) {
      this.end();
      return;
    }
    const now = performance.now();
    this.#since ??= now;
    const stopped = now - this.#since;
    if (timeout !== undefined && stopped >= timeout) throw stoppedError(pidOf(process), this.#work, stopped);
    if (stopped < longWait || told.has(process)) return;
    told.add(process);
    this.#told = true;
    onLongWait(pidOf(process), this.#work, stopped);
  }

  /** Call it when the wait is over. Harmless when called twice. */
  end(): void {
    if (this.#told && this.#process !== undefined) this.#room.told.delete(this.#process);
    this.#told = false;
    this.#since = undefined;
  }
}

function stoppedError(pid: number, { deed, details }: AwaitedWork, stopped: number): ProvisionerError {
  return new ProvisionerError(
    'ERR_LOCK_TIMEOUT',
    `process ${pid}, which ${deed}, is stopped, and did not go on within ${Math.round(stopped)} ms`,
    {
      hint: `continue it (kill -CONT ${pid}); or end it, and what it had under way is done without it`,
      details: { ...details, waited: Math.round(stopped), holders: [String(pid)], stopped: [String(pid)] },
    },
  );
}
