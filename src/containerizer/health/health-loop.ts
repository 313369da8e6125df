import { randomBytes } from 'node:crypto';
import { crashPoint } from '../../base/crash-points.js';
import { type Clock, machineClock } from '../../base/time/clock.js';
import type { KeptHealth } from './health-file.js';
import type { HealthSettings } from './health-settings.js';
import { afterCheck, type Health, type HealthResult, pauseOf, UNKNOWN_HEALTH } from './health-state.js';

/** Time that is handed in. What has passed between two calls of `now` has, as far as this process knows. */
export interface HealthClock extends Clock {
  /** Milliseconds since the epoch, as others see it now: it may have been set, or the machine have slept. */
  today(): number;
}

/** Of its own time, which does not jump while it is used, and the machine's. */
export const healthClock = (): HealthClock => ({ ...machineClock(), today: () => Date.now() });

/** How a check came out, without its times. */
export type CheckOutcome = Pick<HealthResult, 'code' | 'signal' | 'reason' | 'output'>;

/** What is checked, and by which means. */
export interface HealthLoop {
  readonly settings: HealthSettings;
  readonly clock: HealthClock;
  /** Of the program, in milliseconds since the epoch. */
  readonly startedAt: number;
  readonly kept: KeptHealth | undefined;
  /** Aborts when the program has ended, or nobody is to check any more. */
  readonly signal: AbortSignal;
  /** Whether the processes of the container stand still. */
  isHalted(): boolean;
  /** @returns undefined for a check that says nothing, since it was interrupted */
  check(id: string, signal: AbortSignal): Promise<CheckOutcome | undefined>;
  keep(health: KeptHealth): void;
  /** That its status has changed: before it is kept. */
  tell(health: Health): Promise<void>;
  /** It is unhealthy. */
  act(): Promise<void>;
}

/** Milliseconds between looks at what stands still. */
const LOOK_AGAIN = 200;

/**
 * Checks again and again, with one pause after each check, until the signal aborts:
 *
 *     pause ─► does it stand still? ─► keep that a check begins ─► check ─► tell what has changed ─► keep how it came out ─► …
 *
 * Whoever goes on in the place of one who has died tells again what had been told and not kept.
 */
export async function checkAgainAndAgain(loop: HealthLoop): Promise<void> {
  const { settings, clock, startedAt, kept, signal } = loop;
  let health: Health = kept === undefined ? UNKNOWN_HEALTH : withoutCheck(kept);
  let since = health.results.at(-1)?.finishedAt ?? startedAt;
  while (!signal.aborted) {
    if (health.status === 'unhealthy') await loop.act();
    const passed = Math.max(0, clock.now() - since);
    await pause(clock, Math.max(0, pauseOf(settings, health, clock.now() - startedAt) - passed), signal);
    if (await stoodStill(loop)) {
      // It is given as long as ever to come to itself.
      since = clock.now();
      continue;
    }
    if (signal.aborted) return;
    const id = randomBytes(8).toString('hex');
    loop.keep({ ...health, checking: id });
    crashPoint('health.begun');
    const begun = clock.now();
    const outcome = await loop.check(id, signal);
    // What was cut short by the end of the program, or by ours, says nothing, and may still run.
    if (signal.aborted) return;
    since = clock.now();
    if (outcome !== undefined) {
      const finishedAt = clock.today();
      const result: HealthResult = { startedAt: finishedAt - (since - begun), finishedAt, ...outcome };
      const before = health.status;
      health = afterCheck(settings, health, result, begun - startedAt);
      if (health.status !== before) await loop.tell(health);
      crashPoint('health.told');
    }
    loop.keep(health);
  }
}

function withoutCheck({ checking: _, ...health }: KeptHealth): Health {
  return health;
}

/** Resolves when it goes on. @returns whether it stood still at all */
async function stoodStill({ isHalted, clock, signal }: HealthLoop): Promise<boolean> {
  let stood = false;
  while (!signal.aborted && isHalted()) {
    stood = true;
    await pause(clock, LOOK_AGAIN, signal);
  }
  return stood;
}

/** Resolves after so many milliseconds, or when the signal aborts. */
export function pause(clock: Clock, milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const over = () => {
      giveUp();
      signal.removeEventListener('abort', over);
      resolve();
    };
    const giveUp = clock.after(milliseconds, over);
    signal.addEventListener('abort', over, { once: true });
  });
}
