import { setTimeout as sleep } from 'node:timers/promises';
import { throwIfAborted } from '../../base/errors.js';
import { LONGEST_POLL, type StoreLock } from './store-lock.js';

/** A hold takes up more work for so long, in milliseconds: with its last piece it stays far below the 100 ms that nobody should wait for longer than. */
const HOLD = 30;

/**
 * Work on many things, each of which needs the store's lock held alone. The lock is held for some milliseconds at a time, however many there are; between two
 * holds everybody who waits has a chance to come first, those of other processes too.
 *
 * What was seen in one hold says nothing in the next.
 */
export class ShortHolds {
  readonly #lock: StoreLock;
  readonly #purpose: string;
  #released = Number.NEGATIVE_INFINITY;

  /** @param purpose shown to those who wait, as with `StoreLock.withExclusive` */
  constructor(lock: StoreLock, purpose: string) {
    this.#lock = lock;
    this.#purpose = purpose;
  }

  /**
   * @param work done for so many things at once, in their order; the lock is not taken when there are none
   * @throws ProvisionerError as `StoreLock.withExclusive`, and what `work` throws: then the rest has not been begun
   */
  async over<T>(
    things: readonly T[],
    atOnce: number,
    work: (things: readonly T[]) => Promise<unknown>,
    signal?: AbortSignal,
  ): Promise<void> {
    for (let at = 0; at < things.length; ) {
      await this.#giveWay();
      await this.#lock.withExclusive(
        this.#purpose,
        async () => {
          const ends = performance.now() + HOLD;
          try {
            do {
              throwIfAborted(signal);
              await work(things.slice(at, at + atOnce));
              at += atOnce;
            } while (at < things.length && performance.now() < ends);
          } finally {
            this.#released = performance.now();
          }
        },
        signal,
      );
    }
  }

  async #giveWay(): Promise<void> {
    const pause = this.#released + LONGEST_POLL + 1 - performance.now();
    if (pause > 0) await sleep(pause);
  }
}
