/** How long is waited for a host that sends nothing, or next to nothing. */
export interface Patience {
  /** Milliseconds without a byte until a connection is given up. */
  readonly stallTimeout: number;
  /** What has to come on average, or it counts as stalled. 0 lets it be as slow as it likes. */
  readonly minBytesPerSecond: number;
}

/** The average is taken over so many times as a connection may be silent: two minutes, where that is half a minute. */
const SILENCES = 4;

/** Less came than has to. */
export class TooSlow extends Error {
  override readonly name = 'TooSlow';
  readonly bytes: number;
  readonly milliseconds: number;
  /** In bytes a second. */
  readonly limit: number;

  constructor(bytes: number, milliseconds: number, limit: number) {
    super(`${bytes} bytes came in ${Math.round(milliseconds / 1000)} s`);
    this.bytes = bytes;
    this.milliseconds = Math.round(milliseconds);
    this.limit = limit;
  }
}

/**
 * Whether enough comes of something that is read, over however many connections. A host that sends a byte now and then is never silent for long, and would otherwise be waited for
 * without end. Only the time counts in which nothing could be done but wait: a slow disk is not the host's fault.
 */
export class Pace {
  readonly #minBytesPerSecond: number;
  readonly #window: number;
  readonly #now: () => number;
  #waited = 0;
  #bytes = 0;
  #failures = 0;
  #waitedInAll = 0;

  /** @param now milliseconds of a clock that only goes forward */
  constructor({ stallTimeout, minBytesPerSecond }: Patience, now: () => number = () => performance.now()) {
    this.#minBytesPerSecond = minBytesPerSecond;
    this.#window = SILENCES * stallTimeout;
    this.#now = now;
  }

  /** How often in a row it was too slow. */
  get failures(): number {
    return this.#failures;
  }

  /** Milliseconds in all in which nothing could be done but wait. */
  get waited(): number {
    return this.#waitedInAll;
  }

  /** Counts how long something is waited for. */
  async waitFor<T>(arrival: Promise<T>): Promise<T> {
    const started = this.#now();
    try {
      return await arrival;
    } finally {
      const waited = this.#now() - started;
      this.#waited += waited;
      this.#waitedInAll += waited;
    }
  }

  /** Counts bytes that have come. @throws TooSlow when a whole window has brought too little; then the next one begins */
  add(bytes: number): void {
    this.#bytes += bytes;
    if (this.#waited < this.#window) return;
    const [came, waited] = [this.#bytes, this.#waited];
    this.#bytes = 0;
    this.#waited = 0;
    if (came * 1000 >= this.#minBytesPerSecond * waited) {
      this.#failures = 0;
      return;
    }
    this.#failures++;
    throw new TooSlow(came, waited, this.#minBytesPerSecond);
  }

  /** What is read, as long as enough of it comes. @throws TooSlow */
  async *of(pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
    const iterator = pieces[Symbol.asyncIterator]();
    try {
      for (;;) {
        const next = await this.waitFor(iterator.next());
        if (next.done) return;
        this.add(next.value.length);
        yield next.value;
      }
    } finally {
      await iterator.return?.();
    }
  }
}
