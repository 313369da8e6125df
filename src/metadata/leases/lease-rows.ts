import type { LayerId } from '../../image/digest.js';
import type { ProcessIdentity } from '../../system/locks/process-identity.js';
import { leaseGone } from '../record-errors.js';
import type { SqliteConnection } from '../sqlite/sqlite-connection.js';
import type { LeaseRecord } from './lease-records.js';

/** The leases of pulls in SQLite. Each function runs inside a transaction of its caller. */

interface LeaseRow extends Omit<LeaseRecord, 'layers'> {
  /** JSON list. */
  readonly layers: string;
}

export function openLease(db: SqliteConnection, pull: string, process: ProcessIdentity, now: number): void {
  db.statement<[string, ProcessIdentity, number]>('INSERT INTO lease (pull, process, since) VALUES (?, ?, ?)').run(
    pull,
    process,
    now,
  );
}

export function leaseLayers(db: SqliteConnection, pull: string, layers: readonly LayerId[]): void {
  const open = db.statement<[string], { found: 1 }>('SELECT 1 AS found FROM lease WHERE pull = ?').get(pull);
  if (open === undefined) throw leaseGone(pull);
  const lease = db.statement<[string, LayerId]>(
    'INSERT INTO lease_layer (pull, layer) VALUES (?, ?) ON CONFLICT DO NOTHING',
  );
  for (const layer of layers) lease.run(pull, layer);
}

export function closeLeases(db: SqliteConnection, pulls: readonly string[]): void {
  for (const pull of pulls) db.statement<[string]>('DELETE FROM lease WHERE pull = ?').run(pull);
}

export function listLeases(db: SqliteConnection): LeaseRecord[] {
  return db
    .statement<[], LeaseRow>(
      `SELECT pull, process, since,
         (SELECT json_group_array(layer ORDER BY layer) FROM lease_layer WHERE lease_layer.pull = lease.pull) AS layers
       FROM lease ORDER BY since, pull`,
    )
    .all()
    .map((row) => ({ ...row, layers: JSON.parse(row.layers) as LayerId[] }));
}
