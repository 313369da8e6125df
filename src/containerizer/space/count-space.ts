import { setTimeout as sleep } from 'node:timers/promises';
import { crashPoint } from '../../base/crash-points.js';
import { type Look, pauseAfter } from './pace.js';

/** What is counted, and what is done then. */
export interface Counting {
  /** The right to count, which one process has at a time. @returns undefined while another one has it */
  hold(): { close(): void } | undefined;
  /** Bytes. @param over aborts when the answer is not wanted any more @param onStart called when it is begun, where it has to wait until then */
  measure(over: AbortSignal, onStart: () => void): Promise<number>;
  /** Bytes, as it is now. @returns undefined where there is none */
  limit(): number | undefined;
  /** Somebody has found that it is over its limit, and may have died since, or been stopped. */
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
/** Between two looks of one who is not the one that counts: that one may be stopped, or starved, and does not know it. */
const BESIDE = 15_000;
/** Until what was killed is killed once more. */
const END_AGAIN = 200;
/** Until it is counted again when it could not be, such as for want of descriptors. */
const FAILED = 5000;

/**
 * Counts again and again what something takes, and ends it when that is more than its limit. One process at a time does so; others look now and then. What is written between two looks may be more than the limit: nobody holds
 * it up. Nothing that fails is the end of it: what fills the disk is to be ended all the same.
 * @param over aborts when it has ended, or nobody here watches it any more
 */
export async function countSpace(counting: Counting, over: AbortSignal, clock: CountingClock = CLOCK): Promise<void> {
  const right: Right = { held: undefined };
  try {
    await lookUntilOver(counting, right, over, clock);
    for (;;) {
      if (!counting.isNoted()) attempt(() => counting.note());
      crashPoint('space.over');
      attempt(() => counting.end());
      await clock.pause(END_AGAIN, over);
    }
  } catch (error) {
    if (!over.aborted) throw error;
  } finally {
    right.held?.close();
  }
}

/** To count. */
interface Right {
  held: { close(): void } | undefined;
}

/** Looks until it is over its limit, or somebody else has found that it is. */
async function lookUntilOver(counting: Counting, right: Right, over: AbortSignal, clock: CountingClock): Promise<void> {
  let before: Look | undefined;
  /** When one who has no right to count looks all the same. */
  let due = clock.now() + BESIDE;
  while (!counting.isNoted()) {
    over.throwIfAborted();
    right.held ??= counting.hold();
    if (right.held === undefined && clock.now() < due) {
      await clock.pause(HELD, over);
      continue;
    }
    const look = await lookAt(counting, over, clock);
    over.throwIfAborted();
    if (look === undefined) {
      await clock.pause(FAILED, over);
      continue;
    }
    const { limit } = look;
    if (look.bytes > limit) return;
    const pause = pauseAfter(look, before, limit);
    due = clock.now() + Math.max(BESIDE, pause);
    if (right.held !== undefined) await clock.pause(pause, over);
    before = look;
  }
}

/** @returns undefined when it could not be counted, or there is no limit */
async function lookAt(
  counting: Counting,
  over: AbortSignal,
  clock: CountingClock,
): Promise<(Look & { readonly limit: number }) | undefined> {
  // Not what it had to wait until it began: others have made it wait, and it would wait nine times as long for that.
  let begun = clock.now();
  try {
    const bytes = await counting.measure(over, () => {
      begun = clock.now();
    });
    const limit = counting.limit();
    const at = clock.now();
    return limit === undefined ? undefined : { at, took: at - begun, bytes, limit };
  } catch {
    return undefined;
  }
}

/** What fails is tried again with the next turn. */
function attempt(action: () => void): void {
  try {
    action();
  } catch {}
}
