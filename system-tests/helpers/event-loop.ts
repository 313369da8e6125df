import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * The processor time of the calling thread, in milliseconds: what others on the machine do makes it no longer.
 * @see proc(5), /proc/pid/schedstat
 */
export function threadTime(): number {
  return Number(readFileSync('/proc/thread-self/schedstat', 'utf8').split(' ')[0]) / 1e6;
}

/** The longest that `work` kept the event loop from its timers, in milliseconds of processor time. */
export async function longestStretch(work: () => Promise<unknown>): Promise<number> {
  await sleep(10);
  let last = threadTime();
  let longest = 0;
  const timer = setInterval(() => {
    const now = threadTime();
    longest = Math.max(longest, now - last);
    last = now;
  }, 1);
  try {
    await work();
    await sleep(2);
    return longest;
  } finally {
    clearInterval(timer);
  }
}
