import type { SqliteConnection } from './sqlite-connection.js';

/** How many faults of one kind are told. */
const FAULTS_MAX = 100;

interface MissingParent {
  readonly table: string;
  readonly rowid: number | null;
  readonly parent: string;
}

/**
 * Asks SQLite whether the file is sound, and whether every row that points at another one finds it. Reads the whole file, without giving up the thread: some
 * 10 ms for a store of 10 000 layers.
 * @see sqlite.org/pragma.html, integrity_check, foreign_key_check
 */
export function verifyDatabase(db: SqliteConnection): string[] {
  const integrity = db
    .statement<[], { integrity_check: string }>(`PRAGMA integrity_check(${FAULTS_MAX})`)
    .all()
    .map((row) => row.integrity_check);
  const orphans = db.statement<[], MissingParent>('PRAGMA foreign_key_check').all();
  return [
    ...integrity.filter((answer) => answer !== 'ok'),
    ...orphans
      .slice(0, FAULTS_MAX)
      .map(({ table, rowid, parent }) => `row ${rowid ?? '?'} of ${table} points at a ${parent} that is not there`),
  ];
}
