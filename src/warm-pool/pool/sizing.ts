/** How a pool grows when too few were ready. */
export interface Growth {
  /** So many misses… Default: 1. */
  readonly misses?: number | undefined;
  /** … within so many milliseconds… Default: 60 000. */
  readonly within?: number | undefined;
  /** … and so many more are kept ready. Default: 1. */
  readonly by?: number | undefined;
  /** Milliseconds in which none of these was needed, after which so many fewer are. Default: 300 000. */
  readonly keepFor?: number | undefined;
}

export interface PoolSize {
  readonly min: number;
  readonly max: number;
  readonly grow?: Growth | undefined;
}

/** How many are to be ready: at first as few as may be, more after misses, and fewer again when some of them were not needed for a while. Times are milliseconds of one clock. */
export class Sizing {
  readonly min: number;
  readonly max: number;
  readonly #grow: Required<{ readonly [Name in keyof Growth]: number }>;
  #target: number;
  #misses: number[] = [];
  /** Of this period: since when, and how many were ready at least. */
  #since: number;
  #lowest: number;

  constructor({ min, max, grow = {} }: PoolSize, now: number) {
    const { misses = 1, within = 60_000, by = 1, keepFor = 300_000 } = grow;
    this.min = min;
    this.max = max;
    this.#grow = { misses, within, by, keepFor };
    this.#target = min;
    this.#since = now;
    this.#lowest = min;
  }

  get target(): number {
    return this.#target;
  }

  /** None was ready for somebody. */
  missed(now: number): void {
    this.#misses = this.#misses.filter((time) => now - time < this.#grow.within);
    this.#misses.push(now);
    this.#lowest = 0;
    if (this.#misses.length < this.#grow.misses) return;
    this.#misses = [];
    this.#change(this.#target + this.#grow.by, now);
  }

  /** @param ready how many are just now */
  ready(ready: number, now: number): void {
    this.#lowest = Math.min(this.#lowest, ready);
    if (now - this.#since < this.#grow.keepFor) return;
    const fewer = Math.min(this.#grow.by, this.#target - this.min);
    this.#change(this.#lowest >= fewer ? this.#target - fewer : this.#target, now);
  }

  #change(target: number, now: number): void {
    this.#target = Math.max(this.min, Math.min(this.max, target));
    this.#since = now;
    this.#lowest = this.#target;
  }
}
