import { isProvisionerError, ProvisionerError, throwIfAborted } from '../base/errors.js';
import { Interruption } from './interruption.js';
import type { Output } from './output/output.js';

/** Reports what fails and remembers the exit status that comes of it. */
export class Failures {
  readonly #output: Output;
  readonly #signal: AbortSignal;
  exitStatus = 0;

  constructor(output: Output, signal: AbortSignal) {
    this.#output = output;
    this.#signal = signal;
  }

  report(error: unknown): void {
    const { reason } = this.#signal;
    if (reason instanceof Interruption && isProvisionerError(error, 'ERR_ABORTED')) {
      this.exitStatus = reason.exitStatus;
      this.#output.failure(new ProvisionerError('ERR_ABORTED', reason.message, { cause: error }));
      return;
    }
    this.note();
    this.#output.failure(error);
  }

  /** The command's own exit status, which stands for what came of its work. */
  exitWith(status: number): void {
    this.exitStatus = status;
  }

  note(): void {
    if (this.exitStatus === 0) this.exitStatus = 1;
  }

  async each<Item, Result>(items: readonly Item[], work: (item: Item) => Promise<Result>): Promise<Result[]> {
    const results: Result[] = [];
    for (const item of items) {
      try {
        throwIfAborted(this.#signal);
        results.push(await work(item));
      } catch (error) {
        this.report(error);
        if (this.#signal.aborted) break;
      }
    }
    return results;
  }

  async eachAtOnce<Item, Done, Result>(
    items: readonly Item[],
    work: (item: Item) => Promise<Done>,
    tell: (done: Done, item: Item) => Result,
  ): Promise<Result[]> {
    const begin = async (item: Item) => {
      throwIfAborted(this.#signal);
      return work(item);
    };
    const begun = items.map((item) => ({ item, done: begin(item) }));
    // One that fails is reported in its turn.
    for (const { done } of begun) done.catch(() => undefined);
    const results: Result[] = [];
    for (const { item, done } of begun) {
      try {
        results.push(tell(await done, item));
      } catch (error) {
        this.report(error);
        // The others have been given up too.
        if (isProvisionerError(error, 'ERR_ABORTED') && this.#signal.aborted) break;
      }
    }
    return results;
  }
}
