import { closeSync, constants, existsSync, unlinkSync } from 'node:fs';
import { makeOwnFile } from '../../base/own-files.js';
import type { LifeLock, LifeLocks } from '../../system/locks/life-locks.js';
import { sqliteDriver } from './drivers/choose-driver.js';
import type { Database, SqliteDriver } from './drivers/sqlite-driver.js';

/**
 * Lives shown by SQLite's own locks, for machines where the records can be opened and the system calls cannot be made. These locks are the kernel's too
 * (fcntl), so each kind of `LifeLocks` sees what the other one holds. @see sqlite.org/lockingv3.html
 */
export class SqliteLifeLocks implements LifeLocks {
  readonly #driver: () => SqliteDriver;

  constructor(driver: () => SqliteDriver = sqliteDriver) {
    this.#driver = driver;
  }

  hold(path: string): LifeLock | undefined {
    closeSync(makeOwnFile(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW));
    const database = lock(this.#driver(), path);
    if (database === 'held' || database === undefined) return undefined;
    if (existsSync(path)) return { release: () => database.close() };
    database.close();
    return undefined;
  }

  isHeld(path: string): boolean {
    const database = lock(this.#driver(), path);
    if (database === 'held') return true;
    database?.close();
    return false;
  }

  removeUnheld(path: string): boolean {
    const database = lock(this.#driver(), path);
    if (database === 'held') return false;
    try {
      if (database !== undefined) unlinkSync(path);
    } finally {
      database?.close();
    }
    return true;
  }
}

/** @returns undefined when there is no such file; `held` also when it cannot be told */
function lock(driver: SqliteDriver, path: string): Database | 'held' | undefined {
  if (!existsSync(path)) return undefined;
  let database: Database | undefined;
  try {
    database = driver.open(path, { mustExist: true });
    // Else a journal would stand beside it.
    database.exec('PRAGMA journal_mode = MEMORY');
    database.exec('BEGIN EXCLUSIVE');
    return database;
  } catch {
    database?.close();
    return existsSync(path) ? 'held' : undefined;
  }
}
