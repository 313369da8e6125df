/**
 * Calls under way on other threads, at most. koffi refuses the 257th of a process with a plain error, and libuv has four threads for all of them, so more
 * than enough to keep those busy would only hold descriptors open while it waits: with 8, 32 and 128 as many rootfses are made in a second.
 */
const TURNS = 32;
let free = TURNS;
const waiting: (() => void)[] = [];

declare const inTurn: unique symbol;
/** Says that its holder has a turn. Only `aside` gives one away, so that no call on another thread is made without. */
export interface Turn {
  readonly [inTurn]: true;
}

/**
 * Runs work that makes a system call on another thread, when it is its turn: first come first served, however many ask. What the work opens for its call
 * belongs inside it, so that what waits holds nothing. Work with a turn must not ask for another one.
 */
export async function aside<T>(work: (turn: Turn) => Promise<T>): Promise<T> {
  // By hand, because it is on the way of each provision and destroy, and nearly always there is a turn at once.
  if (free > 0) free--;
  else await new Promise<void>((resolve) => waiting.push(resolve));
  try {
    return await work({} as Turn);
  } finally {
    const next = waiting.shift();
    if (next === undefined) free++;
    else next();
  }
}
