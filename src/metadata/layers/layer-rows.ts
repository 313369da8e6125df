import type { LayerId } from '../../image/digest.js';
import type { ProcessIdentity } from '../../system/locks/process-identity.js';
import type { SqliteConnection } from '../sqlite/sqlite-connection.js';
import type { LayerChange, LayerClaim, LayerRecord, TarState } from './layer-records.js';

/** Layers and their claims in SQLite. Each function runs inside a transaction of its caller. */

export interface LayerRow {
  readonly id: LayerId;
  readonly bytes: number;
  readonly entries: number;
  readonly opaqueRoot: number;
  readonly whiteouts: number;
  readonly describesRoot: number;
  readonly tar: TarState;
  readonly tarBytes: number;
}

export const LAYER_COLUMNS = `layer.id, layer.bytes, layer.entries, layer.opaque_root AS opaqueRoot, layer.whiteouts,
  layer.describes_root AS describesRoot, layer.tar, layer.tar_bytes AS tarBytes`;

export function getLayer(db: SqliteConnection, id: LayerId): LayerRecord | undefined {
  const row = db.statement<[LayerId], LayerRow>(`SELECT ${LAYER_COLUMNS} FROM layer WHERE id = ?`).get(id);
  return row && layerRecord(row);
}

/** Sorted by id. @param after the last id before, the empty text to begin */
export function layerPage(db: SqliteConnection, after: string, limit: number): LayerRecord[] {
  return db
    .statement<[string, number], LayerRow>(`SELECT ${LAYER_COLUMNS} FROM layer WHERE id > ? ORDER BY id LIMIT ?`)
    .all(after, limit)
    .map(layerRecord);
}

export function layerRecord(row: LayerRow): LayerRecord {
  return {
    ...row,
    opaqueRoot: row.opaqueRoot !== 0,
    whiteouts: row.whiteouts !== 0,
    describesRoot: row.describesRoot !== 0,
  };
}

export function missingLayers(db: SqliteConnection, ids: readonly LayerId[]): LayerId[] {
  const missing = db
    .statement<[string], { id: LayerId }>(
      `SELECT asked.value AS id FROM json_each(?) AS asked
       WHERE NOT EXISTS (SELECT 1 FROM layer WHERE layer.id = asked.value) ORDER BY asked.key`,
    )
    .all(JSON.stringify(ids));
  return [...new Set(missing.map((row) => row.id))];
}

export function putLayers(db: SqliteConnection, layers: readonly LayerRecord[]): void {
  const put = db.statement<[LayerId, number, number, number, number, number, TarState, number]>(
    `INSERT INTO layer (id, bytes, entries, opaque_root, whiteouts, describes_root, tar, tar_bytes) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT (id) DO NOTHING`,
  );
  const giveBack = db.statement<[LayerId]>('DELETE FROM layer_claim WHERE layer = ?');
  for (const { id, bytes, entries, opaqueRoot, whiteouts, describesRoot, tar, tarBytes } of layers) {
    put.run(id, bytes, entries, Number(opaqueRoot), Number(whiteouts), Number(describesRoot), tar, tarBytes);
    giveBack.run(id);
  }
}

export function changeLayer(db: SqliteConnection, id: LayerId, { bytes, tar, tarBytes }: LayerChange): void {
  db.statement<[number | null, TarState | null, number | null, LayerId]>(
    `UPDATE layer SET bytes = coalesce(?, bytes), tar = coalesce(?, tar), tar_bytes = coalesce(?, tar_bytes)
     WHERE id = ?`,
  ).run(bytes ?? null, tar ?? null, tarBytes ?? null, id);
}

export function claimLayer(
  db: SqliteConnection,
  id: LayerId,
  process: ProcessIdentity,
  isAlive: (process: ProcessIdentity) => boolean,
): LayerClaim {
  const recorded = db.statement<[LayerId], { found: 1 }>('SELECT 1 AS found FROM layer WHERE id = ?').get(id);
  if (recorded !== undefined) return { state: 'recorded' };
  const holder = db
    .statement<[LayerId], { process: ProcessIdentity }>('SELECT process FROM layer_claim WHERE layer = ?')
    .get(id)?.process;
  // A process is never in its own way: it puts its own operations in order before it asks. A dead one counts for nothing.
  if (holder !== undefined && holder !== process && isAlive(holder)) return { state: 'busy', holder };
  db.statement<[LayerId, ProcessIdentity]>(
    'INSERT INTO layer_claim (layer, process) VALUES (?, ?) ON CONFLICT (layer) DO UPDATE SET process = excluded.process',
  ).run(id, process);
  return { state: 'claimed' };
}

/** @returns how many; there are no more when it is less than `limit` */
export function releaseSomeClaims(db: SqliteConnection, process: ProcessIdentity, limit: number): number {
  return db
    .statement<[ProcessIdentity, number]>(
      'DELETE FROM layer_claim WHERE layer IN (SELECT layer FROM layer_claim WHERE process = ? LIMIT ?)',
    )
    .run(process, limit).changes;
}

export function releaseLayerClaims(db: SqliteConnection, process: ProcessIdentity, ids: readonly LayerId[]): void {
  const release = db.statement<[LayerId, ProcessIdentity]>('DELETE FROM layer_claim WHERE layer = ? AND process = ?');
  for (const id of ids) release.run(id, process);
}

export function claimHolders(db: SqliteConnection): ProcessIdentity[] {
  return db
    .statement<[], { process: ProcessIdentity }>('SELECT DISTINCT process FROM layer_claim')
    .all()
    .map((row) => row.process);
}
