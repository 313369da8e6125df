import { createRequire } from 'node:module';
import { describe, expect, it } from 'vitest';
import { loadBetterSqlite3 } from '#src/metadata/sqlite/drivers/better-sqlite3-driver.js';
import { chooseDriver } from '#src/metadata/sqlite/drivers/choose-driver.js';
import type { SqliteModule } from '#src/metadata/sqlite/drivers/process-sqlite.js';
import type { SqliteDriver } from '#src/metadata/sqlite/drivers/sqlite-driver.js';

const NOT_FOUND = new Error("Cannot find module 'better-sqlite3'\nRequire stack:\n- /app/index.js");
const OTHER_NODE = Object.assign(
  new Error(
    "The module '/app/better_sqlite3.node'\nwas compiled against a different Node.js version using\nNODE_MODULE_VERSION 115. This version of Node.js requires\nNODE_MODULE_VERSION 127. Please try again.",
  ),
  { code: 'ERR_DLOPEN_FAILED' },
);

const driverOf = (module: SqliteModule) => (file?: string) => ({ place: { module, file } }) as SqliteDriver;
const failing = (error: Error) => (): SqliteDriver => {
  throw error;
};
const NONE = failing(new Error('Node.js 20.20.2 brings no SQLite'));

describe('SQLite', () => {
  it('is not loaded before a store is opened', async () => {
    await import('#src/metadata/sqlite/sqlite-metadata-manager.js');
    const loaded = Object.keys(createRequire(import.meta.url).cache);
    expect(loaded.filter((path) => path.includes('better-sqlite3'))).toEqual([]);
  });

  it('is that of better-sqlite3 where both are there', () => {
    const both = { 'better-sqlite3': driverOf('better-sqlite3'), 'node:sqlite': driverOf('node:sqlite') };
    expect(chooseDriver(both)).toEqual({ driver: { place: { module: 'better-sqlite3' } }, missing: undefined });
  });

  it.each([
    ['is not installed', NOT_FOUND, "Cannot find module 'better-sqlite3'"],
    [
      'is there for another Node.js',
      OTHER_NODE,
      "The module '/app/better_sqlite3.node' was compiled against a different Node.js version using NODE_MODULE_VERSION 115",
    ],
  ])('is that of Node.js where better-sqlite3 %s, which is then told in one line', (_, error, missing) => {
    const loaders = { 'better-sqlite3': failing(error), 'node:sqlite': driverOf('node:sqlite') };
    expect(chooseDriver(loaders)).toEqual({ driver: { place: { module: 'node:sqlite' } }, missing });
  });

  it('is reported with the cause and what to do where neither is there', () => {
    expect(() => chooseDriver({ 'better-sqlite3': failing(NOT_FOUND), 'node:sqlite': NONE })).toThrow(
      expect.objectContaining({
        code: 'ERR_NATIVE_MISSING',
        cause: NOT_FOUND,
        hint: expect.stringMatching(/npm rebuild.*22\.13/),
        details: expect.objectContaining({ module: 'better-sqlite3', node: process.version }),
      }),
    );
  });

  it('is for a thread, and for another copy of the package, that of its process, or none', () => {
    const both = { 'better-sqlite3': driverOf('better-sqlite3'), 'node:sqlite': driverOf('node:sqlite') };
    for (const module of ['better-sqlite3', 'node:sqlite'] as const) {
      const place = { module, file: module === 'node:sqlite' ? undefined : '/app/better-sqlite3/index.js' };
      expect(chooseDriver(both, place).driver.place).toEqual(place);
      const other = { ...both, [module]: failing(new Error('this thread is being ended')) };
      expect(() => chooseDriver(other, place)).toThrow(expect.objectContaining({ code: 'ERR_NATIVE_MISSING' }));
    }
  });

  it('of better-sqlite3 is missing, too, when the module is there and its machine code is not', () => {
    class Driver {
      constructor() {
        throw OTHER_NODE;
      }
    }
    expect(() => loadBetterSqlite3('/app/better-sqlite3/index.js', () => Driver as never)).toThrow(OTHER_NODE);
  });
});
