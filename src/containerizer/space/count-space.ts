import { setTimeout as sleep } from 'node:timers/promises';
import { crashPoint } from '../../base/crash-points.js';
import { type Look, pauseAfter } from './pace.js';

/** What is counted, and what is done then. */
export interface Counting {
  /** The right to count, which one process has at a time. @returns undefined while another one has it */
  hold(): { close(): void } | undefined;
  /** Bytes. @param over aborts when the answer is not wanted any more */
  measure(over: AbortSignal): Promise<number>;
  /** Bytes, as it is now. @returns undefined where there is none */
  limit(): number | undefined;
  /** Somebody has found that it is over its limit, and may have died since. */
  isNoted(): boolean;
  note(): void;
  /** Kills all of it; to be repeated until it has ended. */
  end(): void;
}

/** Milliseconds, by which the counting goes. */
export interface CountingClock {
  now(): number;
  /** @throws when `over` aborts */
  pause(milliseconds: number, over: AbortSignal): Promise<unknown>;
}

const CLOCK: CountingClock = {
  now: () => performance.now(),
  pause: (milliseconds, over) => sleep(milliseconds, undefined, { signal: over }),
};
/** Until it is looked again whether whoever counts has died. */
const HELD = 1000;
/** Until what was killed is killed once more. */
const END_AGAIN = 200;
/** Until it is counted again when it could not be, such as for want of descriptors. */
const FAILED = 5000;

/**
 * Counts again and again what something takes, and ends it when that is more than its limit; as long as nobody else does. What is written between two looks may be more than the limit: nobody holds it up.
 * @param over aborts when it has ended, or nobody here watches it any more
 */
export async function countSpace(counting: Counting, over: AbortSignal, clock: CountingClock = CLOCK): Promise<void> {
  let held: { close(): void } | undefined;
  try {
    for (held = counting.hold(); held === undefined; held = counting.hold()) await clock.pause(HELD, over);
    if (!counting.isNoted()) await lookUntilOver(counting, over, clock);
    for (;;) {
      counting.end();
      await clock.pause(END_AGAIN, over);
    }
  } catch (error) {
    if (!over.aborted) throw error;
  } finally {
    held?.close();
  }
}

/** Looks until it is over its limit. */
async function lookUntilOver(counting: Counting, over: AbortSignal, clock: CountingClock): Promise<void> {
  let before: Look | undefined;
  for (;;) {
    over.throwIfAborted();
    const begun = clock.now();
    const bytes = await counting.measure(over).catch(() => undefined);
    const limit = counting.limit();
    over.throwIfAborted();
    if (bytes === undefined || limit === undefined) {
      await clock.pause(FAILED, over);
      continue;
    }
    const look: Look = { at: clock.now(), took: clock.now() - begun, bytes };
    if (bytes > limit) {
      counting.note();
      crashPoint('space.over');
      return;
    }
    await clock.pause(pauseAfter(look, before, limit), over);
    before = look;
  }
}
