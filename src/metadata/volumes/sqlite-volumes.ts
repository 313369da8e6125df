import type { ProcessIdentity } from '../../system/locks/process-identity.js';
import type { RootfsKey } from '../rootfses/rootfs-records.js';
import { type RecordsDatabase, ROWS_PER_PAGE } from '../sqlite/records-database.js';
import type { SqliteConnection } from '../sqlite/sqlite-connection.js';
import type {
  NewVolume,
  UsedVolumes,
  VolumeClaim,
  VolumeRecord,
  VolumeRecords,
  VolumeRemovalClaim,
  VolumeState,
  WantedVolume,
} from './volume-records.js';
import * as volumes from './volume-rows.js';

type IsAlive = (process: ProcessIdentity) => boolean;

/** Volumes in SQLite. Claims are for the living; all else has to outlast a power cut, so that what a container has is not taken for nobody's. */
export class SqliteVolumes implements VolumeRecords {
  readonly #records: RecordsDatabase;
  readonly #db: SqliteConnection;

  constructor(records: RecordsDatabase) {
    this.#records = records;
    this.#db = records.connection;
  }

  async putVolume(volume: NewVolume): Promise<VolumeRecord> {
    return this.#db.write(() => volumes.putVolume(this.#db, volume, Date.now()));
  }

  async useVolumes(user: RootfsKey, wanted: readonly WantedVolume[]): Promise<UsedVolumes> {
    return this.#db.write(() => volumes.useVolumes(this.#db, user, wanted, Date.now()));
  }

  async claimVolume(name: string, process: ProcessIdentity, isAlive: IsAlive): Promise<VolumeClaim> {
    return this.#db.writeForTheLiving(() => volumes.claimVolume(this.#db, name, process, isAlive));
  }

  async settleVolume(name: string, process: ProcessIdentity): Promise<boolean> {
    return this.#db.write(() => volumes.settleVolume(this.#db, name, process));
  }

  async releaseVolume(name: string, process: ProcessIdentity, state: VolumeState): Promise<void> {
    const release = () => volumes.releaseVolume(this.#db, name, process, state);
    return this.#records.freeing(() => this.#db.writeForTheLiving(release));
  }

  async beginVolumeRemoval(
    name: string,
    owner: string | undefined,
    process: ProcessIdentity,
    isAlive: IsAlive,
  ): Promise<VolumeRemovalClaim> {
    const begin = () => volumes.beginVolumeRemoval(this.#db, name, owner, process, isAlive);
    return this.#records.freeing(() => this.#db.write(begin));
  }

  async forgetVolume(name: string, process: ProcessIdentity): Promise<void> {
    const forget = () => volumes.forgetVolume(this.#db, name, process);
    return this.#records.freeing(() => this.#db.write(forget));
  }

  async getVolume(name: string): Promise<VolumeRecord | undefined> {
    return this.#db.read(() => volumes.getVolume(this.#db, name));
  }

  async listVolumes(): Promise<VolumeRecord[]> {
    return this.#records.pages<VolumeRecord>(ROWS_PER_PAGE, (last, limit) =>
      volumes.volumePage(this.#db, last?.name ?? '', limit),
    );
  }
}
