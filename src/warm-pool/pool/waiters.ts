import type { Clock } from '../../base/time/clock.js';
import { orAborted } from '../../system/locks/or-aborted.js';

export interface GetOptions {
  /** Milliseconds to wait for one: 0 for none, Infinity for as long as it takes. Default: 0. */
  readonly timeout?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Somebody for whom none was ready. */
export interface Waiter<Given, How> {
  readonly how: How;
  readonly give: (given: Given | null) => void;
  /** He has given up, or his time is over. */
  isGone: boolean;
}

/** Those who wait for what is not ready yet, in the order in which they came. */
export class Waiters<Given, How> {
  readonly #clock: Clock;
  readonly #waiting: Waiter<Given, How>[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get count(): number {
    return this.#waiting.length;
  }

  /** @returns null when his time is over, or nobody gets anything any more @throws ProvisionerError `ERR_ABORTED` */
  async wait(how: How, timeout: number, signal: AbortSignal | undefined): Promise<Given | null> {
    let stopClock: (() => void) | undefined;
    let give: (given: Given | null) => void = () => undefined;
    const comes = new Promise<Given | null>((resolve) => {
      give = resolve;
    });
    const waiter = { how, give, isGone: false };
    // Known at once: what is given to him from now on nobody would have.
    const goes = () => {
      waiter.isGone = true;
    };
    signal?.addEventListener('abort', goes, { once: true });
    this.#waiting.push(waiter);
    if (timeout !== Number.POSITIVE_INFINITY) {
      stopClock = this.#clock.after(timeout, () => {
        goes();
        give(null);
      });
    }
    try {
      return await orAborted(comes, signal);
    } finally {
      stopClock?.();
      signal?.removeEventListener('abort', goes);
      goes();
      const at = this.#waiting.indexOf(waiter);
      if (at !== -1) this.#waiting.splice(at, 1);
    }
  }

  /** The first one: it is his turn, and whoever took him gives him something or puts him back. */
  next(): Waiter<Given, How> | undefined {
    let next = this.#waiting.shift();
    while (next?.isGone === true) next = this.#waiting.shift();
    return next;
  }

  /** He is the next one still. */
  putBack(waiter: Waiter<Given, How>): void {
    if (waiter.isGone) waiter.give(null);
    else this.#waiting.unshift(waiter);
  }

  /** Nobody gets anything any more. */
  dismiss(): void {
    for (const { give } of this.#waiting.splice(0)) give(null);
  }
}
