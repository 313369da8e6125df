import { lstatSync } from 'node:fs';
import { recordsAway } from '../record-errors.js';

/**
 * Stands before SQLite is asked to open a database: of one that is not there, or has nothing in it, it deletes the log, and with that what was committed last. It
 * writes nothing to the log before the file has its first page, so it has not left it so.
 * @throws ProvisionerError `ERR_STORE_DAMAGED`
 */
export function requireNoOrphanedLog(path: string): void {
  // The log first: who is just making the database has its first page then.
  if (!sizeOf(`${path}-wal`)) return;
  const size = sizeOf(path);
  if (!size) throw recordsAway(path, size === undefined ? 'missing' : 'empty');
}

function sizeOf(path: string): number | undefined {
  return lstatSync(path, { throwIfNoEntry: false })?.size;
}
