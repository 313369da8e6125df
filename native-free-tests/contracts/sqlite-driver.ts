import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Database, SqliteDriver } from '#src/metadata/sqlite/drivers/sqlite-driver.js';
import { databaseError, isBusy } from '#src/metadata/sqlite/sqlite-errors.js';
import { temporaryDirectory } from '../helpers/memory-store.js';

const SCHEMA = `
  CREATE TABLE fruit (key INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, picked_at INTEGER, taste TEXT) STRICT;
  CREATE TABLE seed (fruit INTEGER NOT NULL REFERENCES fruit (key) ON DELETE CASCADE) STRICT`;
const INSERT = 'INSERT INTO fruit (name, picked_at, taste) VALUES (?, ?, ?)';
const COUNT = 'SELECT count(*) AS count FROM fruit';
type Fruit = { name: string; picked_at: number | null; taste: string | null };

/** What every module that brings SQLite promises. */
export function sqliteDriverContract(driver: SqliteDriver): void {
  const newPath = () => join(temporaryDirectory(), 'fruit.sqlite');

  /** Works on a database of fruit, and closes it. */
  function onFruit<Result>(work: (database: Database, path: string) => Result, path = newPath()): Result {
    const database = driver.open(path);
    try {
      database.exec(`PRAGMA journal_mode = WAL; PRAGMA foreign_keys = ON; ${SCHEMA}`);
      return work(database, path);
    } finally {
      database.close();
    }
  }
  const count = (database: Database) => database.prepare<[], { count: number }>(COUNT).get()?.count;

  /** SQLite's code for what went wrong, and this project's. */
  function failure(work: () => unknown, path = '/nowhere'): { code: unknown; sqlite: unknown; busy: boolean } {
    try {
      work();
    } catch (error) {
      const { code, details } = databaseError(error, path) as { code: unknown; details: Record<string, unknown> };
      return { code, sqlite: details['sqlite'], busy: isBusy(error) };
    }
    throw new Error('it went well');
  }

  describe(`the statements of ${driver.place.module}`, () => {
    it('give back texts, numbers up to the times of tomorrow, and nulls as they were bound', () =>
      onFruit((database) => {
        const put = database.prepare<[string, number | bigint, string | null]>(INSERT);
        put.run('apple', 1_900_000_000_000, null);
        put.run('Äpfel \u{1f34e}', -1, '');
        put.run('pear', 7n, "it's");
        const all = database.prepare<[], Fruit>('SELECT name, picked_at, taste FROM fruit ORDER BY key').all();
        expect(all).toEqual([
          { name: 'apple', picked_at: 1_900_000_000_000, taste: null },
          { name: 'Äpfel \u{1f34e}', picked_at: -1, taste: '' },
          { name: 'pear', picked_at: 7, taste: "it's" },
        ]);
        expect(Object.keys(all[0] ?? {})).toEqual(['name', 'picked_at', 'taste']);
      }));

    it('take values in their order, and by their names, as often as one is named', () =>
      onFruit((database) => {
        database.prepare<[string, number, string]>(INSERT).run('apple', 1, 'sweet');
        const ordered = database.prepare<[number, string], Fruit>(
          'SELECT name FROM fruit WHERE picked_at = ? AND taste = ?',
        );
        expect(ordered.get(1, 'sweet')).toEqual({ name: 'apple' });
        expect(ordered.get(2, 'sweet')).toBeUndefined();
        const named = database.prepare<[{ name: string; limit: number }], Fruit>(
          'SELECT name FROM fruit WHERE name = @name OR taste = @name LIMIT @limit',
        );
        expect(named.all({ name: 'sweet', limit: 5 })).toEqual([{ name: 'apple' }]);
        expect(named.all({ name: 'sweet', limit: 0 })).toEqual([]);
      }));

    it('tell how many rows they changed, without those that foreign keys took along, and the key of a new one', () =>
      onFruit((database) => {
        const put = database.prepare<[string, number, null]>(INSERT);
        expect(put.run('apple', 1, null)).toMatchObject({ changes: 1, lastInsertRowid: 1 });
        const { lastInsertRowid } = put.run('pear', 1, null);
        const seed = database.prepare<[number | bigint]>('INSERT INTO seed VALUES (?)');
        for (let seeds = 0; seeds < 3; seeds++) seed.run(lastInsertRowid);
        const move = database.prepare<[number, number]>('UPDATE fruit SET picked_at = ? WHERE picked_at = ?');
        expect(move.run(2, 1).changes).toBe(2);
        expect(move.run(2, 1).changes).toBe(0);
        expect(database.prepare<[number]>('DELETE FROM fruit WHERE picked_at = ?').run(2).changes).toBe(2);
        expect(database.prepare('SELECT * FROM seed').all()).toEqual([]);
        const again = 'INSERT INTO fruit (name) VALUES (?) ON CONFLICT DO NOTHING';
        expect([1, 2].map(() => database.prepare<[string]>(again).run('fig').changes)).toEqual([1, 0]);
      }));

    it('ask for one value at a time, and see what has changed since', () =>
      onFruit((database, path) => {
        const fruit = driver.prepareValue(database, COUNT);
        const version = driver.prepareValue(database, 'PRAGMA data_version');
        const none = driver.prepareValue(database, 'SELECT key FROM fruit WHERE 0');
        expect([fruit(), none()]).toEqual([0, undefined]);
        const before = version();
        database.prepare<[string, null, null]>(INSERT).run('apple', null, null);
        expect([fruit(), version()]).toEqual([1, before]);
        const other = driver.open(path);
        other.prepare<[string, null, null]>(INSERT).run('pear', null, null);
        other.close();
        expect(fruit()).toBe(2);
        expect(version()).not.toBe(before);
      }));

    it('give rows of a change that returns some', () =>
      onFruit((database) => {
        for (const name of ['apple', 'pear']) database.prepare<[string, null, null]>(INSERT).run(name, null, null);
        expect(database.prepare('DELETE FROM fruit RETURNING name').all()).toEqual([
          { name: 'apple' },
          { name: 'pear' },
        ]);
        expect(count(database)).toBe(0);
      }));

    it('hold nothing after their first row, and go on after a failure and a change of the schema', () =>
      onFruit((database, path) => {
        const put = database.prepare<[string, null, null]>(INSERT);
        for (const name of ['apple', 'pear']) put.run(name, null, null);
        const first = database.prepare<[], Fruit>('SELECT * FROM fruit ORDER BY key');
        expect(first.get()?.name).toBe('apple');
        expect(failure(() => put.run('apple', null, null)).sqlite).toBe('SQLITE_CONSTRAINT_UNIQUE');
        expect(put.run('fig', null, null).changes).toBe(1);
        database.exec('ALTER TABLE fruit ADD COLUMN colour TEXT');
        expect(first.get()).toMatchObject({ name: 'apple', colour: null });
        // A read that is still going on would keep the log from being emptied.
        const checkpoint = database.prepare<[], { busy: number }>('PRAGMA wal_checkpoint(TRUNCATE)').get();
        expect(checkpoint?.busy).toBe(0);
        expect(readFileSync(`${path}-wal`)).toHaveLength(0);
      }));
  });

  describe(`a transaction of ${driver.place.module}`, () => {
    it('is open from its beginning to its end, and is not when SQLite has ended it by itself', () =>
      onFruit((database) => {
        expect(database.inTransaction).toBe(false);
        for (const end of ['COMMIT', 'ROLLBACK']) {
          database.prepare('BEGIN IMMEDIATE').run();
          expect(database.inTransaction).toBe(true);
          database.prepare<[string, null, null]>(INSERT).run(end, null, null);
          database.prepare(end).run();
          expect(database.inTransaction).toBe(false);
        }
        expect(count(database)).toBe(1);
        database.exec('BEGIN DEFERRED');
        expect(database.inTransaction).toBe(true);
        expect(() => database.exec("INSERT OR ROLLBACK INTO fruit (name) VALUES ('COMMIT')")).toThrow();
        expect(database.inTransaction).toBe(false);
      }));

    it('leaves no trace and no lock when the database is closed in it', () =>
      onFruit((database, path) => {
        const other = driver.open(path);
        other.exec('BEGIN IMMEDIATE');
        other.prepare<[string, null, null]>(INSERT).run('apple', null, null);
        other.prepare('SELECT * FROM fruit').get();
        other.close();
        database.exec('BEGIN IMMEDIATE; COMMIT');
        expect(count(database)).toBe(0);
      }));

    it('is refused at once while another one has the file, and the code says for how long', () =>
      onFruit((database, path) => {
        const other = driver.open(path);
        try {
          database.exec('BEGIN IMMEDIATE');
          const began = performance.now();
          expect(failure(() => other.prepare('BEGIN IMMEDIATE').run())).toMatchObject({
            sqlite: 'SQLITE_BUSY',
            busy: true,
          });
          expect(performance.now() - began).toBeLessThan(1000);
          other.exec('BEGIN DEFERRED');
          expect(count(other)).toBe(0);
          database.prepare<[string, null, null]>(INSERT).run('apple', null, null);
          database.exec('COMMIT');
          const late = () => other.prepare<[string, null, null]>(INSERT).run('pear', null, null);
          expect(failure(late)).toMatchObject({ sqlite: 'SQLITE_BUSY_SNAPSHOT', busy: true });
        } finally {
          other.close();
        }
      }));

    it('shuts all others out when it is exclusive', () => {
      const path = newPath();
      writeFileSync(path, '');
      const [one, other] = [driver.open(path), driver.open(path)];
      one.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
      expect(failure(() => other.exec('BEGIN EXCLUSIVE'))).toMatchObject({ busy: true });
      one.close();
      other.exec('BEGIN EXCLUSIVE');
      other.close();
      expect(readFileSync(path)).toHaveLength(0);
    });
  });

  describe(`a file opened by ${driver.place.module}`, () => {
    it('is made, unless it must be there or is only to be read', () => {
      const [path, directory] = [newPath(), temporaryDirectory()];
      for (const options of [{ readOnly: true }, { mustExist: true }]) {
        expect(() => driver.open(path, options)).toThrow();
        expect(existsSync(path)).toBe(false);
      }
      for (const name of ['a%20b', 'a?mode=ro', 'ä#', "o'clock"]) {
        const made = driver.open(join(directory, name));
        made.exec('CREATE TABLE t (a)');
        made.close();
        const again = driver.open(join(directory, name), { mustExist: true });
        expect(again.prepare('SELECT name FROM sqlite_schema').all()).toEqual([{ name: 't' }]);
        again.close();
      }
      expect(readdirSync(directory)).toHaveLength(4);
    });

    it('is not written when it is opened to be read', () =>
      onFruit((database, path) => {
        database.prepare<[string, null, null]>(INSERT).run('apple', null, null);
        const reading = driver.open(path, { readOnly: true });
        expect(count(reading)).toBe(1);
        const write = () => reading.exec('DELETE FROM fruit');
        expect(failure(write, path)).toEqual({ code: 'ERR_PERMISSION', sqlite: 'SQLITE_READONLY', busy: false });
        reading.close();
        expect(count(database)).toBe(1);
      }));

    it('is called damaged when it is no database', () => {
      const path = newPath();
      writeFileSync(path, 'not a database '.repeat(1000));
      const look = () => driver.open(path).prepare('SELECT 1 FROM sqlite_schema').get();
      expect(failure(look, path)).toEqual({ code: 'ERR_STORE_DAMAGED', sqlite: 'SQLITE_NOTADB', busy: false });
    });

    it('is called damaged when a table or a column is not there that it should have', () =>
      onFruit((database, path) => {
        const damaged = { code: 'ERR_STORE_DAMAGED', sqlite: 'SQLITE_ERROR', busy: false };
        const all = database.prepare('SELECT * FROM seed');
        for (const sql of ['SELECT * FROM tree', 'SELECT colour FROM fruit', 'INSERT INTO fruit (colour) VALUES (1)']) {
          expect([sql, failure(() => database.prepare(sql).run(), path)]).toEqual([sql, damaged]);
          expect([sql, failure(() => database.exec(sql), path)]).toEqual([sql, damaged]);
        }
        database.exec('DROP TABLE seed');
        expect(failure(() => all.all(), path)).toEqual(damaged);
      }));

    it('cannot be a directory, which is told with a code', () => {
      const path = newPath();
      mkdirSync(path);
      expect(failure(() => driver.open(path), path)).toMatchObject({
        code: 'ERR_IO',
        sqlite: expect.stringMatching(/^SQLITE_CANTOPEN/),
        busy: false,
      });
    });

    it('that has no more room is told as full, and takes what fits', () =>
      onFruit((database, path) => {
        const pages = database.prepare<[], { page_count: number }>('PRAGMA page_count').get()?.page_count ?? 0;
        database.exec(`PRAGMA max_page_count = ${pages + 1}`);
        const put = database.prepare<[string, null, string]>(INSERT);
        const large = () => put.run('melon', null, 'x'.repeat(1_000_000));
        expect(failure(large, path)).toEqual({ code: 'ERR_NO_SPACE', sqlite: 'SQLITE_FULL', busy: false });
        expect(put.run('fig', null, 'x').changes).toBe(1);
      }));

    it('cannot be used once it is closed', () => {
      const path = newPath();
      const [database, statement] = onFruit((open) => [open, open.prepare(COUNT)], path);
      expect(() => statement.get()).toThrow();
      expect(() => database.exec('SELECT 1')).toThrow();
      expect(readdirSync(join(path, '..'))).toEqual(['fruit.sqlite']);
    });
  });

  describe(`a copy opened by ${driver.place.module}`, () => {
    it('holds what the bytes say, may be changed, and leaves the file and the temporary directory as they were', () => {
      const path = newPath();
      onFruit((database) => database.prepare<[string, null, null]>(INSERT).run('apple', null, null), path);
      // As read elsewhere: without a log.
      const file = driver.open(path);
      file.exec('PRAGMA journal_mode = DELETE');
      file.close();
      const bytes = readFileSync(path);
      const copies = () => readdirSync(tmpdir()).filter((name) => name.startsWith('provisioner-records-'));
      const before = copies();
      const copy = driver.openCopy(Buffer.from(bytes));
      expect(count(copy)).toBe(1);
      copy.exec('BEGIN IMMEDIATE; CREATE TABLE more (a); COMMIT');
      for (const name of ['pear', 'fig'])
        copy.prepare<[string, null, string]>(INSERT).run(name, null, name.repeat(9999));
      expect(count(copy)).toBe(3);
      copy.close();
      expect(copies().filter((name) => !before.includes(name))).toEqual([]);
      expect(readFileSync(path).equals(bytes)).toBe(true);
    });
  });
}
