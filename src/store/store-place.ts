import { type Stats, statSync } from 'node:fs';
import { ProvisionerError } from '../errors.js';

/**
 * The directory that the path of an open store led to when it was opened. All work goes by that path, so when a volume is mounted over it, or another directory put
 * in its place, this process would go on in what is there now, with the records of what was there before.
 */
export class StorePlace {
  readonly #root: string;
  readonly #opened: Stats | undefined;

  /** @param root absolute, and there */
  constructor(root: string) {
    this.#root = root;
    this.#opened = this.#look();
  }

  get isInPlace(): boolean {
    const now = this.#look();
    return now !== undefined && now.ino === this.#opened?.ino && now.dev === this.#opened.dev;
  }

  /** Stands before work on the store. @throws ProvisionerError `ERR_STORE_REPLACED` */
  require(): void {
    if (this.isInPlace) return;
    const isThere = this.#look() !== undefined;
    throw new ProvisionerError(
      'ERR_STORE_REPLACED',
      isThere
        ? `${this.#root} is not the store any more that this process has opened: something is mounted over it, or has been put in its place`
        : `${this.#root} is not there any more: the store has been moved, removed or unmounted while this process had it open`,
      {
        hint: isThere
          ? 'mount volumes before a store is opened; unmount this one, or open the store again to work on what is there now'
          : 'put it back, or open it where it is now',
        details: { path: this.#root },
      },
    );
  }

  /** Undefined for what is not there, or cannot be looked at. */
  #look(): Stats | undefined {
    try {
      return statSync(this.#root, { throwIfNoEntry: false });
    } catch {
      return undefined;
    }
  }
}
