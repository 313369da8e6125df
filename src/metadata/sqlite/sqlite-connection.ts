import { closeSync, constants } from 'node:fs';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isProvisionerError, ProvisionerError } from '../../base/errors.js';
import { type FileIdentity, fileIdentity, isSameFile } from '../../base/file-identity.js';
import { makeOwnFile } from '../../base/own-files.js';
import { recordsReplaced, storeClosed } from '../record-errors.js';
import { sqliteDriver } from './drivers/choose-driver.js';
import type { Database, SqliteDriver, Statement } from './drivers/sqlite-driver.js';
import { recordsInUse, tryMigrateAlone } from './migrate-alone.js';
import { isEmpty, migrate, needsMigration } from './migrations.js';
import { requireNoOrphanedLog } from './orphaned-log.js';
import { ReadOnlyDatabase } from './read-only-database.js';
import { databaseError, isBusy, recordsReadOnly, storeBusy } from './sqlite-errors.js';

export interface SqliteOptions {
  /** How long a call waits for other processes that are writing, in milliseconds. Default: 10 000. */
  readonly busyTimeout?: number;
  /** Whether a commit reaches the device before it is reported. Default: true. */
  readonly durable?: boolean;
  /** Nothing is made or written, and every `write` fails with `ERR_READ_ONLY`. Default: false. */
  readonly readOnly?: boolean;
  /** Default: the one that this process uses. */
  readonly driver?: SqliteDriver;
  /** Called within the transaction that makes the tables. */
  readonly onCreated?: (connection: SqliteConnection) => void;
}

/** How long a call waits for other processes, in milliseconds. */
export const DEFAULT_BUSY_TIMEOUT = 10_000;

/** So long others who have records open that must be brought up to date are waited for, in milliseconds: most commands are over by then. */
const IN_USE_WAIT = 1000;

/** Bounds of the pause between two tries, in milliseconds. A transaction takes some tens of microseconds. */
const SHORTEST_PAUSE = 1;
const LONGEST_PAUSE = 25;
/**
 * So many milliseconds a look at the file is good for a write: whoever works on a store looks when he begins. What is replaced while he is at it is replaced too
 * late for that look anyway.
 */
const LOOK_LASTS = 10;

/**
 * One open database: transactions, prepared statements, and patience with other processes.
 *
 * A transaction is a synchronous function: it runs from BEGIN to COMMIT without giving up the thread, so two calls in one
 * process never meet. Between processes one writes at a time; SQLite itself never waits, because it would block the event
 * loop: a busy database is asked again after a pause.
 */
export class SqliteConnection {
  /** Of its file, absolute. */
  readonly path: string;
  readonly #driver: SqliteDriver;
  readonly #opened: Database | ReadOnlyDatabase;
  readonly #busyTimeout: number;
  readonly #durable: boolean;
  /** Compiled when first used, by their text. */
  readonly #statements = new Map<string, Statement<unknown[], unknown>>();
  readonly #values = new Map<string, () => unknown>();
  /** Its file on the disk, which is not given to another one while this has it open. */
  readonly #file: FileIdentity | undefined;
  /** When that was seen in its place the last time. */
  #seen = 0;
  #open = true;

  private constructor(
    driver: SqliteDriver,
    opened: Database | ReadOnlyDatabase,
    path: string,
    { busyTimeout = DEFAULT_BUSY_TIMEOUT, durable = true }: SqliteOptions,
  ) {
    this.#driver = driver;
    this.#opened = opened;
    this.path = path;
    this.#busyTimeout = busyTimeout;
    this.#durable = durable;
    this.#file = fileIdentity(path);
  }

  /**
   * Opens the database, makes it when it is not there, and brings an older one up to date when nobody else has it open.
   * @throws ProvisionerError `ERR_STORE_IN_USE` when somebody else has, for longer than a command takes
   */
  static async open(file: string, options: SqliteOptions = {}): Promise<SqliteConnection> {
    const path = resolve(file);
    const { driver = sqliteDriver() } = options;
    if (options.readOnly) return new SqliteConnection(driver, await openReadOnly(driver, path, options), path, options);
    let started: number | undefined;
    for (let tries = 0; ; tries++) {
      const connection = new SqliteConnection(driver, openFile(driver, path), path, options);
      try {
        if (await connection.#prepareFile(options)) return connection;
      } catch (error) {
        connection.close();
        throw error;
      }
      // It would stand in its own way.
      connection.close();
      if (upToDate(driver, path, options)) continue;
      started ??= performance.now();
      if (performance.now() - started >= IN_USE_WAIT) throw recordsInUse(path);
      await sleep(pause(tries));
    }
  }

  /** Whether nothing can be written by this connection. */
  get isReadOnly(): boolean {
    return this.#opened instanceof ReadOnlyDatabase;
  }

  get #database(): Database {
    return this.#opened instanceof ReadOnlyDatabase ? this.#opened.database : this.#opened;
  }

  /** A statement of this database. Use it only inside `read` or `write`. */
  statement<Parameters extends unknown[], Row = never>(sql: string): Statement<Parameters, Row> {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#database.prepare<unknown[], unknown>(sql);
      this.#statements.set(sql, statement);
    }
    return statement as Statement<Parameters, Row>;
  }

  /** The first column of the first row. Use it only inside `read` or `write`. @param sql without parameters */
  value<Value>(sql: string): Value | undefined {
    let ask = this.#values.get(sql);
    if (ask === undefined) {
      ask = this.#driver.prepareValue(this.#database, sql);
      this.#values.set(sql, ask);
    }
    return ask() as Value | undefined;
  }

  /** Runs `question`, which asks with one statement: SQLite makes that a transaction of its own. */
  async read<Answer>(question: () => Answer): Promise<Answer> {
    return this.#patiently(() => {
      if (this.#opened instanceof ReadOnlyDatabase && this.#opened.renew()) this.#forgetStatements();
      return question();
    });
  }

  /** Runs `change` in one transaction: when it throws, nothing of it has happened. It may run more than once. @throws ProvisionerError as `requireInPlace`; `ERR_READ_ONLY` */
  async write<Result>(change: () => Result): Promise<Result> {
    if (this.isReadOnly) throw recordsReadOnly(this.path);
    // At once with the write lock: a transaction that began with a read could be refused at its first write.
    return this.#patiently(() => {
      if (performance.now() - this.#seen > LOOK_LASTS) this.requireInPlace();
      return this.#transaction('BEGIN IMMEDIATE', change);
    });
  }

  /**
   * As `write`, for what only living processes need, such as claims and leases: it survives the end of this process at once, a power cut only with the
   * next `write`, and does not wait for the disk.
   */
  async writeForTheLiving<Result>(change: () => Result): Promise<Result> {
    if (!this.#durable || this.isReadOnly) return this.write(change);
    return this.#patiently(() => {
      // With a write-ahead log this commit is then not synced; a checkpoint still is. It can be changed between transactions only.
      this.statement('PRAGMA synchronous = NORMAL').run();
      try {
        return this.#transaction('BEGIN IMMEDIATE', change);
      } finally {
        this.statement('PRAGMA synchronous = FULL').run();
      }
    });
  }

  /**
   * Whoever deletes or replaces the file leaves this connection with one that nobody else sees: what is recorded in it is lost, and what others record is not
   * known here. Costs up to 10 µs while others mount and unmount. One that only reads opens what is there anew with each look.
   * @throws ProvisionerError `ERR_STORE_DAMAGED` when the path does not lead to the file that is open any more
   */
  requireInPlace(): void {
    if (!this.#open) throw storeClosed();
    if (this.isReadOnly) return;
    const there = fileIdentity(this.path);
    if (isSameFile(there, this.#file)) {
      this.#seen = performance.now();
      return;
    }
    this.#seen = 0;
    throw recordsReplaced(this.path, there === undefined ? 'deleted' : 'replaced');
  }

  /** Calls that are waiting for another process fail with `ERR_CLOSED`. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#forgetStatements();
    this.#opened.close();
  }

  #forgetStatements(): void {
    this.#statements.clear();
    this.#values.clear();
  }

  #transaction<Result>(begin: 'BEGIN IMMEDIATE' | 'BEGIN DEFERRED', body: () => Result): Result {
    this.statement(begin).run();
    try {
      const result = body();
      this.statement('COMMIT').run();
      return result;
    } catch (error) {
      // After some errors, a full disk for one, SQLite has rolled back by itself.
      if (this.#database.inTransaction) this.statement('ROLLBACK').run();
      throw error;
    }
  }

  #patiently<Result>(attempt: () => Result): Promise<Result> {
    return patiently(this.path, this.#busyTimeout, () => {
      if (!this.#open) throw storeClosed();
      return attempt();
    });
  }

  /** @returns false for records of an older release: they are as they were */
  async #prepareFile({ durable = true, onCreated }: SqliteOptions): Promise<boolean> {
    // Looks before it writes: a file that is not ours stays as it is. In one transaction, because another process may be
    // making the tables of a new store just now, and half of what it does would look like another program's file.
    const look = () => ({ old: needsMigration(this.#database, this.path), empty: isEmpty(this.#database) });
    const { old, empty } = await this.#patiently(() => this.#transaction('BEGIN DEFERRED', look));
    if (old && !empty) return false;
    await this.#patiently(() => configure(this.#database, this.path, durable));
    if (!old) return true;
    return this.write(() => {
      // Another process has made them meanwhile, of whatever release.
      if (!isEmpty(this.#database)) return !needsMigration(this.#database, this.path);
      migrate(this.#database, this.path);
      onCreated?.(this);
      return true;
    });
  }
}

/** @returns false while others have the records open @throws in this project's words */
function upToDate(driver: SqliteDriver, path: string, { durable = true }: SqliteOptions): boolean {
  try {
    return tryMigrateAlone(driver, path, durable);
  } catch (error) {
    throw databaseError(error, path);
  }
}

/** Asks a busy database again after a pause. @throws in this project's words */
async function patiently<Result>(path: string, busyTimeout: number, attempt: () => Result): Promise<Result> {
  let started: number | undefined;
  for (let tries = 0; ; tries++) {
    try {
      return attempt();
    } catch (error) {
      if (!isBusy(error)) throw databaseError(error, path);
      started ??= performance.now();
      const waited = performance.now() - started;
      if (waited >= busyTimeout) throw storeBusy(path, waited, error);
      await sleep(Math.min(pause(tries), busyTimeout - waited));
    }
  }
}

function openReadOnly(
  driver: SqliteDriver,
  path: string,
  { busyTimeout = DEFAULT_BUSY_TIMEOUT }: SqliteOptions,
): Promise<ReadOnlyDatabase> {
  return patiently(path, busyTimeout, () => new ReadOnlyDatabase(driver, path));
}

/** Grows to the longest one, each a little different so that waiting processes do not march in step. */
function pause(tries: number): number {
  const longest = Math.min(LONGEST_PAUSE, SHORTEST_PAUSE * 2 ** tries);
  return Math.max(SHORTEST_PAUSE, longest * (0.5 + Math.random() / 2));
}

/**
 * Makes the file before SQLite does: that would let the umask decide who may read it. The companions get the mode of the file from SQLite. One that is there is
 * not opened, because closing it would drop the locks that this process holds on it by another connection.
 * @see https://www.sqlite.org/howtocorrupt.html "Posix advisory locks canceled by a separate thread doing close()"
 */
function makePrivately(path: string): void {
  try {
    const { O_CREAT, O_EXCL, O_WRONLY } = constants;
    closeSync(makeOwnFile(path, O_CREAT | O_EXCL | O_WRONLY));
  } catch {
    // It is there, which is well, or cannot be made, which SQLite has words for.
  }
}

function openFile(driver: SqliteDriver, path: string): Database {
  requireNoOrphanedLog(path);
  makePrivately(path);
  try {
    return driver.open(path);
  } catch (error) {
    const translated = databaseError(error, path);
    if (isProvisionerError(translated)) throw translated;
    // better-sqlite3 has words of its own for a missing directory, without a code.
    throw new ProvisionerError('ERR_IO', `cannot open the records at ${path}`, {
      cause: error,
      hint: 'check that its directory exists and may be written',
      details: { path },
    });
  }
}

function configure(database: Database, path: string, durable: boolean): void {
  // Readers and one writer at a time do not wait for each other, and a commit is one append.
  const mode = database.prepare<[], { journal_mode: string }>('PRAGMA journal_mode = WAL').get()?.journal_mode;
  if (mode !== 'wal') {
    throw new ProvisionerError('ERR_IO', `the file system of ${path} cannot hold a write-ahead log`, {
      hint: 'put the store on a local file system',
      details: { path, mode: String(mode) },
    });
  }
  // What was reported as done survives a power cut. The module's own default, NORMAL, may lose the last commits.
  database.exec(`PRAGMA synchronous = ${durable ? 'FULL' : 'OFF'}`);
  database.exec('PRAGMA foreign_keys = ON');
  // Sorting a long answer needs no room on a disk that may be full.
  database.exec('PRAGMA temp_store = MEMORY');
  // 4 MiB of log between two checkpoints: they cost 2 % of a busy agent's time, and a store opens after a crash at once.
  database.exec('PRAGMA wal_autocheckpoint = 1000');
  // A log that a long read let grow is cut back at the next checkpoint.
  database.exec(`PRAGMA journal_size_limit = ${16 * 1024 * 1024}`);
}
