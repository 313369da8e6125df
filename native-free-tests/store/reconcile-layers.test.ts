import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { ProvisionerEmitter } from '#src/events.js';
import { isAlive, newIdentity } from '#src/locks/process-identity.js';
import { MemoryMetadataManager } from '#src/metadata/memory-metadata-manager.js';
import { StorePaths } from '#src/paths.js';
import { reconcileLayers } from '#src/store/reconcile-layers.js';
import { Sweeper } from '#src/store/sweeper.js';
import { dead, digestOf, image, layer, rootfs } from '../contracts/metadata-records.js';
import { temporaryDirectory } from '../helpers/memory-store.js';

const sweepers: Sweeper[] = [];
afterEach(async () => {
  for (const sweeper of sweepers.splice(0)) {
    await sweeper.idle();
    await sweeper.close();
  }
});

function bench() {
  const paths = new StorePaths(temporaryDirectory());
  for (const directory of [paths.layers, paths.gc]) mkdirSync(directory);
  const metadata = new MemoryMetadataManager();
  const sweeper = new Sweeper(paths, new ProvisionerEmitter());
  sweepers.push(sweeper);
  return {
    paths,
    metadata,
    makeDirectory: (word: string) => mkdirSync(paths.layerRootfs(digestOf(word)), { recursive: true }),
    run: (keepUnrecorded = false) => reconcileLayers(paths, metadata, sweeper, keepUnrecorded),
    sweeper,
  };
}

const NOTHING = { forgottenLayers: [], forgottenImages: [], retired: [], foreign: [] };

describe('reconciling layers', () => {
  test('has nothing to do where records and directories agree', async () => {
    const { metadata, makeDirectory, run } = bench();
    makeDirectory('a');
    await metadata.putLayer(layer('a'));
    expect(await run()).toEqual(NOTHING);
  });

  test('forgets what has no directory, with its images, and retires what has no record', async () => {
    const { metadata, makeDirectory, run, paths, sweeper } = bench();
    makeDirectory('kept');
    makeDirectory('stray');
    for (const word of ['kept', 'gone']) await metadata.putLayer(layer(word));
    await metadata.putImage(image('app', ['kept', 'gone']), []);
    await metadata.putRootfs(rootfs('r', 'c'));
    expect(await run()).toEqual({
      forgottenLayers: [digestOf('gone')],
      forgottenImages: [image('app', []).id],
      retired: [paths.layer(digestOf('stray'))],
      foreign: [],
    });
    expect(await run()).toEqual(NOTHING);
    await sweeper.idle();
    expect(readdirSync(paths.gc)).toEqual([]);
    expect(await metadata.claimLayer(digestOf('stray'), newIdentity(), isAlive)).toEqual({ state: 'claimed' });
  });

  test('leaves a layer alone that a pull publishes while it looks', async () => {
    const { metadata, makeDirectory, run, paths } = bench();
    const list = metadata.listLayers.bind(metadata);
    metadata.listLayers = async () => {
      const before = await list();
      makeDirectory('published');
      await metadata.putLayer(layer('published'));
      await metadata.putImage(image('app', ['published']), ['app:latest']);
      return before;
    };
    expect(await run()).toEqual(NOTHING);
    metadata.listLayers = async () => {
      makeDirectory('second');
      await metadata.putLayer(layer('second'));
      return list();
    };
    expect(await run()).toEqual(NOTHING);
    expect(existsSync(paths.layer(digestOf('published')))).toBe(true);
    expect((await metadata.getImageByName('app:latest'))?.layers).toEqual([digestOf('published')]);
  });

  test('leaves a directory alone that a living process has yet to record, and takes that of a dead one', async () => {
    const { metadata, makeDirectory, run, paths } = bench();
    for (const [word, process] of [
      ['living', newIdentity()],
      ['dead', dead],
    ] as const) {
      makeDirectory(word);
      await metadata.claimLayer(digestOf(word), process, isAlive);
    }
    expect((await run()).retired).toEqual([paths.layer(digestOf('dead'))]);
    expect(existsSync(paths.layer(digestOf('living')))).toBe(true);
  });

  test('keeps directories without a record where they may be in use, and names foreign ones', async () => {
    const { makeDirectory, run, paths } = bench();
    makeDirectory('stray');
    writeFileSync(join(paths.layers, 'notes'), '');
    expect(await run(true)).toEqual({ ...NOTHING, foreign: [join(paths.layers, 'notes')] });
    expect(existsSync(paths.layer(digestOf('stray')))).toBe(true);
  });
});
