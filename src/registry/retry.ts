import { setTimeout as sleep } from 'node:timers/promises';
import { type ErrorTable, holdsFor } from '../base/codes/code-table.js';
import { abortedError, isProvisionerError, throwIfAborted } from '../base/errors.js';
import { REGISTRY_ERRORS } from './registry-codes.js';

/** The first pause before another attempt, in milliseconds; each further one is twice as long. */
const FIRST_PAUSE = 250;
const LONGEST_PAUSE = 15_000;
/** A server that wants to be left alone for longer, in seconds, is not waited for: its answer is the error. */
export const LONGEST_RETRY_AFTER = 120;

/** What a host, or the way to it, answers. No other code is about one. */
const CODES: ErrorTable = REGISTRY_ERRORS;

/** The `errno` of what came too slowly. It has been waited for long enough. */
export const TOO_SLOW = 'TOO_SLOW';

/** Most often typing errors: names that are not known, and ports where nobody listens. Those are told at once, as what has been waited for long enough. */
const NOT_AT_ONCE: ReadonlySet<unknown> = new Set(['ENOTFOUND', 'ECONNREFUSED', 'EHOSTUNREACH', TOO_SLOW]);

/**
 * True when another attempt at the same host may end otherwise, within the seconds that a pull waits: of what is worth another try at all, that is what does not
 * take somebody to look. @param refused whether a host where nobody listens may be starting
 */
export function mayPass(error: unknown, refused: 'passes' | 'stays' = 'stays'): boolean {
  if (!isProvisionerError(error)) return false;
  const { code, details } = error;
  if (Number(details['retryAfter'] ?? 0) > LONGEST_RETRY_AFTER) return false;
  const entry = CODES[code];
  if (entry === undefined || !holdsFor(entry.retryable, details)) return false;
  return refused === 'passes' || !NOT_AT_ONCE.has(details['errno']);
}

/**
 * How long to wait before an attempt, in milliseconds: half of it fixed, half by chance, so that those who failed together do not come
 * back together; at least what the server asked for.
 * @param attempt 0 for the first repetition @param random from 0 to 1
 */
export function pauseBefore(attempt: number, error: unknown, random: () => number = Math.random): number {
  const pause = Math.min(FIRST_PAUSE * 2 ** attempt, LONGEST_PAUSE);
  const asked = isProvisionerError(error) ? Number(error.details['retryAfter'] ?? 0) * 1000 : 0;
  return Math.max(pause / 2 + (pause / 2) * random(), asked);
}

/** Tries again what may pass. @param retries further attempts after the first one */
export async function withRetries<T>(
  work: () => Promise<T>,
  { retries, signal }: { readonly retries: number; readonly signal?: AbortSignal | undefined },
): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    throwIfAborted(signal);
    try {
      return await work();
    } catch (error) {
      if (attempt >= retries || !mayPass(error)) throw error;
      await pause(pauseBefore(attempt, error), signal);
    }
  }
}

/** @throws ProvisionerError `ERR_ABORTED` as soon as the caller gives up */
export async function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await sleep(milliseconds, undefined, signal === undefined ? {} : { signal });
  } catch (error) {
    if (signal?.aborted) throw abortedError(signal);
    throw error;
  }
}

/**
 * @param value of a `Retry-After` header: seconds, or a date
 * @returns whole seconds from `now` (milliseconds since the epoch), undefined when it says nothing
 * @see RFC 9110, section 10.2.3
 */
export function parseRetryAfter(value: string | undefined, now: number = Date.now()): number | undefined {
  if (value === undefined) return undefined;
  if (/^\s*\d+\s*$/.test(value)) return Number(value);
  // Only the form that HTTP dates have: `Date.parse` takes many more, `-1` among them.
  if (!/^\s*[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT\s*$/.test(value)) return undefined;
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : Math.max(0, Math.ceil((date - now) / 1000));
}
