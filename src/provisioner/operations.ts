import { setImmediate } from 'node:timers/promises';
import { machineError, ProvisionerError } from '../base/errors.js';

/** So many operations are begun before others in the process get a turn, and fewer need not be counted: each works for some tenths of a millisecond before it first waits for anything. */
const AT_ONCE = 16;

/**
 * The calls of one provisioner. Each goes through `run`, so that none begins after `close`, and `close` waits for all that have begun before.
 *
 *   run ──► run ──► close: nobody begins any more ──► what was begun ends ──► all that was opened is let go
 */
export class Operations {
  readonly #running = new Set<Promise<unknown>>();
  #closing: Promise<void> | undefined;
  /** Begun since others had a turn, while there are many. */
  #begun = 0;
  #nextTurn: Promise<void> | undefined;
  readonly #require: () => void;

  /** @param require throws where no work can be done now */
  constructor(require: () => void = () => {}) {
    this.#require = require;
  }

  /** @throws ProvisionerError `ERR_CLOSED`, what `require` throws, and what `work` throws, whose failures that are the machine's are told as such */
  async run<T>(work: () => Promise<T>): Promise<T> {
    this.requireOpen();
    // Those that wait for a turn are among them, so nobody overtakes them.
    const atOnce = this.#running.size < AT_ONCE && this.#nextTurn === undefined;
    const operation = atOnce ? this.#begin(work) : this.#paced(work);
    this.#running.add(operation);
    try {
      return await operation;
    } catch (error) {
      throw this.#told(error);
    } finally {
      this.#running.delete(operation);
    }
  }

  /** @throws ProvisionerError `ERR_CLOSED` when nobody may begin any more */
  requireOpen(): void {
    if (this.#closing !== undefined) throw new ProvisionerError('ERR_CLOSED', 'the provisioner has been closed');
  }

  /** Resolves when nothing is under way. */
  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.allSettled(this.#running);
  }

  /** Resolves when what is under way now has ended. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#running);
  }

  /** Lets nobody begin any more. @param work once, however often this is called */
  close(work: () => Promise<void>): Promise<void> {
    this.#closing ??= work();
    return this.#closing;
  }

  /** However many are begun at once, the event loop goes on, and they begin in their order. */
  async #paced<T>(work: () => Promise<T>): Promise<T> {
    while (this.#begun >= AT_ONCE) await this.#turn();
    this.#begun++;
    void this.#turn();
    return this.#begin(work);
  }

  async #begin<T>(work: () => Promise<T>): Promise<T> {
    this.#require();
    return work();
  }

  /** What was the matter in the end: of work that was begun in its place, that it has lost it meanwhile. */
  #told(error: unknown): unknown {
    try {
      this.#require();
    } catch (beneath) {
      return beneath;
    }
    return machineError(error, 'do what was asked');
  }

  #turn(): Promise<void> {
    this.#nextTurn ??= setImmediate().then(() => {
      this.#begun = 0;
      this.#nextTurn = undefined;
    });
    return this.#nextTurn;
  }
}
