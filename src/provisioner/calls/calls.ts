import type { OpenStore } from '../open-store.js';
import { Operations } from '../operations.js';

/** The calls from outside: each waits for its turn, finds the store in its place, and is waited for when the store is closed. */
export class Calls {
  readonly #store: OpenStore;
  readonly #operations: Operations;

  constructor(store: OpenStore) {
    this.#store = store;
    this.#operations = new Operations(() => store.place.require());
  }

  /** Runs what only looks. @throws ProvisionerError as `Operations.run` */
  looking<T>(work: () => Promise<T>): Promise<T> {
    return this.#operations.run(work);
  }

  /** Runs what writes. @param deed as an infinitive; undefined for what only looks after all @throws ProvisionerError `ERR_READ_ONLY` too */
  writing<T>(deed: string | undefined, work: () => Promise<T>): Promise<T> {
    return this.#operations.run(async () => {
      if (deed !== undefined) this.#store.requireWritable(deed);
      return work();
    });
  }

  /** Runs what frees space, on a full disk too. @param deed as for `writing` */
  freeing<T>(deed: string | undefined, work: () => Promise<T>): Promise<T> {
    return this.writing(deed, () => this.#store.reserve.freeing(work));
  }

  /** @throws ProvisionerError `ERR_CLOSED` when nobody may begin any more */
  requireOpen(): void {
    this.#operations.requireOpen();
  }

  /** Resolves when none is under way. */
  idle(): Promise<void> {
    return this.#operations.idle();
  }

  /** Resolves when what is under way now has ended. */
  settled(): Promise<void> {
    return this.#operations.settled();
  }

  /** Lets nobody begin any more. @param work once, however often this is called */
  close(work: () => Promise<void>): Promise<void> {
    return this.#operations.close(work);
  }
}
