import { createRequire } from 'node:module';
import type BetterSqlite3 from 'better-sqlite3';
import { ProvisionerError } from '../../base/errors.js';
import { loadNative } from '../../system/native-loading.js';

export type SqliteDriver = typeof BetterSqlite3;

let loaded: SqliteDriver | undefined;

/**
 * The native SQLite module, loaded when a store is first opened, so that everything else runs on a machine without it.
 * @throws ProvisionerError `ERR_NATIVE_MISSING`
 */
export function sqliteDriver(load: () => SqliteDriver = requireDriver): SqliteDriver {
  if (loaded !== undefined && load === requireDriver) return loaded;
  try {
    const driver = loadNative(() => {
      const module = load();
      // The module loads its machine code with the first database, not with itself.
      new module(':memory:').close();
      return module;
    });
    if (load === requireDriver) loaded = driver;
    return driver;
  } catch (error) {
    const machine = `${process.platform}-${process.arch}`;
    throw new ProvisionerError('ERR_NATIVE_MISSING', `better-sqlite3 cannot be loaded on ${machine}`, {
      cause: error,
      hint: 'run `npm rebuild better-sqlite3` with the Node.js that runs this program',
      details: { module: 'better-sqlite3', machine, node: process.version },
    });
  }
}

function requireDriver(): SqliteDriver {
  return createRequire(import.meta.url)('better-sqlite3') as SqliteDriver;
}
