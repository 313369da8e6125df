import { anySignal } from '../../base/any-signal.js';
import { isProvisionerError } from '../../base/errors.js';
import { lockTimeoutError } from './lock-blockers.js';
import type { StoreLockState } from './store-lock-state.js';

export interface StoreLockOptions {
  /** Called once in each wait that takes long, of several at the same time for the first. */
  readonly onLongWait?: ((waited: number, state: StoreLockState) => void) | undefined;
  /** What is long, in milliseconds. Default: 5000. */
  readonly longWait?: number | undefined;
  /** A wait that takes so many milliseconds ends with `ERR_LOCK_TIMEOUT`. Default: none does. */
  readonly timeout?: number | undefined;
}

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
  readonly #enough: AbortController | undefined;
  #started = 0;
  #longWait: NodeJS.Timeout | undefined;
  #timeout: NodeJS.Timeout | undefined;
  #told = false;
  /** Aborts when the caller gives up, or when it has waited long enough. */
  readonly signal: AbortSignal | undefined;

  constructor(room: WaitingRoom, signal: AbortSignal | undefined) {
    this.#room = room;
    if (room.timeout === undefined) this.signal = signal;
    else {
      this.#enough = new AbortController();
      this.signal = signal === undefined ? this.#enough.signal : anySignal([signal, this.#enough.signal]);
    }
  }

  /** Call it when the lock is not to be had at once, which it is nearly always: the clocks of a wait cost a tenth of a provision. Harmless when called twice. */
  begin(): void {
    if (this.#longWait !== undefined) return;
    const { longWait = LONG_WAIT, timeout, state } = this.#room;
    this.#started = performance.now();
    this.#longWait = setTimeout(() => this.#tell(), longWait);
    this.#longWait.unref();
    if (timeout === undefined) return;
    this.#timeout = setTimeout(() => this.#enough?.abort(lockTimeoutError(this.#waited, state())), timeout);
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
