import type { ProcessIdentity } from '../../system/locks/process-identity.js';
import { removeUnused } from '../removals/removal-rows.js';
import type { Removal, Removed } from '../removals/removals.js';
import { sqliteDriver } from './drivers/choose-driver.js';
import type { SqlitePlace } from './drivers/process-sqlite.js';
import { SqliteConnection } from './sqlite-connection.js';
import { verifyDatabase } from './sqlite-verify.js';

/** The long work on the records as a thread does it: each opens the database, works, and closes it. */

export interface RecordsPlace {
  /** The database, absolute. */
  readonly path: string;
  /** What the process uses that has it open. */
  readonly sqlite: SqlitePlace;
  /** Whether what has been reported survives a power cut. */
  readonly durable: boolean;
  /** Default: false. */
  readonly readOnly?: boolean;
}

export interface RemovalRequest extends RecordsPlace {
  readonly removal: Removal;
  readonly process: ProcessIdentity;
  readonly exactly: boolean;
}

/** Loads what the others need. */
export async function prepareRecords(place: RecordsPlace): Promise<undefined> {
  return onDatabase(place, async () => undefined);
}

/** @throws ProvisionerError what `Removals.removeUnused` throws; then nothing has changed */
export async function removeUnusedRecords(request: RemovalRequest): Promise<Removed> {
  const { removal, process, exactly } = request;
  return onDatabase(request, (db) => db.write(() => removeUnused(db, removal, process, exactly)));
}

export async function verifyRecords(place: RecordsPlace): Promise<string[]> {
  return onDatabase(place, (db) => db.read(() => verifyDatabase(db)));
}

async function onDatabase<Result>(
  { path, sqlite, durable, readOnly = false }: RecordsPlace,
  work: (db: SqliteConnection) => Promise<Result>,
): Promise<Result> {
  const db = await SqliteConnection.open(path, { driver: sqliteDriver(sqlite), durable, readOnly });
  try {
    return await work(db);
  } finally {
    db.close();
  }
}
