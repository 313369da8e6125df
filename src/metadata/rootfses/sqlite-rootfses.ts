import type { MountPlace } from '../../system/locks/mount-place.js';
import type { ProcessIdentity } from '../../system/locks/process-identity.js';
import { forgetEndedLaunches } from '../launches/launch-rows.js';
import { type RecordsDatabase, STACKS_PER_PAGE } from '../sqlite/records-database.js';
import type { SqliteConnection } from '../sqlite/sqlite-connection.js';
import { containersOf } from './containers-of.js';
import type {
  ContainerRecord,
  ForkedRootfsRecord,
  NewRootfs,
  RootfsKey,
  RootfsRecord,
  RootfsRecords,
  RootfsSummary,
} from './rootfs-records.js';
import * as rootfses from './rootfs-rows.js';

/** Rootfses in SQLite. */
export class SqliteRootfses implements RootfsRecords {
  readonly #records: RecordsDatabase;
  readonly #db: SqliteConnection;

  constructor(records: RecordsDatabase) {
    this.#records = records;
    this.#db = records.connection;
  }

  async putRootfs(rootfs: NewRootfs, maker?: ProcessIdentity): Promise<void> {
    const put = (order: number) => rootfses.putRootfs(this.#db, rootfs, maker, { now: Date.now(), order });
    const used = await this.#records.witness.write(put);
    if (used) this.#records.cache.clear();
  }

  async forkRootfs(source: RootfsKey, rootfs: ForkedRootfsRecord, maker: ProcessIdentity): Promise<boolean> {
    return this.#records.witness.write(() => rootfses.forkRootfs(this.#db, source, rootfs, maker, Date.now()));
  }

  async containerOwner(containerId: string): Promise<string | undefined> {
    return this.#db.read(() => rootfses.containerOwner(this.#db, containerId));
  }

  async setRootfsMounts(keys: readonly RootfsKey[], mount: MountPlace): Promise<void> {
    return this.#records.freeing(() => this.#db.write(() => rootfses.setRootfsMounts(this.#db, keys, mount)));
  }

  async finishRootfs(rootfs: RootfsKey): Promise<void> {
    return this.#records.witness.write(() => rootfses.finishRootfs(this.#db, rootfs));
  }

  async rootfsesIn(containerId: string): Promise<RootfsSummary[]> {
    return this.#db.read(() => rootfses.rootfsesIn(this.#db, containerId));
  }

  async forgetRootfses(keys: readonly RootfsKey[]): Promise<number> {
    if (keys.length === 0) return 0;
    const forget = () => {
      const forgotten = rootfses.forgetRootfses(this.#db, keys);
      forgetEndedLaunches(
        this.#db,
        keys.map(({ containerId }) => containerId),
        Date.now(),
      );
      return forgotten;
    };
    return this.#records.freeing(() => this.#db.write(forget));
  }

  async getContainer(containerId: string): Promise<ContainerRecord | undefined> {
    return this.#db.read(() => rootfses.getContainer(this.#db, containerId));
  }

  async listContainers(owner?: string): Promise<ContainerRecord[]> {
    const all = await this.#records.pages<RootfsRecord>(STACKS_PER_PAGE, (last, limit) =>
      rootfses.rootfsPage(this.#db, owner, [last?.containerId ?? '', last?.id ?? ''], limit),
    );
    return containersOf(all);
  }
}
