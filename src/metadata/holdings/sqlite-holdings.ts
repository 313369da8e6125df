import { type RecordsDatabase, ROWS_PER_PAGE } from '../sqlite/records-database.js';
import type { SqliteConnection } from '../sqlite/sqlite-connection.js';
import type {
  HeldBy,
  HoldingChange,
  HoldingKey,
  HoldingRecord,
  HoldingRecords,
  HoldingsWanted,
  HoldingTaker,
  TakenHoldings,
  WantedHolding,
} from './holding-records.js';
import * as holdings from './holding-rows.js';
import { requireOnce } from './wanted-names.js';

/** Holdings in SQLite. */
export class SqliteHoldings implements HoldingRecords {
  readonly #records: RecordsDatabase;
  readonly #db: SqliteConnection;

  constructor(records: RecordsDatabase) {
    this.#records = records;
    this.#db = records.connection;
  }

  async takeHoldings(taker: HoldingTaker, wanted: readonly WantedHolding[]): Promise<TakenHoldings> {
    requireOnce(wanted);
    // What is made for it may outlast a power cut: an address in a plugin's own records.
    return this.#db.write(() => holdings.takeHoldings(this.#db, taker, wanted, Date.now()));
  }

  async changeHolding(holding: HoldingKey, change: HoldingChange): Promise<boolean> {
    return this.#db.writeForTheLiving(() => holdings.changeHolding(this.#db, holding, change));
  }

  async releaseHoldings(held: readonly HeldBy[]): Promise<void> {
    if (held.length === 0) return;
    return this.#records.freeing(() => this.#db.writeForTheLiving(() => holdings.releaseHoldings(this.#db, held)));
  }

  async listHoldings(wanted: HoldingsWanted = {}): Promise<HoldingRecord[]> {
    return this.#records.pages<HoldingRecord>(ROWS_PER_PAGE, (last, limit) =>
      holdings.holdingPage(this.#db, wanted, last, limit),
    );
  }
}
