import { describe, expect, it } from 'vitest';
import { SqliteMetadataManager } from '#src/metadata/sqlite/sqlite-metadata-manager.js';
import { digestOf, image, ours, rootfs } from '../../native-free-tests/contracts/metadata-records.js';
import { forgetTree, twoImages } from '../../native-free-tests/contracts/metadata-steps.js';
import { databasePath, faults, inspect } from './sqlite-files.js';

const path = databasePath();
const app = image('app', []).id;
const other = image('other', []).id;

/** Records in which a row, such as something that stands on the store may have, points at what a query finds. */
async function recordsWith(table: 'image' | 'stack' | 'layer', query: string): Promise<SqliteMetadataManager> {
  const manager = await SqliteMetadataManager.open(path());
  await twoImages(manager);
  inspect(path(), (database) => {
    database.exec(`CREATE TABLE run (id TEXT PRIMARY KEY, needs INTEGER NOT NULL REFERENCES ${table} (key)) STRICT`);
    expect(database.prepare(`INSERT INTO run SELECT 'r7', key FROM (${query})`).run().changes).toBe(1);
  });
  return manager;
}

async function removeEverything(manager: SqliteMetadataManager, exactly = false) {
  const layers = (await manager.listLayers()).map(({ id }) => id);
  return manager.removeUnused({ images: await manager.listImages(), layers }, ours, exactly);
}

describe('a row of others that points at an image', () => {
  const query = `SELECT key FROM image WHERE id = '${app}'`;

  it('keeps that and its layers, and the rest goes', async () => {
    const manager = await recordsWith('image', query);
    const removed = await removeEverything(manager);
    expect(removed.images).toEqual([other]);
    expect([...removed.layers].toSorted()).toEqual([digestOf('orphan'), digestOf('other layer')].toSorted());
    expect((await manager.listImages()).map(({ id }) => id)).toEqual([app]);
    expect(await manager.getStack(app)).toHaveLength(2);
    await manager.close();
    expect(faults(path())).toEqual([]);
  });

  it('is told when all of a plan was to go', async () => {
    const manager = await recordsWith('image', query);
    await expect(removeEverything(manager, true)).rejects.toMatchObject({ code: 'ERR_PLAN_OUTDATED' });
    expect(await manager.listImages()).toHaveLength(2);
    await manager.close();
  });

  it('does not keep recovery from forgetting layers that are gone', async () => {
    const manager = await recordsWith('image', query);
    expect(await manager.forgetLayers([digestOf('base')])).toEqual([other]);
    expect((await manager.listLayers()).map(({ id }) => id)).not.toContain(digestOf('base'));
    await manager.close();
    expect(faults(path())).toEqual([]);
  });
});

it('a row of others that points at a layer keeps that, and the rest goes', async () => {
  const manager = await recordsWith('layer', `SELECT key FROM layer WHERE id = '${digestOf('base')}'`);
  const removed = await removeEverything(manager);
  expect([...removed.images].toSorted()).toEqual([app, other].toSorted());
  expect((await manager.listLayers()).map(({ id }) => id)).toEqual([digestOf('base')]);
  await manager.close();
  expect(faults(path())).toEqual([]);
});

it('a row of others that points at a stack keeps its layers when images and rootfses are gone, and other stacks are dropped', async () => {
  const manager = await recordsWith('stack', `SELECT stack AS key FROM image WHERE id = '${app}'`);
  await manager.putRootfs(rootfs('r1', 'c1'));
  await removeEverything(manager);
  await forgetTree(manager, 'c1');
  await manager.dropUnusedStacks();
  await removeEverything(manager);
  expect((await manager.listLayers()).map(({ id }) => id).toSorted()).toEqual(
    [digestOf('base'), digestOf('app layer')].toSorted(),
  );
  await manager.close();
  expect(inspect(path(), (database) => database.prepare('SELECT count(*) FROM stack').pluck().get())).toBe(1);
  expect(faults(path())).toEqual([]);
});
