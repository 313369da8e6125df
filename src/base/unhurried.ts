import { setImmediate } from 'node:timers/promises';

/** Work goes on so long before others get a turn, in milliseconds: a turn costs some microseconds, and several callers may be at it at once. */
const SLICE = 5;

/**
 * Goes through things and lets the event loop do other work every few milliseconds: a store may have a hundred thousand of them, and nobody who shares the
 * process waits for that. An `await` alone is no such turn: the records answer at once, so that a loop over them never leaves the queue of promises.
 *
 * Others may change the store in between. What is decided on the way must be looked at again where it is carried out.
 */
export async function* unhurried<T>(things: Iterable<T>): AsyncGenerator<T, void, undefined> {
  let sliceEnds = performance.now() + SLICE;
  for (const thing of things) {
    if (performance.now() >= sliceEnds) {
      await setImmediate();
      sliceEnds = performance.now() + SLICE;
    }
    yield thing;
  }
}

/** As `things.map(change)`, as `unhurried` goes. */
export async function mapUnhurried<T, Result>(things: Iterable<T>, change: (thing: T) => Result): Promise<Result[]> {
  const results: Result[] = [];
  for await (const thing of unhurried(things)) results.push(change(thing));
  return results;
}

/** As `things.filter(isWanted)`, as `unhurried` goes. */
export async function filterUnhurried<T>(things: Iterable<T>, isWanted: (thing: T) => boolean): Promise<T[]> {
  const wanted: T[] = [];
  for await (const thing of unhurried(things)) if (isWanted(thing)) wanted.push(thing);
  return wanted;
}

/** Lets many that would all go on at once do so one after the other, and the event loop do other work every few milliseconds between them. */
export class Turns {
  #last: Promise<void> = Promise.resolve();
  #sliceEnds = 0;

  /** Resolves when it is the caller's turn. */
  take(): Promise<void> {
    this.#last = this.#last.then(() => this.#next());
    return this.#last;
  }

  async #next(): Promise<void> {
    if (performance.now() < this.#sliceEnds) return;
    await setImmediate();
    this.#sliceEnds = performance.now() + SLICE;
  }
}
