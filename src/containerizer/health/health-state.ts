import type { HealthSettings } from './health-settings.js';

export type HealthStatus = 'starting' | 'healthy' | 'unhealthy';

/** How a check came out. */
export interface HealthResult {
  /** Milliseconds since the epoch, like the other time. */
  readonly startedAt: number;
  readonly finishedAt: number;
  /** As of the program; 127 where there is none of that name, 126 where it cannot be executed. Undefined where it did not end by itself. */
  readonly code?: number | undefined;
  /** The number of the signal that ended it. */
  readonly signal?: number | undefined;
  /** `failed`: it could not be run in the container; `not-run`: this machine did not come to that, for want of space or descriptors, which says nothing of the container. The output says why. */
  readonly reason: 'exited' | 'killed' | 'time-limit' | 'failed' | 'not-run';
  /** What it printed, both streams; of a long one the first 4096 bytes. */
  readonly output: string;
}

/** How a container is, by the checks since it was started last. */
export interface Health {
  /** `starting` until a check has succeeded, or so many have failed that it is unhealthy. */
  readonly status: HealthStatus;
  /** Failures since the last success, as far as they count. */
  readonly failingStreak: number;
  /** Of the last five checks, the newest last. */
  readonly results: readonly HealthResult[];
}

export const UNKNOWN_HEALTH: Health = { status: 'starting', failingStreak: 0, results: [] };

const RESULTS_KEPT = 5;

/**
 * What a check makes of it:
 *
 *     starting ── one succeeds ──► healthy ◄── one succeeds ── unhealthy
 *         │                           │                            ▲
 *         └─ so many fail in a row, those of the start period not counted, or after a success ─┘
 *
 * @param sinceStart milliseconds from the program's start to that of the check
 */
export function afterCheck(
  { startPeriod, retries }: Pick<HealthSettings, 'startPeriod' | 'retries'>,
  health: Health,
  result: HealthResult,
  sinceStart: number,
): Health {
  const results = [...health.results, result].slice(-RESULTS_KEPT);
  if (result.reason === 'not-run') return { ...health, results };
  if (result.code === 0) return { status: 'healthy', failingStreak: 0, results };
  // What has been healthy once has started.
  if (health.status === 'starting' && sinceStart < startPeriod) return { ...health, results };
  const failingStreak = health.failingStreak + 1;
  return { status: failingStreak >= retries ? 'unhealthy' : health.status, failingStreak, results };
}

/** Milliseconds between two checks, or from the start to the first: no later than an interval after the start period. @param sinceStart milliseconds since the program's start */
export function pauseOf(
  { interval, startPeriod, startInterval }: Pick<HealthSettings, 'interval' | 'startPeriod' | 'startInterval'>,
  { status }: Health,
  sinceStart: number,
): number {
  if (status !== 'starting' || sinceStart >= startPeriod) return interval;
  return Math.min(startInterval, startPeriod - Math.max(0, sinceStart) + interval);
}
