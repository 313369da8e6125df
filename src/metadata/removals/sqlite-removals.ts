import type { ImageId, LayerId } from '../../image/digest.js';
import type { ProcessIdentity } from '../../system/locks/process-identity.js';
import type { LongWork } from '../long-work.js';
import type { RecordsDatabase } from '../sqlite/records-database.js';
import type { SqliteConnection } from '../sqlite/sqlite-connection.js';
import * as rows from './removal-rows.js';
import type { Removal, Removals, Removed } from './removals.js';

/** Removals from the records in SQLite. */
export class SqliteRemovals implements Removals {
  readonly #records: RecordsDatabase;
  readonly #db: SqliteConnection;
  readonly #longWork: LongWork | undefined;

  /** @param longWork takes what would keep the event loop for long; undefined when it is done here */
  constructor(records: RecordsDatabase, longWork: LongWork | undefined) {
    this.#records = records;
    this.#db = records.connection;
    this.#longWork = longWork;
  }

  async prepareRemoval(removal: Removal): Promise<void> {
    if (isLong(removal)) await this.#longWork?.prepare();
  }

  async removeUnused(removal: Removal, process: ProcessIdentity, exactly: boolean): Promise<Removed> {
    this.#db.requireInPlace();
    // For this connection that is another process's change, which `SqliteCache` notices.
    const long = isLong(removal) ? this.#longWork : undefined;
    return this.#records.freeing(() =>
      long === undefined
        ? this.#records.change(() => rows.removeUnused(this.#db, removal, process, exactly))
        : long.removeUnused(removal, process, exactly),
    );
  }

  async dropUnusedStacks(): Promise<void> {
    return this.#records.portions((limit) => rows.dropSomeUnusedStacks(this.#db, limit));
  }

  async forgetLayers(ids: readonly LayerId[]): Promise<ImageId[]> {
    if (ids.length === 0) return [];
    return this.#records.freeing(() => this.#records.change(() => rows.forgetLayers(this.#db, ids)));
  }
}

/** Layers, each of which takes 10 to 20 µs to go. An image, with its documents, names and stack, takes as long as three. */
const REMOVED_AT_ONCE = 1500;
function isLong({ images, layers }: Removal): boolean {
  return 3 * images.length + layers.length > REMOVED_AT_ONCE;
}
