import { type Stats, statSync } from 'node:fs';
import { ProvisionerError } from '../base/errors.js';
import { isSameFile } from '../base/file-identity.js';
import type { MetadataManager } from '../metadata/metadata-manager.js';

/**
 * The directory that the path of an open store led to when it was opened. All work goes by that path, so when a volume is mounted over it, or another directory put
 * in its place, this process would go on in what is there now, with the records of what was there before. The same goes for the records alone.
 */
export class StorePlace {
  readonly #root: string;
  readonly #records: Pick<MetadataManager, 'requireInPlace'> | undefined;
  readonly #opened: Stats | undefined;

  /** @param root absolute, and there @param records those that are kept in it, and are not to be replaced either */
  constructor(root: string, records?: Pick<MetadataManager, 'requireInPlace'>) {
    this.#root = root;
    this.#records = records;
    this.#opened = this.#look();
  }

  get isInPlace(): boolean {
    return isSameFile(this.#look(), this.#opened);
  }

  /** Stands before work on the store. @throws ProvisionerError `ERR_STORE_REPLACED`; `ERR_STORE_DAMAGED` as `requireInPlace` of the records */
  require(): void {
    if (this.#records === undefined) {
      this.#requireRoot();
      return;
    }
    try {
      // The way to them is by the root, so this is one look at both.
      this.#records.requireInPlace();
    } catch (error) {
      this.#requireRoot();
      throw error;
    }
  }

  #requireRoot(): void {
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
