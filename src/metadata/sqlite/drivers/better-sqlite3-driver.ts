import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type BetterSqlite3 from 'better-sqlite3';
import { loadNative } from '../../../system/native-loading.js';
import type { SqliteDriver } from './sqlite-driver.js';

/**
 * @param file what this process uses already. Default: what this package depends on
 * @throws what Node throws for a module that is not there, or whose machine code is not, or is for another Node.js
 */
export function loadBetterSqlite3(file = fileOfDependency(), load = requireBetterSqlite3): SqliteDriver {
  const [Database, own] = loadNative(() => {
    const module = load(file);
    const own = machineCodeOf(file);
    // It loads its machine code with the first database, not with itself.
    new module(':memory:', own).close();
    return [module, own];
  });
  return {
    place: { module: 'better-sqlite3', file },
    open: (path, { readOnly = false, mustExist = false } = {}) =>
      new Database(path, { readonly: readOnly, fileMustExist: readOnly || mustExist, timeout: 0, ...own }),
    openCopy: (bytes) => new Database(bytes, { timeout: 0, ...own }),
    prepareValue(database: BetterSqlite3.Database, sql) {
      // Half as long as a row, which is an object.
      const statement = database.prepare(sql).pluck();
      return () => statement.get();
    },
  };
}

function fileOfDependency(): string {
  return createRequire(import.meta.url).resolve('better-sqlite3');
}

/** Told where it lies, it looks for it nowhere else: that takes as long as to open a store. */
function machineCodeOf(file: string): { readonly nativeBinding?: string } {
  const usual = join(dirname(file), '../build/Release/better_sqlite3.node');
  return existsSync(usual) ? { nativeBinding: usual } : {};
}

function requireBetterSqlite3(file: string): typeof BetterSqlite3 {
  return createRequire(file)(file) as typeof BetterSqlite3;
}
