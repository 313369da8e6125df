import { Mutex } from 'async-mutex';
import { throwIfAborted } from '../../base/errors.js';
import { orAborted } from './or-aborted.js';

/**
 * Many readers or one writer, within one process.
 *
 * Everyone passes one gate, first come first served. A reader gives the gate back at once and is counted until it is done. A
 * writer keeps the gate: it waits until the readers that came before it are done, works, and only then lets the next one in. So a waiting
 * writer lets no new reader pass it, and no writer starves; and readers who came before another writer go first, so neither do they.
 *
 * Calls are scoped, so that nobody can forget to unlock. A call inside another's scope may wait for ever, since a writer may stand between
 * them: never take the same lock twice on one call path.
 *
 * A caller that gives up while it waits leaves the queue without having held anything up.
 */
export class ReadWriteLock {
  readonly #gate = new Mutex();
  #readers = 0;
  /** Wakes the writer that holds the gate when the last reader is done. */
  #drained: (() => void) | undefined;

  /** Runs `work` while no writer works. @throws ProvisionerError `ERR_ABORTED` when `signal` aborts before it starts */
  async withShared<T>(work: () => T | Promise<T>, signal?: AbortSignal): Promise<T> {
    throwIfAborted(signal);
    // Open, it need not be had: the reader would give it back at once.
    const openGate = this.isOpen ? undefined : await this.#passGate(signal);
    this.#readers++;
    openGate?.();
    try {
      return await work();
    } finally {
      this.#readers--;
      if (this.#readers === 0) this.#drained?.();
    }
  }

  /** Runs `work` while nobody else works. @throws ProvisionerError `ERR_ABORTED` when `signal` aborts before it starts */
  async withExclusive<T>(work: () => T | Promise<T>, signal?: AbortSignal): Promise<T> {
    const openGate = await this.#passGate(signal);
    try {
      await this.#readersDone(signal);
      return await work();
    } finally {
      openGate();
    }
  }

  /** True while a reader need not wait. */
  get isOpen(): boolean {
    return !this.#gate.isLocked();
  }

  /** True while nobody holds it or waits for it. */
  get isIdle(): boolean {
    return this.#readers === 0 && !this.#gate.isLocked();
  }

  async #passGate(signal: AbortSignal | undefined): Promise<() => void> {
    throwIfAborted(signal);
    const acquired = this.#gate.acquire();
    if (signal === undefined) return acquired;
    try {
      return await orAborted(acquired, signal);
    } catch (error) {
      // Its turn will come all the same; it passes it on.
      void acquired.then((open) => open());
      throw error;
    }
  }

  async #readersDone(signal: AbortSignal | undefined): Promise<void> {
    if (this.#readers === 0) return;
    const drained = new Promise<void>((resolve) => {
      this.#drained = resolve;
    });
    try {
      await orAborted(drained, signal);
    } finally {
      this.#drained = undefined;
    }
  }
}
