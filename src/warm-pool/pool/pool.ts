import { throwIfAborted } from '../../base/errors.js';
import { unhurried } from '../../base/unhurried.js';
import type { BudgetMember } from './budget.js';
import { Creators } from './creators.js';
import { ErrorWindow } from './error-window.js';
import { hasStopped, outlived } from './pool-errors.js';
import type { PoolOptions } from './pool-setup.js';
import { type Cost, NOTHING_DONE, type PoolCounts, type RetireReason } from './pool-source.js';
import { shortLived } from './short-lived.js';
import { type PoolSize, Sizing } from './sizing.js';
import { type GetOptions, type Waiter, Waiters } from './waiters.js';

/** One that is ready. */
interface Ready<Made> {
  readonly made: Made;
  readonly since: number;
  readonly expiresAt: number;
  lookedAt: number;
}

/** Whoever gets one gets what was looked at within so many milliseconds. */
const LOOKED_AT = 1000;
/** Milliseconds until what was handed out is replaced: to make one takes ten times as long as to hand one out, and as many processors as there are. */
const AFTER_CLAIM = 10;
/** Each is given up to so much of its time more or less, so that those which were made at once do not go at once. */
const JITTER = 0.1;
const TIMES_KEPT = 100;
/** Milliseconds: one that is to take longer calls back at once. */
const LONGEST_TIMER = 2 ** 31 - 1;

/**
 * Keeps some of what takes long to make ready to be had at once, and makes more when some was taken. What was handed out never comes back.
 *
 *     creators ─► ready, looked at again and again ─► handed out
 *                   └─► retired: too old, of another image by now, too many, broken
 *
 * @see Chromium, site_utils/lxc/container_pool/pool.py
 */
export class Pool<Made, Given, How> implements BudgetMember {
  readonly #options: PoolOptions<Made, Given, How>;
  #sizing: Sizing;
  readonly #window: ErrorWindow;
  readonly #creators: Creators<Made>;
  /** Oldest first: which is handed out first. */
  readonly #ready: Ready<Made>[] = [];
  readonly #waiters: Waiters<Given, How>;
  /** What is being destroyed. */
  readonly #going = new Set<Promise<void>>();
  readonly #creationTimes: number[] = [];
  #isThrottled = false;
  #isHeldBack = false;
  #isStopped = false;
  #stopRetry: (() => void) | undefined;
  #stopSoon: (() => void) | undefined;
  readonly counts: PoolCounts = { ...NOTHING_DONE };

  constructor(options: PoolOptions<Made, Given, How>) {
    const { clock, limits = {}, source, size } = options;
    this.#options = options;
    this.#sizing = new Sizing(size, clock.now());
    this.#window = new ErrorWindow(limits);
    this.#waiters = new Waiters(clock);
    this.#creators = new Creators({
      ...limits,
      clock,
      create: (signal) => source.create(signal),
      destroy: (made) => source.destroy(made),
      made: (made, milliseconds) => this.#made(made, milliseconds),
      failed: (error) => this.#failed(error),
    });
  }

  /** How many are ready just now: by the time of the next call it may be another number. */
  get size(): number {
    return this.#ready.length;
  }
  /** So many may be ready. */
  get capacity(): number {
    return this.#sizing.max;
  }
  /** So many are to be ready just now. */
  get target(): number {
    return this.#sizing.target;
  }
  /** So many are its due, whatever others want; where none is made anyway, no more than there are. */
  get floor(): number {
    const due = this.#sizing.min + this.#waiters.count;
    const isAtRest = this.#isHeldBack || this.throttledUntil !== undefined;
    return isAtRest ? Math.min(due, this.size + this.creators) : due;
  }
  /** Being made just now. */
  get creators(): number {
    return this.#creators.count;
  }
  /** Within the window. */
  get recentErrors(): number {
    return this.#window.count(this.#options.clock.now());
  }
  get throttledUntil(): number | undefined {
    return this.#window.throttledUntil(this.#options.clock.now());
  }
  /** Milliseconds that the last ones took to be made. */
  get creationTimes(): readonly number[] {
    return this.#creationTimes;
  }
  /** Milliseconds for which the oldest has waited; undefined where none is ready. */
  get oldestAge(): number | undefined {
    const since = this.#ready[0]?.since;
    return since === undefined ? undefined : this.#options.clock.now() - since;
  }
  get isHeldBack(): boolean {
    return this.#isHeldBack;
  }
  get cost(): Cost {
    const costs = this.#ready.map(({ made }) => this.#options.source.costOf(made));
    const sum = (of: keyof Cost) => costs.reduce((all, one) => all + one[of], 0);
    return { memory: sum('memory'), disk: sum('disk') };
  }

  /** What has gone wrong since the last time that somebody asked; the newest thousand. */
  takeErrors(): unknown[] {
    return this.#window.takeErrors();
  }

  /** @returns null when none was there in time @throws ProvisionerError `ERR_POOL_STOPPED`, `ERR_ABORTED` */
  async get(how: How, { timeout = 0, signal }: GetOptions = {}): Promise<Given | null> {
    if (this.#isStopped) throw hasStopped();
    throwIfAborted(signal);
    const given = await this.#takeReady(how);
    if (given !== undefined) {
      this.counts.hits++;
      this.#sizing.ready(this.#ready.length, this.#options.clock.now());
      this.#refillSoon();
      return given;
    }
    this.counts.misses++;
    this.#sizing.missed(this.#options.clock.now());
    this.#options.tell({ kind: 'miss' });
    // Somebody wants one: whatever it was held back for.
    this.#isHeldBack = false;
    if (timeout === 0 || this.#isStopped) {
      this.refill();
      return null;
    }
    const comes = this.#waiters.wait(how, timeout, signal);
    this.#serve();
    this.refill();
    return comes;
  }

  /** The oldest that can be had. */
  async #takeReady(how: How): Promise<Given | undefined> {
    for (let ready = this.#ready.shift(); ready !== undefined; ready = this.#ready.shift()) {
      const given = await this.#handOut(ready, how);
      if (given === undefined) continue;
      this.#tellClaimed(ready);
      return given;
    }
    return undefined;
  }

  async #handOut({ made, expiresAt, lookedAt }: Ready<Made>, how: How): Promise<Given | undefined> {
    const { source, clock } = this.#options;
    const now = clock.now();
    if (now >= expiresAt) {
      this.#letGo(made, 'expired');
      return undefined;
    }
    const fault = now - lookedAt < LOOKED_AT ? undefined : await this.#faultOf(made);
    const given = fault === undefined ? await source.handOut(made, how).catch(() => undefined) : undefined;
    if (given === undefined) this.#letGo(made, 'broken', fault);
    return given;
  }

  #tellClaimed({ made, since }: Ready<Made>): void {
    const { source, clock, tell } = this.#options;
    this.counts.claimed++;
    tell({ kind: 'claimed', container: source.nameOf(made), age: clock.now() - since });
  }

  async #faultOf(made: Made): Promise<string | undefined> {
    try {
      return await this.#options.source.fault(made);
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }

  /** Looks at all that are ready, replaces what cannot be handed out, and lets go of what is too much. @param isOutdated whether one is not what would be made now */
  async look(isOutdated: (made: Made) => boolean): Promise<void> {
    for await (const ready of unhurried([...this.#ready])) {
      const begun = this.#options.clock.now();
      const fault = await this.#faultOf(ready.made);
      ready.lookedAt = begun;
      if (fault !== undefined) this.#broke(ready, fault, begun);
      else if (begun >= ready.expiresAt) this.#retire(ready, 'expired');
      else if (isOutdated(ready.made)) this.#retire(ready, 'outdated');
    }
    this.#sizing.ready(this.#ready.length, this.#options.clock.now());
    while (this.#ready.length > this.#sizing.target) this.giveUp('surplus');
    this.refill();
  }

  /** What was made for this pool before, by whoever. @param since when it was made */
  adopt(made: Made, since: number): void {
    this.#put(made, since);
  }

  /** The oldest goes. @returns false where none is ready */
  giveUp(reason: RetireReason): boolean {
    const [oldest] = this.#ready;
    if (oldest !== undefined) this.#retire(oldest, reason);
    return oldest !== undefined;
  }

  /** From now on so many. */
  resize(size: PoolSize): void {
    this.#sizing = new Sizing(size, this.#options.clock.now());
    while (this.#ready.length > this.#sizing.target && this.giveUp('surplus'));
    this.refill();
  }

  /** Nothing is made until somebody finds none, as those who wait have. */
  holdBack(): void {
    this.#isHeldBack = this.#waiters.count === 0;
  }

  /** What was handed out has the processors first, while others are ready. */
  #refillSoon(): void {
    this.#stopSoon ??= this.#options.clock.after(this.#ready.length > 0 ? AFTER_CLAIM : 0, () => this.refill());
  }

  /** Has as many made as are missing. */
  refill(): void {
    this.#stopSoon?.();
    this.#stopSoon = undefined;
    if (this.#isStopped || this.#isHeldBack) return;
    const { clock, mayCreate } = this.#options;
    const now = clock.now();
    this.#tellThrottled(now);
    const retryAt = this.#window.retryAt(now);
    if (retryAt > now) {
      this.#stopRetry?.();
      this.#stopRetry = clock.after(Math.min(retryAt - now, LONGEST_TIMER), () => this.refill(), true);
      return;
    }
    while (!this.#creators.areAllAtWork && this.#lacking > 0 && mayCreate(this)) this.#creators.begin();
  }

  get #lacking(): number {
    return this.#sizing.target + this.#waiters.count - this.#ready.length - this.#creators.count;
  }

  /** Once for each time that it is so. */
  #tellThrottled(now: number): void {
    const until = this.#window.throttledUntil(now);
    if (until !== undefined && !this.#isThrottled) {
      this.counts.errorThrottled++;
      this.#options.tell({ kind: 'throttled', until });
    }
    this.#isThrottled = until !== undefined;
  }

  #made(made: Made, milliseconds: number): void {
    const { tell, source, clock } = this.#options;
    this.#window.succeeded();
    this.counts.created++;
    this.#creationTimes.push(milliseconds);
    if (this.#creationTimes.length > TIMES_KEPT) this.#creationTimes.shift();
    tell({ kind: 'ready', container: source.nameOf(made), milliseconds });
    this.#put(made, clock.now());
    this.refill();
  }

  #put(made: Made, since: number): void {
    const { ttl = Number.POSITIVE_INFINITY, random, clock } = this.#options;
    const expiresAt = since + ttl * (1 + JITTER * (2 * random() - 1));
    const ready = { made, since, expiresAt, lookedAt: clock.now() };
    const waiter = this.#waiters.next();
    if (waiter === undefined) this.#ready.push(ready);
    else void this.#giveTo(waiter, ready);
  }

  async #giveTo(waiter: Waiter<Given, How>, ready: Ready<Made>): Promise<void> {
    const { source } = this.#options;
    const given = await this.#handOut(ready, waiter.how);
    if (given === undefined) {
      if (this.#isStopped) waiter.give(null);
      else this.#waiters.putBack(waiter);
      this.#serve();
      this.refill();
    } else if (waiter.isGone) {
      // Nobody has it, and nobody may have it any more.
      this.#retired(ready.made, 'surplus');
      this.#track(source.discard(ready.made));
    } else {
      this.#tellClaimed(ready);
      waiter.give(given);
    }
  }

  /** What became ready while somebody was on his way to those who wait. */
  #serve(): void {
    while (this.#ready.length > 0 && this.#waiters.count > 0) {
      const waiter = this.#waiters.next();
      const ready = waiter && this.#ready.shift();
      if (waiter && ready) void this.#giveTo(waiter, ready);
    }
  }

  #failed(error: unknown): void {
    const now = this.#options.clock.now();
    this.counts.failed++;
    this.#window.failed(now, error);
    this.#options.tell({ kind: 'failed', error });
    this.refill();
  }

  /** What does not last counts among the errors. */
  #broke(ready: Ready<Made>, fault: string, now: number): void {
    if (!this.#ready.includes(ready)) return;
    // Whoever needed its room had asked before.
    const reason = this.#isHeldBack ? 'yielded' : 'broken';
    const name = this.#options.source.nameOf(ready.made);
    const error = reason === 'broken' ? shortLived(name, now - ready.since, fault) : undefined;
    if (error !== undefined) this.#window.broke(now, error);
    this.#retire(ready, reason, fault);
  }

  #retire(ready: Ready<Made>, reason: RetireReason, detail?: string): void {
    const at = this.#ready.indexOf(ready);
    // Somebody has got it meanwhile.
    if (at === -1) return;
    this.#ready.splice(at, 1);
    this.#letGo(ready.made, reason, detail);
  }

  /** Of one that is not among those that are ready any more. */
  #letGo(made: Made, reason: RetireReason, detail?: string): void {
    this.#retired(made, reason, detail);
    this.#track(this.#options.source.destroy(made));
  }

  #retired(made: Made, reason: RetireReason, detail?: string): void {
    const { source, tell } = this.#options;
    if (reason === 'broken') this.counts.broken++;
    this.counts.retired++;
    tell({ kind: 'retired', container: source.nameOf(made), reason, ...(detail === undefined ? {} : { detail }) });
  }

  /** What cannot be destroyed now is looked for later. */
  #track(work: Promise<void>): void {
    const going = work
      .catch(() => undefined)
      .finally(() => {
        this.#going.delete(going);
        this.refill();
      });
    this.#going.add(going);
  }

  /** Makes no more, and gives nobody anything. What is ready stays. */
  halt(): void {
    this.#isStopped = true;
    this.#stopRetry?.();
    this.#stopSoon?.();
    this.#creators.cancel();
    this.#waiters.dismiss();
  }

  /**
   * Stops it: creators are given up, and what is ready is destroyed.
   * @param timeout milliseconds to wait for creators. Default: 0, not at all: what they still make is destroyed all the same
   * @returns how many were destroyed @throws ProvisionerError `ERR_POOL_TIMEOUT` when a creator was at work longer; the rest has been done then
   */
  async stop(timeout = 0): Promise<number> {
    this.halt();
    const left = this.#ready.splice(0);
    for (const { made } of left) this.#letGo(made, 'stopped');
    this.counts.containersCleanedUp += left.length;
    const haveEnded = timeout === 0 || (await this.#creators.ended(timeout));
    await this.#gone();
    if (!haveEnded) throw outlived(timeout, left.length);
    return left.length;
  }

  async #gone(): Promise<void> {
    while (this.#going.size > 0) await Promise.all(this.#going);
  }

  get isIdle(): boolean {
    return this.#creators.haveEnded;
  }

  /** Resolves when no creator is at work any more, and all that was to go has gone. */
  async idle(): Promise<void> {
    await this.#creators.ended(Number.POSITIVE_INFINITY);
    await this.#gone();
  }
}
