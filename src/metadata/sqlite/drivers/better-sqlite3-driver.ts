import { createRequire } from 'node:module';
import type BetterSqlite3 from 'better-sqlite3';
import { loadNative } from '../../../system/native-loading.js';
import type { SqliteDriver } from './sqlite-driver.js';

/**
 * @param file what this process uses already. Default: what this package depends on
 * @throws what Node throws for a module that is not there, or whose machine code is not, or is for another Node.js
 */
export function loadBetterSqlite3(file = fileOfDependency(), load = requireBetterSqlite3): SqliteDriver {
  const Database = loadNative(() => {
    const module = load(file);
    // It loads its machine code with the first database, not with itself.
    new module(':memory:').close();
    return module;
  });
  return {
    place: { module: 'better-sqlite3', file },
    open: (path, { readOnly = false, mustExist = false } = {}) =>
      new Database(path, { readonly: readOnly, fileMustExist: readOnly || mustExist, timeout: 0 }),
    openCopy: (bytes) => new Database(bytes, { timeout: 0 }),
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

function requireBetterSqlite3(file: string): typeof BetterSqlite3 {
  return createRequire(file)(file) as typeof BetterSqlite3;
}
