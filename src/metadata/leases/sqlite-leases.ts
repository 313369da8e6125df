import type { LayerId } from '../../image/digest.js';
import type { ProcessIdentity } from '../../system/locks/process-identity.js';
import type { RecordsDatabase } from '../sqlite/records-database.js';
import type { SqliteConnection } from '../sqlite/sqlite-connection.js';
import type { LeaseRecord, LeaseRecords } from './lease-records.js';
import * as leases from './lease-rows.js';

/** The leases of pulls in SQLite. */
export class SqliteLeases implements LeaseRecords {
  readonly #records: RecordsDatabase;
  readonly #db: SqliteConnection;

  constructor(records: RecordsDatabase) {
    this.#records = records;
    this.#db = records.connection;
  }

  async openLease(pull: string, process: ProcessIdentity): Promise<void> {
    return this.#db.writeForTheLiving(() => leases.openLease(this.#db, pull, process, Date.now()));
  }

  async leaseLayers(pull: string, ids: readonly LayerId[]): Promise<void> {
    return this.#db.writeForTheLiving(() => leases.leaseLayers(this.#db, pull, ids));
  }

  async closeLeases(pulls: readonly string[]): Promise<void> {
    if (pulls.length === 0) return;
    return this.#records.freeing(() => this.#db.writeForTheLiving(() => leases.closeLeases(this.#db, pulls)));
  }

  async listLeases(): Promise<LeaseRecord[]> {
    return this.#db.read(() => leases.listLeases(this.#db));
  }
}
