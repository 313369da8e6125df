/** A module that brings SQLite. */
export type SqliteModule = 'better-sqlite3' | 'node:sqlite';

/** One copy of SQLite. */
export interface SqlitePlace {
  readonly module: SqliteModule;
  /** What is required of better-sqlite3, absolute: several installations of it are several copies. */
  readonly file: string | undefined;
}

/** The same for all copies of this package, of whatever release. */
const AGREED = Symbol.for('provisioner.sqlite');

/**
 * The copy of SQLite that this process uses for the records, once some copy of this package, such as another package brings along, has opened some: two copies on
 * one file do not know of each other, and when one closes it, the kernel drops the locks that the other holds. Threads have globals of their own, and are told.
 * @see sqlite.org/howtocorrupt.html, "Multiple copies of SQLite linked into the same application"
 */
export function agreedSqlite(): SqlitePlace | undefined {
  return Reflect.get(globalThis, AGREED) as SqlitePlace | undefined;
}

export function agreeOnSqlite(place: SqlitePlace): void {
  Reflect.set(globalThis, AGREED, place);
}
