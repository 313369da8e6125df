import type { ProcessIdentity } from '../../system/locks/process-identity.js';
import type { RecordsDatabase } from '../sqlite/records-database.js';
import type { SqliteConnection } from '../sqlite/sqlite-connection.js';
import type {
  FoundPulls,
  NewPull,
  PullAnnouncement,
  PullKey,
  PullRecord,
  PullRecords,
  PullReport,
  PullResult,
} from './pull-records.js';
import * as pulls from './pull-rows.js';

/** The records of pulls in SQLite. */
export class SqlitePulls implements PullRecords {
  readonly #records: RecordsDatabase;
  readonly #db: SqliteConnection;

  constructor(records: RecordsDatabase) {
    this.#records = records;
    this.#db = records.connection;
  }

  async announcePull(pull: NewPull, isAlive: (process: ProcessIdentity) => boolean): Promise<PullAnnouncement> {
    return this.#db.writeForTheLiving(() => pulls.announcePull(this.#db, pull, isAlive, Date.now()));
  }

  async reportPull(pull: string, report: PullReport): Promise<void> {
    return this.#db.writeForTheLiving(() => pulls.reportPull(this.#db, pull, report));
  }

  async finishPull(pull: string, result: PullResult, at: number = Date.now()): Promise<void> {
    return this.#records.freeing(() => this.#db.writeForTheLiving(() => pulls.finishPull(this.#db, pull, result, at)));
  }

  async findPulls(image: Pick<PullKey, 'source' | 'platform'>): Promise<FoundPulls> {
    // In this order a pull that finishes in between is in both, not in neither.
    const running = await this.#db.read(() => pulls.runningPulls(this.#db, image));
    return { running, outcomes: await this.#db.read(() => pulls.pullOutcomes(this.#db, image)) };
  }

  async listPulls(): Promise<PullRecord[]> {
    return this.#db.read(() => pulls.listPulls(this.#db));
  }
}
