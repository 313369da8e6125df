/** One look at how much there is. Times are milliseconds, by whatever clock. */
export interface Look {
  /** When it was over. */
  readonly at: number;
  readonly took: number;
  readonly bytes: number;
}

/** Of all time, one part in so many may go into looking. */
const SHARE = 10;
const SHORTEST = 250;
const LONGEST = 2000;
/** Where nothing happens, each pause is so much longer than the one before. */
const LONGER = 2;
/** What is left of a limit is little when it is less than this part of it. */
const NEAR = 0.1;
const NEAR_PAUSE = 1000;

/**
 * How long to wait until the next look, in milliseconds: half as long as it would take to reach the limit, were it written on as since the look before; but looking takes a tenth of the time at most, whatever there is to be
 * looked through.
 * @param before undefined for the first look
 */
export function pauseAfter(look: Look, before: Look | undefined, limit: number): number {
  return Math.max(look.took * (SHARE - 1), Math.min(LONGEST, Math.max(SHORTEST, wished(look, before, limit))));
}

function wished(look: Look, before: Look | undefined, limit: number): number {
  if (before === undefined) return SHORTEST;
  const left = Math.max(0, limit - look.bytes);
  const grown = look.bytes - before.bytes;
  const elapsed = look.at - before.at;
  const longest = Math.min(elapsed * LONGER, left < limit * NEAR ? NEAR_PAUSE : LONGEST);
  return grown <= 0 || elapsed <= 0 ? longest : Math.min(longest, (left * elapsed) / grown / 2);
}
