import { setImmediate } from 'node:timers/promises';

/** As much as takes a few milliseconds. */
const AT_A_TIME = 50;

/** Goes through things whose checks are synchronous, and lets the event loop do other work in between: a store may have ten thousand of them. */
export async function* unhurried<T>(things: Iterable<T>): AsyncGenerator<T, void, undefined> {
  let taken = 0;
  for (const thing of things) {
    if (taken++ % AT_A_TIME === 0) await setImmediate();
    yield thing;
  }
}
