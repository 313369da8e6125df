import { SqliteHoldings } from '../holdings/sqlite-holdings.js';
import { SqliteImages } from '../images/sqlite-images.js';
import { SqliteLaunches } from '../launches/sqlite-launches.js';
import { SqliteLayers } from '../layers/sqlite-layers.js';
import { SqliteLeases } from '../leases/sqlite-leases.js';
import type { LongWork } from '../long-work.js';
import { SqlitePulls } from '../pulls/sqlite-pulls.js';
import { SqliteRemovals } from '../removals/sqlite-removals.js';
import { SqliteRootfses } from '../rootfses/sqlite-rootfses.js';
import { SectionedMetadataManager } from '../sectioned-metadata-manager.js';
import { SqliteState } from '../state/sqlite-state.js';
import { SqliteVolumes } from '../volumes/sqlite-volumes.js';
import type { SqliteDriver } from './drivers/sqlite-driver.js';
import { type Freeing, RecordsDatabase } from './records-database.js';
import { RecordsWitness, writeGap } from './records-witness.js';
import { SqliteConnection } from './sqlite-connection.js';

export interface SqliteMetadataManagerOptions {
  /** How long a call waits for other processes that are writing, in milliseconds. Default: 10 000. */
  readonly busyTimeout?: number;
  /** Whether what has been reported survives a power cut. Default: true. */
  readonly durable?: boolean;
  /** Nothing is made or written; whatever would fails with `ERR_READ_ONLY`. Default: false. */
  readonly readOnly?: boolean;
  /** Default: the one that this process uses. */
  readonly driver?: SqliteDriver;
  /** Asked when the records are made, or are older: false when the store has something in it, which they then do not tell of. Default: true. */
  readonly isStoreEmpty?: () => boolean;
  /** The file that says how far they have come: see `RecordsWitness`. Default: none, so that older records are not told. */
  readonly generationFile?: string;
  /** Takes what would keep the event loop for long. Default: it is done here. */
  readonly longWork?: LongWork;
  /** Makes room for what frees space, such as a removal, when the disk is full. Default: nothing does. */
  readonly freeing?: Freeing;
}

/** The store's records in one SQLite database, shared by all processes that have the store open. */
export class SqliteMetadataManager extends SectionedMetadataManager {
  readonly #records: RecordsDatabase;
  readonly #longWork: LongWork | undefined;

  private constructor(records: RecordsDatabase, longWork: LongWork | undefined) {
    super({
      images: new SqliteImages(records),
      layers: new SqliteLayers(records),
      rootfses: new SqliteRootfses(records),
      launches: new SqliteLaunches(records),
      holdings: new SqliteHoldings(records),
      volumes: new SqliteVolumes(records),
      leases: new SqliteLeases(records),
      pulls: new SqlitePulls(records),
      removals: new SqliteRemovals(records, longWork),
      state: new SqliteState(records, longWork),
    });
    this.#records = records;
    this.#longWork = longWork;
  }

  /**
   * Opens the database at `path`; makes it when it is not there, and brings one of an older release up to date.
   * @throws ProvisionerError `ERR_STORE_FORMAT` when a newer release or another program wrote it, `ERR_STORE_IN_USE` when an older one did and others have it open,
   *   `ERR_STORE_DAMAGED` when it is no database, `ERR_STORE_BUSY`, `ERR_NATIVE_MISSING`, `ERR_PERMISSION`, `ERR_NO_SPACE` or `ERR_IO`
   */
  static async open(path: string, options: SqliteMetadataManagerOptions = {}): Promise<SqliteMetadataManager> {
    const { isStoreEmpty = () => true, generationFile, longWork, freeing, ...others } = options;
    const onCreated = (db: SqliteConnection) => {
      if (!isStoreEmpty()) writeGap(db, 'lost');
    };
    const db = await SqliteConnection.open(path, { ...others, onCreated });
    const { durable = true } = options;
    const witness = new RecordsWitness(db, { path: generationFile, durable, isStoreEmpty });
    const manager = new SqliteMetadataManager(new RecordsDatabase(db, witness, freeing), longWork);
    try {
      await witness.compare();
      return manager;
    } catch (error) {
      await manager.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#longWork?.close();
    this.#records.witness.close();
    this.#records.connection.close();
  }
}
