/** Time that a test hands in, or the machine's own. */
export interface FakeClock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** As others see it. */
  today(): number;
  /** Calls back after so many milliseconds. @param isQuiet whether the process may end meanwhile @returns gives it up */
  after(milliseconds: number, call: () => void, isQuiet?: boolean): () => void;
}

export const MACHINE_CLOCK: FakeClock = {
  now: () => Date.now(),
  today: () => Date.now(),
  after(milliseconds, call, isQuiet = false) {
    const timer = setTimeout(call, milliseconds);
    if (isQuiet) timer.unref();
    return () => clearTimeout(timer);
  },
};

/** Stands still until it is told to go on. */
export class SteppedClock implements FakeClock {
  #now: number;
  /** By how many milliseconds the machine's clock has been set meanwhile. */
  setBy = 0;
  readonly #calls = new Set<{ readonly at: number; readonly call: () => void }>();

  constructor(now = 1_000_000) {
    this.#now = now;
  }

  now(): number {
    return this.#now;
  }

  today(): number {
    return this.#now + this.setBy;
  }

  after(milliseconds: number, call: () => void): () => void {
    const waiting = { at: this.#now + milliseconds, call };
    this.#calls.add(waiting);
    return () => this.#calls.delete(waiting);
  }

  /** How many are to be called back still. */
  get waiting(): number {
    return this.#calls.size;
  }

  /** What falls due in between happens in its order, each with all that follows from it at once. */
  async step(milliseconds: number): Promise<void> {
    const end = this.#now + milliseconds;
    for (;;) {
      const [next] = [...this.#calls].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at);
      if (next === undefined) break;
      this.#calls.delete(next);
      this.#now = next.at;
      next.call();
      await new Promise((resolve) => setImmediate(resolve));
    }
    this.#now = end;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Time that can stand still: that of a container which may be paused. */
export class PausableTime {
  readonly #clock: FakeClock;
  readonly #running = new Set<{ left: number; since: number; call: () => void; giveUp: (() => void) | undefined }>();
  #isPaused = false;

  constructor(clock: FakeClock) {
    this.#clock = clock;
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  after(milliseconds: number, call: () => void): () => void {
    const timer = { left: milliseconds, since: 0, call, giveUp: undefined as (() => void) | undefined };
    this.#running.add(timer);
    if (!this.#isPaused) this.#begin(timer);
    return () => {
      timer.giveUp?.();
      this.#running.delete(timer);
    };
  }

  #begin(timer: { left: number; since: number; call: () => void; giveUp: (() => void) | undefined }): void {
    timer.since = this.#clock.now();
    timer.giveUp = this.#clock.after(timer.left, () => {
      this.#running.delete(timer);
      timer.call();
    });
  }

  pause(): void {
    if (this.#isPaused) return;
    this.#isPaused = true;
    for (const timer of this.#running) {
      timer.giveUp?.();
      timer.left -= this.#clock.now() - timer.since;
    }
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    for (const timer of this.#running) this.#begin(timer);
  }
}
