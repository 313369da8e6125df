import type { LongWork } from '../long-work.js';
import type { RecordsDatabase } from '../sqlite/records-database.js';
import { writeGap } from '../sqlite/records-witness.js';
import type { SqliteConnection } from '../sqlite/sqlite-connection.js';
import { verifyDatabase } from '../sqlite/sqlite-verify.js';
import type { RecordCounts, RecordsGap, RecordsState } from './records-state.js';

/** Pages of 4 KiB, of which 1 MiB takes some 5 ms. */
const VERIFIED_AT_ONCE = 1000;

/** What the records in SQLite say of themselves. */
export class SqliteState implements RecordsState {
  readonly #records: RecordsDatabase;
  readonly #db: SqliteConnection;
  readonly #longWork: LongWork | undefined;

  /** @param longWork takes what would keep the event loop for long; undefined when it is done here */
  constructor(records: RecordsDatabase, longWork: LongWork | undefined) {
    this.#records = records;
    this.#db = records.connection;
    this.#longWork = longWork;
  }

  async recordsGap(): Promise<RecordsGap | undefined> {
    return this.#records.witness.gap();
  }

  async setRecordsGap(gap: RecordsGap | undefined): Promise<void> {
    return this.#records.freeing(() => this.#db.write(() => writeGap(this.#db, gap)));
  }

  requireInPlace(): void {
    this.#db.requireInPlace();
  }

  async count(): Promise<RecordCounts> {
    return this.#db.read(() => countRecords(this.#db));
  }

  async verify(): Promise<string[]> {
    const pages = await this.#db.read(() => this.#db.statement<[], { page_count: number }>('PRAGMA page_count').get());
    if (this.#longWork !== undefined && (pages?.page_count ?? 0) > VERIFIED_AT_ONCE) return this.#longWork.verify();
    return this.#db.read(() => verifyDatabase(this.#db));
  }
}

function countRecords(db: SqliteConnection): RecordCounts {
  const counts = db
    .statement<[], RecordCounts>(
      `SELECT (SELECT count(*) FROM image) AS images, (SELECT count(*) FROM layer) AS layers,
         (SELECT count(DISTINCT container) FROM rootfs) AS containers`,
    )
    .get();
  return counts as RecordCounts;
}
