import { isProvisionerError } from '../errors.js';
import { lockTimeoutError } from './lock-blockers.js';
import type { StoreLockOptions, StoreLockState } from './store-lock.js';

/** What the waits at one lock have in common. */
export interface WaitingRoom extends StoreLockOptions {
  readonly state: () => StoreLockState;
  /** Waits that have been told as long and are not over: one tells for all. */
  told: number;
}

const LONG_WAIT = 5000;

/** One call's wait for the lock, from the call until it has the lock: its turn within the process and the other processes, all together. */
export class LockWait {
  readonly #room: WaitingRoom;
  readonly #started = performance.now();
  readonly #longWait: NodeJS.Timeout;
  readonly #timeout: NodeJS.Timeout | undefined;
  #told = false;
  /** Aborts when the caller gives up, or when it has waited long enough. */
  readonly signal: AbortSignal | undefined;

  constructor(room: WaitingRoom, signal: AbortSignal | undefined) {
    this.#room = room;
    this.#longWait = setTimeout(() => this.#tell(), room.longWait ?? LONG_WAIT);
    this.#longWait.unref();
    if (room.timeout === undefined) {
      this.signal = signal;
      return;
    }
    const enough = new AbortController();
    this.#timeout = setTimeout(() => enough.abort(lockTimeoutError(this.#waited, room.state())), room.timeout);
    this.signal = signal === undefined ? enough.signal : AbortSignal.any([signal, enough.signal]);
  }

  /** Call it when the lock has come, or will not. Harmless when called twice. */
  end(): void {
    clearTimeout(this.#longWait);
    clearTimeout(this.#timeout);
    if (this.#told) this.#room.told--;
    this.#told = false;
  }

  /** What a caller is told whose wait was aborted. */
  explain(error: unknown): unknown {
    const isTimeout = isProvisionerError(error, 'ERR_ABORTED') && isProvisionerError(error.cause, 'ERR_LOCK_TIMEOUT');
    return isTimeout ? error.cause : error;
  }

  get #waited(): number {
    return performance.now() - this.#started;
  }

  #tell(): void {
    if (this.#room.told > 0) return;
    this.#told = true;
    this.#room.told++;
    this.#room.onLongWait?.(this.#waited, this.#room.state());
  }
}
