import { descriptorShortage, firstLine, noDescriptors, ProvisionerError } from '../../../base/errors.js';
import { loadBetterSqlite3 } from './better-sqlite3-driver.js';
import { loadNodeSqlite } from './node-sqlite-driver.js';
import { agreedSqlite, agreeOnSqlite, type SqliteModule, type SqlitePlace } from './process-sqlite.js';
import type { SqliteDriver } from './sqlite-driver.js';

interface Choice {
  readonly driver: SqliteDriver;
  /** Why it is not better-sqlite3. */
  readonly missing: string | undefined;
}

export type Loaders = Readonly<Record<SqliteModule, (file?: string) => SqliteDriver>>;

const LOADERS: Loaders = { 'better-sqlite3': (file) => loadBetterSqlite3(file), 'node:sqlite': loadNodeSqlite };

let chosen: Choice | undefined;

/**
 * SQLite, loaded when a store is first opened, so that everything else runs on a machine without it: that of better-sqlite3, which is the faster one, and where that
 * cannot be loaded, that of Node.js.
 * @param only what this process uses already. Default: what it has agreed on, else either
 * @throws ProvisionerError `ERR_NATIVE_MISSING`, `ERR_NO_DESCRIPTORS`
 */
export function sqliteDriver(only: SqlitePlace | undefined = agreedSqlite()): SqliteDriver {
  chosen ??= chooseDriver(LOADERS, only);
  agreeOnSqlite(chosen.driver.place);
  return chosen.driver;
}

/** Why `sqliteDriver` settled for Node's own; undefined when it did not. */
export function betterSqlite3MissingReason(): string | undefined {
  sqliteDriver();
  return chosen?.missing;
}

/** @throws ProvisionerError `ERR_NATIVE_MISSING`, `ERR_NO_DESCRIPTORS` */
export function chooseDriver(loaders: Loaders, only?: SqlitePlace): Choice {
  let cause: unknown;
  try {
    if (only?.module !== 'node:sqlite') return { driver: loaders['better-sqlite3'](only?.file), missing: undefined };
  } catch (error) {
    const shortage = descriptorShortage(error);
    if (shortage !== undefined) throw noDescriptors('load better-sqlite3', shortage, error);
    cause = error;
  }
  try {
    if (only?.module !== 'better-sqlite3')
      return { driver: loaders['node:sqlite'](), missing: cause === undefined ? undefined : clause(cause) };
  } catch {
    // That an older Node.js has none is no news.
  }
  const machine = `${process.platform}-${process.arch}`;
  throw new ProvisionerError('ERR_NATIVE_MISSING', `better-sqlite3 cannot be loaded on ${machine}`, {
    cause,
    hint: 'run `npm rebuild better-sqlite3` with the Node.js that runs this program, or use Node.js 22.13 or newer, which brings SQLite',
    details: { module: 'better-sqlite3', machine, node: process.version },
  });
}

function clause(error: unknown): string {
  if (!(error instanceof Error) || (error as NodeJS.ErrnoException).code !== 'ERR_DLOPEN_FAILED')
    return firstLine(error);
  // Of machine code for another Node.js, Node tells in several lines and sentences; the first sentence says it.
  return error.message.replace(/\s+/g, ' ').replace(/\. .*/, '');
}
