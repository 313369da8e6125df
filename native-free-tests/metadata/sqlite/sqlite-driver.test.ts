import { createRequire } from 'node:module';
import { describe, expect, it } from 'vitest';
import { type SqliteDriver, sqliteDriver } from '#src/metadata/sqlite/sqlite-driver.js';

describe('the native SQLite module', () => {
  it('is not loaded before a store is opened', async () => {
    await import('#src/metadata/sqlite/sqlite-metadata-manager.js');
    const loaded = Object.keys(createRequire(import.meta.url).cache);
    expect(loaded.filter((path) => path.includes('better-sqlite3'))).toEqual([]);
  });

  it('is reported with the cause and what to do when it is not installed', () => {
    const cause = new Error('Cannot find module');
    const load = () => {
      throw cause;
    };
    expect(() => sqliteDriver(load)).toThrow(
      expect.objectContaining({ code: 'ERR_NATIVE_MISSING', cause, hint: expect.stringContaining('npm rebuild') }),
    );
  });

  it('is reported in the same way when it is there and its machine code is not', () => {
    const cause = Object.assign(new Error('wrong ELF class'), { code: 'ERR_DLOPEN_FAILED' });
    class Driver {
      constructor() {
        throw cause;
      }
    }
    expect(() => sqliteDriver(() => Driver as unknown as SqliteDriver)).toThrow(
      expect.objectContaining({ code: 'ERR_NATIVE_MISSING', cause }),
    );
  });
});
