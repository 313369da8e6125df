import { lstatSync } from 'node:fs';
import { ProvisionerError } from '../../base/errors.js';
import { locksOn } from '../../system/syscalls/lock-table.js';
import type { SqliteDriver } from './drivers/sqlite-driver.js';
import { migrate } from './migrations.js';
import { isBusy } from './sqlite-errors.js';

/**
 * Brings records of an older release up to date, in one transaction, if nobody else has them open: who has would go on with tables that he does not know. Whoever
 * has a database with a write-ahead log open, in whatever release, holds a shared lock on its file from his first look until he closes it, and the kernel lets go of
 * that when he dies. This one asks for the file alone, and whoever opens it meanwhile finds it busy. The caller must not have it open himself.
 * @param durable as in `SqliteOptions` @returns false when somebody else has it open; then nothing has changed
 * @throws as SQLite; ProvisionerError `ERR_STORE_FORMAT` when a newer release was quicker
 * @see sqlite.org/pragma.html#pragma_locking_mode; sqlite.org/wal.html, "Use of WAL Without Shared-Memory"
 */
export function tryMigrateAlone(driver: SqliteDriver, path: string, durable: boolean): boolean {
  const database = driver.open(path, { mustExist: true });
  try {
    // Before the first look at the file: with a shared lock on it, it would be too late.
    database.exec('PRAGMA locking_mode = EXCLUSIVE');
    database.exec(`PRAGMA synchronous = ${durable ? 'FULL' : 'OFF'}`);
    database.exec('PRAGMA foreign_keys = ON');
    database.exec('BEGIN EXCLUSIVE');
    migrate(database, path);
    database.exec('COMMIT');
    return true;
  } catch (error) {
    if (isBusy(error)) return false;
    throw error;
  } finally {
    // What was not committed goes with it.
    database.close();
  }
}

/** @param path of the records, which others have open */
export function recordsInUse(path: string): ProvisionerError {
  const pids = usersOf(path);
  const who = pids.length === 0 ? 'another process' : pids.map(described).join(' and ');
  return new ProvisionerError(
    'ERR_STORE_IN_USE',
    `the records at ${path} are those of an older release and cannot be brought up to date while ${who} ${pids.length > 1 ? 'have' : 'has'} them open`,
    {
      hint: 'end what uses the store, all agents and commands of the older release, then open it again; containers may go on, and nothing was changed',
      details: { path, pids: pids.map(String) },
    },
  );
}

/** The processes that have SQLite's locks on the file, as far as the system tells; without duplicates. */
function usersOf(path: string): number[] {
  const file = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  if (file === undefined) return [];
  return [...new Set(locksOn(file, 'POSIX').map(({ pid }) => pid))].sort((one, other) => one - other);
}

function described(pid: number): string {
  return pid === process.pid ? `this process (${pid}), by another provisioner,` : `process ${pid}`;
}
