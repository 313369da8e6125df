import { abortedError, throwIfAborted } from '../base/errors.js';
import type { FromWorker } from './jobs.js';

/** A thread's side of the memory that all threads share: asks its pool, for one use at a time. */
export class SharedMemory {
  readonly #post: (message: FromWorker) => void;
  /** Counts the times it was asked for. */
  #ticket = 0;
  #granted: () => void = () => {};

  constructor(post: (message: FromWorker) => void) {
    this.#post = post;
  }

  /** @returns what gives it back @throws ProvisionerError `ERR_ABORTED` */
  async take(bytes: number, signal: AbortSignal): Promise<() => void> {
    throwIfAborted(signal);
    const ticket = ++this.#ticket;
    let giveUp: () => void = () => {};
    try {
      await new Promise<void>((resolve, reject) => {
        this.#granted = resolve;
        giveUp = () => reject(abortedError(signal));
        signal.addEventListener('abort', giveUp, { once: true });
        this.#post({ type: 'take-memory', bytes, ticket });
      });
    } catch (error) {
      this.#post({ type: 'give-memory' });
      throw error;
    } finally {
      signal.removeEventListener('abort', giveUp);
      this.#granted = () => {};
    }
    return () => this.#post({ type: 'give-memory' });
  }

  /** The pool has answered. An answer to what is not wanted any more counts for nothing. */
  granted(ticket: number): void {
    if (ticket === this.#ticket) this.#granted();
  }
}
