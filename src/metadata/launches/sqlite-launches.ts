import { type RecordsDatabase, ROWS_PER_PAGE } from '../sqlite/records-database.js';
import type { SqliteConnection } from '../sqlite/sqlite-connection.js';
import { checkedChange } from './launch-change.js';
import type {
  LaunchChange,
  LaunchEvent,
  LaunchEventsWanted,
  LaunchesWanted,
  LaunchRecord,
  LaunchRecords,
  NewLaunch,
  NewLaunchEvent,
  PutLaunch,
  UnendedLaunch,
} from './launch-records.js';
import * as launches from './launch-rows.js';

/** Launches in SQLite. */
export class SqliteLaunches implements LaunchRecords {
  readonly #records: RecordsDatabase;
  readonly #db: SqliteConnection;

  constructor(records: RecordsDatabase) {
    this.#records = records;
    this.#db = records.connection;
  }

  async putLaunch(launch: NewLaunch): Promise<PutLaunch> {
    // Records without it would let its container be destroyed.
    return this.#records.witness.write(() => launches.putLaunch(this.#db, launch, Date.now()));
  }

  async changeLaunch(id: string, change: LaunchChange): Promise<boolean> {
    const checked = checkedChange(id, change, Date.now());
    const work = () => launches.changeLaunch(this.#db, id, checked, Date.now());
    // After a power cut nothing runs, in whichever state it was. An end is told to people.
    const write = () =>
      checked.to === 'exited' || checked.from.includes('exited')
        ? this.#db.write(work)
        : this.#db.writeForTheLiving(work);
    return this.#records.freeing(write);
  }

  async getLaunch(containerId: string): Promise<LaunchRecord | undefined> {
    return this.#db.read(() => launches.getLaunch(this.#db, containerId));
  }

  async listLaunches(wanted: LaunchesWanted = {}): Promise<LaunchRecord[]> {
    return this.#records.pages<LaunchRecord>(ROWS_PER_PAGE, (last, limit) =>
      launches.launchPage(this.#db, wanted, last?.containerId ?? '', limit),
    );
  }

  async unendedLaunches(containerId: string): Promise<UnendedLaunch[]> {
    return this.#db.read(() => launches.unendedLaunches(this.#db, containerId));
  }

  async forgetLaunches(containerId: string, id?: string): Promise<boolean> {
    const forget = () => launches.forgetLaunches(this.#db, containerId, id ?? null, Date.now());
    return this.#records.freeing(() => this.#db.write(forget));
  }

  async noteLaunchEvent(event: NewLaunchEvent): Promise<void> {
    return this.#db.writeForTheLiving(() => launches.noteEvent(this.#db, event, Date.now()));
  }

  async launchEvents(wanted: LaunchEventsWanted): Promise<LaunchEvent[]> {
    return this.#db.read(() => launches.launchEvents(this.#db, wanted));
  }

  async newestLaunchEvent(): Promise<number> {
    return this.#db.read(() => launches.newestEvent(this.#db));
  }
}
