import type { LayerId } from '../../image/digest.js';
import type { ProcessIdentity } from '../../system/locks/process-identity.js';
import { type RecordsDatabase, ROWS_PER_PAGE } from '../sqlite/records-database.js';
import type { SqliteConnection } from '../sqlite/sqlite-connection.js';
import type { LayerChange, LayerClaim, LayerRecord, LayerRecords } from './layer-records.js';
import * as layers from './layer-rows.js';

/** Layers and their claims in SQLite. */
export class SqliteLayers implements LayerRecords {
  readonly #records: RecordsDatabase;
  readonly #db: SqliteConnection;

  constructor(records: RecordsDatabase) {
    this.#records = records;
    this.#db = records.connection;
  }

  async getLayer(id: LayerId): Promise<LayerRecord | undefined> {
    return this.#db.read(() => layers.getLayer(this.#db, id));
  }

  async missingLayers(ids: readonly LayerId[]): Promise<LayerId[]> {
    return this.#db.read(() => layers.missingLayers(this.#db, ids));
  }

  async putLayers(records: readonly LayerRecord[]): Promise<void> {
    if (records.length === 0) return;
    return this.#records.witness.write(() => layers.putLayers(this.#db, records));
  }

  async listLayers(): Promise<LayerRecord[]> {
    return this.#records.pages<LayerRecord>(ROWS_PER_PAGE, (last, limit) =>
      layers.layerPage(this.#db, last?.id ?? '', limit),
    );
  }

  async changeLayer(id: LayerId, change: LayerChange): Promise<void> {
    return this.#records.change(() => layers.changeLayer(this.#db, id, change));
  }

  async claimLayer(
    id: LayerId,
    process: ProcessIdentity,
    isAlive: (process: ProcessIdentity) => boolean,
  ): Promise<LayerClaim> {
    return this.#db.writeForTheLiving(() => layers.claimLayer(this.#db, id, process, isAlive));
  }

  async releaseLayerClaims(process: ProcessIdentity, ids?: readonly LayerId[]): Promise<void> {
    if (ids === undefined) {
      return this.#records.portions((limit) => layers.releaseSomeClaims(this.#db, process, limit));
    }
    return this.#records.freeing(() =>
      this.#db.writeForTheLiving(() => layers.releaseLayerClaims(this.#db, process, ids)),
    );
  }

  async dropDeadClaims(isAlive: (process: ProcessIdentity) => boolean): Promise<void> {
    const holders = await this.#db.read(() => layers.claimHolders(this.#db));
    // The dead do not come back, so this needs no transaction with the look at them.
    for (const holder of holders) if (!isAlive(holder)) await this.releaseLayerClaims(holder);
  }
}
