import { ProvisionerError } from '../../base/errors.js';
import type { Clock } from '../../base/time/clock.js';

/** As Chromium's pool has them. */
const AT_A_TIME = 5;
const TIME_LIMIT = 600_000;

export interface CreatorLimits {
  /** Default: 5. */
  readonly atATime?: number | undefined;
  /** Milliseconds for one. Default: 600 000. */
  readonly timeLimit?: number | undefined;
}

export interface CreatorsOptions<Made> extends CreatorLimits {
  readonly clock: Clock;
  create(signal: AbortSignal): Promise<Made>;
  /** What comes too late. */
  destroy(made: Made): Promise<void>;
  /** @param milliseconds that it took */
  made(made: Made, milliseconds: number): void;
  failed(error: unknown): void;
}

/** Those who make what is to be ready: a few at a time, each for so long at most. What one still makes that was given up is destroyed, and never told. */
export class Creators<Made> {
  readonly #options: CreatorsOptions<Made>;
  readonly #atATime: number;
  readonly #timeLimit: number;
  readonly #atWork = new Set<AbortController>();
  /** Those that were given up too. */
  readonly #unended = new Set<Promise<void>>();

  constructor(options: CreatorsOptions<Made>) {
    this.#options = options;
    this.#atATime = options.atATime ?? AT_A_TIME;
    this.#timeLimit = options.timeLimit ?? TIME_LIMIT;
  }

  /** Those that were not given up. */
  get count(): number {
    return this.#atWork.size;
  }

  /** Those that were given up too. */
  get haveEnded(): boolean {
    return this.#unended.size === 0;
  }

  get areAllAtWork(): boolean {
    return this.#atWork.size >= this.#atATime;
  }

  begin(): void {
    const given = new AbortController();
    this.#atWork.add(given);
    const work = this.#work(given);
    this.#unended.add(work);
    void work.finally(() => this.#unended.delete(work));
  }

  async #work(given: AbortController): Promise<void> {
    const { clock, create, destroy, made, failed } = this.#options;
    const begun = clock.now();
    const isOver = () => !this.#atWork.delete(given);
    const stopClock = clock.after(this.#timeLimit, () => {
      if (isOver()) return;
      const error = tookTooLong(this.#timeLimit);
      given.abort(error);
      failed(error);
    });
    try {
      const one = await create(given.signal);
      if (isOver()) await destroy(one);
      else made(one, clock.now() - begun);
    } catch (error) {
      if (!isOver()) failed(error);
    } finally {
      stopClock();
    }
  }

  /** Gives all up. */
  cancel(): void {
    for (const given of this.#atWork) given.abort(new ProvisionerError('ERR_ABORTED', 'the pool has been stopped'));
    this.#atWork.clear();
  }

  /** Resolves when nobody is at work any more: whoever was given up has seen it, and what he had made is destroyed. @returns whether that came within so many milliseconds */
  async ended(timeout: number): Promise<boolean> {
    const ended = this.#ended();
    if (timeout === Number.POSITIVE_INFINITY) return ended;
    let stopClock: (() => void) | undefined;
    const late = new Promise<boolean>((resolve) => {
      stopClock = this.#options.clock.after(timeout, () => resolve(false));
    });
    return Promise.race([ended, late]).finally(() => stopClock?.());
  }

  async #ended(): Promise<true> {
    while (this.#unended.size > 0) await Promise.all(this.#unended);
    return true;
  }
}

function tookTooLong(milliseconds: number): ProvisionerError {
  return new ProvisionerError('ERR_POOL_TIMEOUT', `nothing was made within ${milliseconds} ms`, {
    hint: 'a pull may take long: pull the image before, or allow more time',
    details: { milliseconds },
  });
}
