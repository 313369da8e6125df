import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { ProvisionerEmitter } from '#src/events.js';
import { reconcileLayers } from '#src/layer-store/reconcile-layers.js';
import { Sweeper } from '#src/layer-store/sweeper.js';
import { MemoryMetadataManager } from '#src/metadata/memory/memory-metadata-manager.js';
import { StorePaths } from '#src/paths.js';
import { ShortHolds } from '#src/system/locks/short-holds.js';
import { StoreLock } from '#src/system/locks/store-lock.js';
import { dead, digestOf, image, layer, rootfs } from '../contracts/metadata-records.js';
import { processesOf } from '../helpers/liveness.js';
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
  const { process } = processesOf(paths);
  const storeLock = new StoreLock(() => undefined);
  const parts = { paths, metadata, sweeper, liveness: process(), storeLock };
  return {
    paths,
    metadata,
    makeDirectory: (word: string) => mkdirSync(paths.layerRootfs(digestOf(word)), { recursive: true }),
    run: () => reconcileLayers(parts, new ShortHolds(storeLock, 'recover')),
    storeLock,
    sweeper,
    process,
  };
}

const NOTHING = { forgottenLayers: [], forgottenImages: [], retired: [], kept: [], failed: [], foreign: [] };

describe('reconciling layers', () => {
  test('has nothing to do where records and directories agree', async () => {
    const { metadata, makeDirectory, run } = bench();
    makeDirectory('a');
    await metadata.putLayers([layer('a')]);
    expect(await run()).toEqual(NOTHING);
  });

  test('forgets what has no directory, with its images, and retires what has no record', async () => {
    const { metadata, makeDirectory, run, paths, sweeper, process } = bench();
    makeDirectory('kept');
    makeDirectory('stray');
    for (const word of ['kept', 'gone']) await metadata.putLayers([layer(word)]);
    await metadata.putImage(image('app', ['kept', 'gone']), []);
    await metadata.putRootfs(rootfs('r', 'c'));
    expect(await run()).toEqual({
      forgottenLayers: [digestOf('gone')],
      forgottenImages: [image('app', []).id],
      retired: [paths.layer(digestOf('stray'))],
      kept: [],
      failed: [],
      foreign: [],
    });
    expect(await run()).toEqual(NOTHING);
    await sweeper.idle();
    expect(readdirSync(paths.gc)).toEqual([]);
    const other = process();
    expect(await metadata.claimLayer(digestOf('stray'), other.identity, other.isAlive)).toEqual({ state: 'claimed' });
  });

  test('leaves a layer alone that a pull publishes while it looks', async () => {
    const { metadata, makeDirectory, run, paths } = bench();
    const list = metadata.listLayers.bind(metadata);
    metadata.listLayers = async () => {
      const before = await list();
      makeDirectory('published');
      await metadata.putLayers([layer('published')]);
      await metadata.putImage(image('app', ['published']), ['app:latest']);
      return before;
    };
    expect(await run()).toEqual(NOTHING);
    metadata.listLayers = async () => {
      makeDirectory('second');
      await metadata.putLayers([layer('second')]);
      return list();
    };
    expect(await run()).toEqual(NOTHING);
    expect(existsSync(paths.layer(digestOf('published')))).toBe(true);
    expect((await metadata.getImageByName('app:latest'))?.layers).toEqual([digestOf('published')]);
  });

  test('leaves a directory alone that a living process has yet to record, and takes that of a dead one', async () => {
    const { metadata, makeDirectory, run, paths, process } = bench();
    for (const [word, identity] of [
      ['living', process().identity],
      ['dead', dead],
    ] as const) {
      makeDirectory(word);
      await metadata.claimLayer(digestOf(word), identity, () => true);
    }
    expect(await run()).toEqual({
      ...NOTHING,
      retired: [paths.layer(digestOf('dead'))],
    });
    expect(existsSync(paths.layer(digestOf('living')))).toBe(true);
  });

  test.each([
    ['lost', 'the records were lost'],
    ['older', 'the records are older than the store'],
  ] as const)(
    'keeps directories without a record while the records are %s, and names foreign ones',
    async (gap, why) => {
      const { makeDirectory, run, paths, metadata } = bench();
      makeDirectory('stray');
      writeFileSync(join(paths.layers, 'notes'), '');
      await metadata.setRecordsGap(gap);
      const foreign = [join(paths.layers, 'notes')];
      const reason = expect.stringContaining(why);
      expect(await run()).toEqual({ ...NOTHING, kept: [{ path: paths.layer(digestOf('stray')), reason }], foreign });
      expect(existsSync(paths.layer(digestOf('stray')))).toBe(true);
    },
  );

  test('takes layers of either digest for layers, whether they are recorded or not', async () => {
    const { metadata, run, paths } = bench();
    const [recorded, stray] = ['a', 'b'].map((digit) => `sha512:${digit.repeat(128)}`) as [string, string];
    for (const id of [recorded, stray]) mkdirSync(paths.layerRootfs(id), { recursive: true });
    await metadata.putLayers([layer('a', { id: recorded })]);
    expect(await run()).toEqual({ ...NOTHING, retired: [paths.layer(stray)] });
    expect(readdirSync(paths.layers)).toEqual(['a'.repeat(128)]);
    expect(await metadata.getLayer(recorded)).toBeDefined();
  });

  test('takes no lock where there is nothing to do, and one of its own for what differs', async () => {
    const { metadata, makeDirectory, run, storeLock, paths } = bench();
    makeDirectory('a');
    await metadata.putLayers([layer('a')]);
    let holds = 0;
    const hold = storeLock.withExclusive.bind(storeLock);
    storeLock.withExclusive = (...args) => {
      holds++;
      return hold(...args);
    };
    await run();
    expect(holds).toBe(0);
    makeDirectory('stray');
    expect((await run()).retired).toEqual([paths.layer(digestOf('stray'))]);
    expect(holds).toBe(1);
  });

  test('leaves alone what a prune took, or a pull stored again, between the look and the lock', async () => {
    const { metadata, makeDirectory, run, storeLock } = bench();
    for (const word of ['pruned', 'stored']) await metadata.putLayers([layer(word)]);
    await metadata.putImage(image('app', ['stored']), []);
    const hold = storeLock.withExclusive.bind(storeLock);
    storeLock.withExclusive = async (...args) => {
      await metadata.forgetLayers([digestOf('pruned')]);
      makeDirectory('stored');
      return hold(...args);
    };
    expect(await run()).toEqual(NOTHING);
    expect(await metadata.getLayer(digestOf('stored'))).toBeDefined();
  });

  test('keeps pulls from a layer without a record until it is taken away', async () => {
    const { metadata, makeDirectory, run, storeLock, paths, process } = bench();
    makeDirectory('stray');
    const pull = process();
    const claims: string[] = [];
    const hold = storeLock.withExclusive.bind(storeLock);
    storeLock.withExclusive = async (...args) => {
      claims.push((await metadata.claimLayer(digestOf('stray'), pull.identity, pull.isAlive)).state);
      return hold(...args);
    };
    expect((await run()).retired).toEqual([paths.layer(digestOf('stray'))]);
    expect(claims).toEqual(['busy']);
    expect((await metadata.claimLayer(digestOf('stray'), pull.identity, pull.isAlive)).state).toBe('claimed');
  });
});
