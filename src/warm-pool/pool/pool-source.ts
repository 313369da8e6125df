/** What a pool keeps ready, and what becomes of it. */
export interface PoolSource<Made, Given, How> {
  /** @throws why none can be made; then nothing of it is left */
  create(signal: AbortSignal): Promise<Made>;
  /** Safe to repeat. What somebody has taken by other ways is left to him. */
  destroy(made: Made): Promise<void>;
  /** The same for what was handed out, and came too late for whoever wanted it. */
  discard(made: Made): Promise<void>;
  /** What is wrong with it, as a clause; undefined for one that can be handed out. */
  fault(made: Made): Promise<string | undefined>;
  /** Makes it the caller's. @returns undefined where somebody else has it, or it is broken after all */
  handOut(made: Made, how: How): Promise<Given | undefined>;
  /** What it takes while it waits. */
  costOf(made: Made): Cost;
  nameOf(made: Made): string;
}

/** Bytes. */
export interface Cost {
  readonly memory: number;
  readonly disk: number;
}

/** Why something that was ready is not any more. */
export type RetireReason = 'expired' | 'outdated' | 'surplus' | 'budget' | 'yielded' | 'broken' | 'stopped';

/** What happens in a pool. */
export type PoolEvent =
  | { readonly kind: 'ready'; readonly container: string; readonly milliseconds: number }
  /** @property age milliseconds since it was ready */
  | { readonly kind: 'claimed'; readonly container: string; readonly age: number }
  /** Nothing was ready for somebody. */
  | { readonly kind: 'miss' }
  | { readonly kind: 'failed'; readonly error: unknown }
  /** There were too many errors: nothing is made until then, in milliseconds since the epoch. */
  | { readonly kind: 'throttled'; readonly until: number }
  | { readonly kind: 'retired'; readonly container: string; readonly reason: RetireReason; readonly detail?: string };

/** What a pool has done since it was begun. Plain numbers that only grow. */
export interface PoolCounts {
  hits: number;
  misses: number;
  /** Handed out in all: at once, or to those who waited. */
  claimed: number;
  created: number;
  failed: number;
  broken: number;
  retired: number;
  /** Times that there were too many errors. */
  errorThrottled: number;
  /** Destroyed when it was stopped. */
  containersCleanedUp: number;
}

export const NOTHING_DONE: Readonly<PoolCounts> = {
  ...{
    hits: 0,
    misses: 0,
    claimed: 0,
    created: 0,
    failed: 0,
    broken: 0,
    retired: 0,
    errorThrottled: 0,
    containersCleanedUp: 0,
  },
};
