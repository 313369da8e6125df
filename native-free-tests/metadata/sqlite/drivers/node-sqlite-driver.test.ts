import { once } from 'node:events';
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { loadNodeSqlite } from '#src/metadata/sqlite/drivers/node-sqlite-driver.js';
import type { SqliteDriver } from '#src/metadata/sqlite/drivers/sqlite-driver.js';
import { SqliteLifeLocks } from '#src/metadata/sqlite/sqlite-life-locks.js';
import { SqliteMetadataManager } from '#src/metadata/sqlite/sqlite-metadata-manager.js';
import { describeLiveness } from '../../../contracts/liveness.js';
import { metadataManagerContract } from '../../../contracts/metadata-manager.js';
import { sqliteDriverContract } from '../../../contracts/sqlite-driver.js';
import { temporaryDirectory } from '../../../helpers/memory-store.js';

const warnings: string[] = [];
process.on('warning', ({ message }) => warnings.push(message));
const driver = loadOrNone();

/** @returns undefined on an older Node.js */
function loadOrNone(): SqliteDriver | undefined {
  try {
    return loadNodeSqlite();
  } catch {
    return undefined;
  }
}

const newPath = () => join(temporaryDirectory(), 'metadata.sqlite');

if (driver === undefined) {
  it(`SQLite of Node.js cannot be had on Node.js ${process.versions.node}, which is said`, () => {
    const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
    expect(major < 22 || (major === 22 && minor < 13)).toBe(true);
    expect(() => loadNodeSqlite()).toThrow(`Node.js ${process.versions.node} brings no SQLite`);
  });
} else {
  sqliteDriverContract(driver);
  // Releases that end a text at its first NUL lose nothing by it: neither JSON nor a name can hold one.
  const text = driver.openCopy(Buffer.alloc(0)).prepare<[], { text: string }>('SELECT char(65, 0, 65) AS text').get();
  const readsNul = text?.text === 'A\0A';
  const open = () => SqliteMetadataManager.open(newPath(), { driver });
  metadataManagerContract('the manager on SQLite of Node.js', open, { readsNul });
  describeLiveness('the locks of SQLite of Node.js', () => new SqliteLifeLocks(() => driver));

  describe('SQLite of Node.js', () => {
    it('is loaded without a word of Node’s, whose other warnings are told', async () => {
      const told = once(process, 'warning');
      process.emitWarning('something else');
      await told;
      await turn();
      expect(warnings).toEqual(['something else']);
    });
  });

  describe('records that can only be read, with SQLite of Node.js', () => {
    const opened: SqliteMetadataManager[] = [];
    afterEach(async () => {
      for (const manager of opened.splice(0)) await manager.close();
    });
    const open = async (path: string, readOnly: boolean) => {
      const manager = await SqliteMetadataManager.open(path, { driver, readOnly });
      opened.push(manager);
      return manager;
    };
    const lease = (manager: SqliteMetadataManager, pull: string) => manager.openLease(pull, 'nobody');
    const pulls = async (manager: SqliteMetadataManager) => (await manager.listLeases()).map(({ pull }) => pull).sort();

    it('are read while others write them, after they have closed them, and after they have opened them again', async () => {
      const path = newPath();
      const writer = await open(path, false);
      await lease(writer, 'one');
      const early = await open(path, true);
      expect(await pulls(early)).toEqual(['one']);
      await lease(writer, 'two');
      expect(await pulls(early)).toEqual(['one', 'two']);
      await early.close();
      await writer.close();
      const reader = await open(path, true);
      expect(await pulls(reader)).toEqual(['one', 'two']);
      const again = await open(path, false);
      await lease(again, 'three');
      await again.close();
      expect(await pulls(reader)).toEqual(['one', 'three', 'two']);
      await expect(lease(reader, 'four')).rejects.toMatchObject({ code: 'ERR_READ_ONLY' });
    });

    it('are read from a copy that was made while they were in use, with what stands in the log alone', async () => {
      const path = newPath();
      const writer = await open(path, false);
      await lease(writer, 'in-the-log');
      const copy = newPath();
      for (const suffix of ['', '-wal']) copyFileSync(`${path}${suffix}`, `${copy}${suffix}`);
      expect(await pulls(await open(copy, true))).toEqual(['in-the-log']);
    });
  });
}
