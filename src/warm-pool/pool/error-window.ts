/** So many errors within so long, and nothing is made until the oldest of them is older than that. As Chromium's pool has it. */
const MOST = 200;
const WINDOW = 3_600_000;
/** Milliseconds after one error until it is tried again, doubled with each more in a row, and at most. */
const PAUSE = 100;
const LONGEST_PAUSE = 10_000;

/** Errors that are kept for whoever asks, the newest. */
const KEPT = 1000;

export interface ErrorLimits {
  readonly errors?: number | undefined;
  /** Milliseconds. */
  readonly window?: number | undefined;
}

/** When something is tried again that goes wrong. Times are milliseconds of one clock. */
export class ErrorWindow {
  readonly #most: number;
  readonly #window: number;
  /** Oldest first. */
  #times: number[] = [];
  #inARow = 0;
  readonly #errors: unknown[] = [];

  constructor({ errors = MOST, window = WINDOW }: ErrorLimits = {}) {
    this.#most = errors;
    this.#window = window;
  }

  failed(now: number, error?: unknown): void {
    this.#keep(error);
    this.#times.push(now);
    this.#inARow++;
  }

  /** What was made did not last. It is tried again at once, as long as that has not happened too often. */
  broke(now: number, error?: unknown): void {
    this.#keep(error);
    this.#times.push(now);
  }

  succeeded(): void {
    this.#inARow = 0;
  }

  /** Those since the last time that somebody asked, as far as they are kept. */
  takeErrors(): unknown[] {
    return this.#errors.splice(0);
  }

  #keep(error: unknown): void {
    this.#errors.push(error);
    if (this.#errors.length > KEPT) this.#errors.shift();
  }

  /** Those within the window. */
  count(now: number): number {
    const fresh = this.#times.findIndex((time) => now - time < this.#window);
    if (fresh === -1) this.#times = [];
    else if (fresh > 0) this.#times.splice(0, fresh);
    return this.#times.length;
  }

  /** Until when nothing is tried since there were too many; undefined where there were not. */
  throttledUntil(now: number): number | undefined {
    const excess = this.count(now) - this.#most;
    const oldest = excess < 0 ? undefined : this.#times[excess];
    return oldest === undefined ? undefined : oldest + this.#window;
  }

  /** From when on it may be tried again, which may be over. */
  retryAt(now: number): number {
    const throttled = this.throttledUntil(now);
    if (throttled !== undefined) return throttled;
    const last = this.#times.at(-1);
    if (last === undefined || this.#inARow === 0) return now;
    return last + Math.min(LONGEST_PAUSE, PAUSE * 2 ** (this.#inARow - 1));
  }
}
