import type { SqlitePlace } from './process-sqlite.js';

/**
 * What is used of SQLite, whichever module brings it. Statements are the modules' own, since a call on one takes little longer than one that does nothing, and so
 * are their errors, which `sqlite-errors.ts` knows.
 *
 * A process uses one of them, on all its threads: see `agreedSqlite`.
 */
export interface SqliteDriver {
  readonly place: SqlitePlace;
  /** Never waits for other processes: what they hold is busy at once. @throws in the module's words */
  open(path: string, options?: OpenOptions): Database;
  /** Opens a copy of what `bytes` hold, a whole file without a log. Changes of it reach nobody. @throws in the module's words, or as Node's `fs` */
  openCopy(bytes: Buffer): Database;
  /** A question without parameters for one value, which is asked all the time. @param database of this driver @returns asks it: the first column of the first row */
  prepareValue(database: Database, sql: string): () => unknown;
}

export interface OpenOptions {
  /** Nothing is made or written. Default: false. */
  readonly readOnly?: boolean;
  /** It is an error when there is no such file. Default: it is made, unless `readOnly`. */
  readonly mustExist?: boolean;
}

export interface Database {
  /** Whether a transaction is open. After some errors, a full disk for one, SQLite has ended it by itself. */
  readonly inTransaction: boolean;
  /** Compiles one statement. */
  prepare<Parameters extends unknown[] = unknown[], Row = unknown>(sql: string): Statement<Parameters, Row>;
  /** Runs any number of statements, and has no answer. */
  exec(sql: string): void;
  /** Ends an open transaction without a trace, and gives back all locks. Nothing of it can be used after that. */
  close(): void;
}

/**
 * Parameters are values for `?`, in their order, or one object for all `@name`. A value is a text, a number, a bigint, bytes or null; `undefined` is refused by one
 * of the modules, and null for the other. Rows are plain objects, perhaps
 * without a prototype; integers in them are numbers. A text ends at a NUL in it, where Node.js
 * before 24 reads it.
 */
export interface Statement<Parameters extends unknown[], Row> {
  /** The first row. Only for statements that answer in rows. */
  get(...parameters: Parameters): Row | undefined;
  /** All rows. Only for statements that answer in rows. */
  all(...parameters: Parameters): Row[];
  /** @returns how many rows a change has changed, and the key of the last one that was inserted */
  run(...parameters: Parameters): Outcome;
}

export interface Outcome {
  /** Without those that foreign keys changed along with them. */
  readonly changes: number;
  readonly lastInsertRowid: number | bigint;
}
