import { describe, expect, it } from 'vitest';
import type { MetadataManager, Removal } from '#src/metadata/metadata-manager.js';
import {
  digestOf,
  image,
  isAlive,
  layer,
  type MetadataContractContext,
  ours,
  putLayers,
  rootfs,
  setClock,
  theirs,
} from './metadata-records.js';
import { forgetTree, onlyRootfs, twoImages } from './metadata-steps.js';

/** A removal of all that is recorded now. */
async function everything(manager: MetadataManager): Promise<Removal> {
  const layers = (await manager.listLayers()).map(({ id }) => id);
  return { images: await manager.listImages(), layers };
}

async function left(manager: MetadataManager): Promise<{ images: string[]; layers: string[] }> {
  const { images, layers } = await everything(manager);
  return { images: images.map(({ id }) => id).sort(), layers: [...layers] };
}

const [app, other] = [image('app', []).id, image('other', []).id];

export function removalContract(context: MetadataContractContext): void {
  describe('taking out what is not used', () => {
    it('takes images with their names, and layers that nobody needs', async () => {
      const { manager } = context;
      await twoImages(manager);
      const removal = await everything(manager);
      const removed = await manager.removeUnused(removal, ours, false);
      expect([...removed.images].sort()).toEqual([app, other].sort());
      expect([...removed.layers].sort()).toEqual([...removal.layers]);
      expect(await left(manager)).toEqual({ images: [], layers: [] });
      for (const name of ['app:v1', 'app:latest', 'other:latest']) {
        expect(await manager.getImageByName(name), name).toBeUndefined();
      }
      expect(await manager.count()).toEqual({ images: 0, layers: 0, containers: 0 });
    });

    it('keeps an image that was forgotten and pulled again while a rootfs made of it lives', async () => {
      const { manager } = context;
      await twoImages(manager);
      await manager.putRootfs(rootfs('r1', 'c1'));
      await manager.forgetLayers([digestOf('app layer')]);
      expect(await manager.getImage(app)).toBeUndefined();
      await putLayers(manager, 'app layer');
      await manager.putImage(image('app', ['base', 'app layer']), ['app:v1']);
      await expect(manager.removeUnused(await everything(manager), ours, true)).rejects.toMatchObject({
        code: 'ERR_PLAN_OUTDATED',
      });
      const removed = await manager.removeUnused(await everything(manager), ours, false);
      expect(removed.images).toEqual([other]);
      expect((await left(manager)).images).toEqual([app]);
      await forgetTree(manager, 'c1');
      await manager.dropUnusedStacks();
      expect((await manager.removeUnused(await everything(manager), ours, true)).images).toEqual([app]);
      expect(await left(manager)).toEqual({ images: [], layers: [] });
    });

    it('takes a layer that no image ever held, and leaves what was not asked for', async () => {
      const { manager } = context;
      await twoImages(manager);
      const before = await left(manager);
      const removed = await manager.removeUnused({ images: [], layers: [digestOf('orphan')] }, ours, true);
      expect(removed).toEqual({ images: [], layers: [digestOf('orphan')] });
      expect(await left(manager)).toEqual({
        images: before.images,
        layers: before.layers.filter((id) => id !== digestOf('orphan')),
      });
    });

    it('an image goes without its layers when only it is asked for, and they can go later', async () => {
      const { manager } = context;
      await twoImages(manager);
      const { images, layers } = await everything(manager);
      await manager.removeUnused({ images: images.filter(({ id }) => id === app), layers: [] }, ours, true);
      expect((await left(manager)).layers).toEqual(layers);
      const ids = ['base', 'app layer'].map(digestOf);
      expect(await manager.removeUnused({ images: [], layers: ids }, ours, false)).toEqual({
        images: [],
        layers: [digestOf('app layer')],
      });
    });

    it('a layer that two images share stays until both have gone', async () => {
      const { manager } = context;
      await twoImages(manager);
      const removal = await everything(manager);
      const first = { images: removal.images.filter(({ id }) => id === app), layers: removal.layers };
      expect((await manager.removeUnused(first, ours, false)).layers).not.toContain(digestOf('base'));
      expect((await manager.getImage(other))?.layers).toEqual(['base', 'other layer', 'base'].map(digestOf));
      const second = { images: await manager.listImages(), layers: [digestOf('base')] };
      expect((await manager.removeUnused(second, ours, false)).layers).toEqual([digestOf('base')]);
    });

    /** What can come between a look at the records and a removal: who does it, and what then stays. */
    const changes: readonly [string, (manager: MetadataManager) => Promise<unknown>, string[], string[]][] = [
      ['pinned', (manager) => manager.setPinned(app, true), [app], ['base', 'app layer']],
      ['given a name', (manager) => manager.addName('app:v2', app), [app], ['base', 'app layer']],
      ['deprived of a name', (manager) => manager.removeName('app:v1'), [app], ['base', 'app layer']],
      ['deprived of all names', (manager) => manager.removeNames(app), [app], ['base', 'app layer']],
      [
        'the loser of a name to another one',
        (manager) => manager.addName('app:v1', other),
        [app, other],
        ['base', 'app layer', 'other layer'],
      ],
      [
        'pulled again',
        (manager) => {
          setClock(1001);
          return manager.putImage(image('app', ['base', 'app layer']), []);
        },
        [app],
        ['base', 'app layer'],
      ],
      ['taken up by a rootfs', (manager) => manager.putRootfs(rootfs('r', 'c')), [app], ['base', 'app layer']],
      ['being copied', (manager) => manager.putRootfs(rootfs('r', 'c'), theirs), [app], ['base', 'app layer']],
    ];

    it.each(changes)('an image that has been %s since stays, with its layers', async (_, change, images, layers) => {
      const { manager } = context;
      await twoImages(manager);
      const removal = await everything(manager);
      await change(manager);
      const removed = await manager.removeUnused(removal, ours, false);
      expect(await left(manager)).toEqual({ images: images.sort(), layers: layers.map(digestOf).sort() });
      expect([...removed.images].sort()).toEqual([app, other].filter((id) => !images.includes(id)).sort());
      expect(removed.layers).toHaveLength(4 - layers.length);
    });

    it.each(changes)('exactly: when an image has been %s since, nothing goes', async (_, change) => {
      const { manager } = context;
      await twoImages(manager);
      const removal = await everything(manager);
      await change(manager);
      const before = [await manager.listImages(), await manager.listLayers()];
      await expect(manager.removeUnused(removal, ours, true)).rejects.toMatchObject({
        code: 'ERR_PLAN_OUTDATED',
        details: { id: expect.stringMatching(/^sha256:/) },
      });
      expect([await manager.listImages(), await manager.listLayers()]).toEqual(before);
      // Neither has it claimed anything.
      expect(await manager.claimLayer(digestOf('free'), theirs, isAlive)).toEqual({ state: 'claimed' });
    });

    it.each([
      ['an image', { images: [{ id: digestOf('image none'), names: [], lastUsedAt: 0 }], layers: [] }],
      ['a layer', { images: [], layers: [digestOf('none')] }],
    ])('%s that is not recorded is passed over; exactly, it is refused', async (_, missing) => {
      const { manager } = context;
      await twoImages(manager);
      const all = await everything(manager);
      const removal = { images: [...missing.images, ...all.images], layers: [...missing.layers, ...all.layers] };
      const before = await left(manager);
      await expect(manager.removeUnused(removal, ours, true)).rejects.toMatchObject({ code: 'ERR_PLAN_OUTDATED' });
      expect(await left(manager)).toEqual(before);
      const removed = await manager.removeUnused(removal, ours, false);
      expect([removed.images.length, removed.layers.length]).toEqual([2, 4]);
    });

    it('a layer that a new image has taken up since stays; exactly, nothing goes', async () => {
      const { manager } = context;
      await twoImages(manager);
      const removal = await everything(manager);
      await manager.putImage(image('new', ['orphan']), []);
      await expect(manager.removeUnused(removal, ours, true)).rejects.toMatchObject({
        code: 'ERR_PLAN_OUTDATED',
        details: { id: digestOf('orphan') },
      });
      expect((await left(manager)).images).toHaveLength(3);
      await manager.removeUnused(removal, ours, false);
      expect(await left(manager)).toEqual({ images: [image('new', []).id], layers: [digestOf('orphan')] });
    });

    it('a layer that a pull has leased since stays until the lease is closed, also when its process is dead', async () => {
      const { manager } = context;
      await twoImages(manager);
      const removal = await everything(manager);
      await manager.openLease('pull', theirs);
      await manager.leaseLayers('pull', ['base', 'not yet here'].map(digestOf));
      await expect(manager.removeUnused(removal, ours, true)).rejects.toMatchObject({
        code: 'ERR_PLAN_OUTDATED',
        details: { id: digestOf('base') },
      });
      await manager.removeUnused(removal, ours, false);
      expect(await left(manager)).toEqual({ images: [], layers: [digestOf('base')] });
      await manager.closeLeases(['pull']);
      const again = await manager.removeUnused({ images: [], layers: removal.layers }, ours, false);
      expect(again.layers).toEqual([digestOf('base')]);
    });

    it('a layer of a rootfs whose image is gone stays until the rootfs is forgotten', async () => {
      const { manager } = context;
      await twoImages(manager);
      await putLayers(manager, 'top');
      await manager.putImage(image('tall', ['base', 'top']), []);
      await manager.putRootfs(rootfs('r', 'c', { image: image('tall', []).id }));
      // Only a recovery takes an image away from under a rootfs.
      await manager.forgetLayers([digestOf('top')]);
      await manager.removeUnused(await everything(manager), ours, false);
      expect(await left(manager)).toEqual({ images: [], layers: [digestOf('base')] });
      await forgetTree(manager, 'c');
      await manager.dropUnusedStacks();
      await manager.removeUnused(await everything(manager), ours, true);
      expect(await left(manager)).toEqual({ images: [], layers: [] });
    });

    it('a removed layer is claimed, so that whoever wants it waits; what stays is not', async () => {
      const { manager } = context;
      await twoImages(manager);
      await manager.setPinned(other, true);
      const removal = await everything(manager);
      await manager.removeUnused(removal, ours, false);
      expect(await manager.claimLayer(digestOf('app layer'), theirs, isAlive)).toEqual({ state: 'busy', holder: ours });
      expect(await manager.claimLayer(digestOf('orphan'), theirs, isAlive)).toEqual({ state: 'busy', holder: ours });
      expect(await manager.claimLayer(digestOf('base'), theirs, isAlive)).toEqual({ state: 'recorded' });
      await manager.releaseLayerClaims(ours);
      expect(await manager.claimLayer(digestOf('app layer'), theirs, isAlive)).toEqual({ state: 'claimed' });
      await manager.putLayers([layer('app layer')]);
      expect(await manager.claimLayer(digestOf('app layer'), ours, isAlive)).toEqual({ state: 'recorded' });
    });

    it('what has gone can be recorded again, and is then as new', async () => {
      const { manager } = context;
      await twoImages(manager);
      await manager.setPinned(app, true);
      await manager.setPinned(app, false);
      await manager.removeUnused(await everything(manager), ours, true);
      await manager.releaseLayerClaims(ours);
      setClock(5000);
      await manager.putLayers([layer('base', { bytes: 1 })]);
      await manager.putLayers([layer('app layer', { bytes: 2 })]);
      await manager.putImage(image('app', ['base', 'app layer']), ['app:new']);
      expect(await manager.getImage(app)).toMatchObject({ names: ['app:new'], createdAt: 5000, bytes: 3 });
    });

    it('an image without layers can go too', async () => {
      const { manager } = context;
      await manager.putImage(image('scratch', []), ['scratch:latest']);
      await manager.removeUnused(await everything(manager), ours, true);
      expect(await manager.listImages()).toEqual([]);
    });

    it('dropping unused stacks takes nothing that is in use', async () => {
      const { manager } = context;
      await twoImages(manager);
      await manager.putRootfs(rootfs('r', 'c'));
      await manager.dropUnusedStacks();
      await manager.dropUnusedStacks();
      expect((await manager.getImage(app))?.layers).toEqual(['base', 'app layer'].map(digestOf));
      expect((await manager.getImage(other))?.layers).toEqual(['base', 'other layer', 'base'].map(digestOf));
      expect((await onlyRootfs(manager, 'c')).layers).toEqual(['base', 'app layer'].map(digestOf));
    });

    it('of two prunes at the same time each layer is taken by one', async () => {
      const { manager } = context;
      await twoImages(manager);
      const removal = await everything(manager);
      const [one, two] = await Promise.all([
        manager.removeUnused(removal, ours, false),
        manager.removeUnused(removal, theirs, false),
      ]);
      expect([...one.layers, ...two.layers].sort()).toEqual([...removal.layers]);
      expect([...one.images, ...two.images].sort()).toEqual([app, other].sort());
    });
  });

  describe('layers whose directories are gone', () => {
    it('are forgotten with the images that need them, which are told', async () => {
      const { manager } = context;
      await twoImages(manager);
      expect(await manager.forgetLayers([digestOf('app layer'), digestOf('never recorded')])).toEqual([app]);
      expect(await left(manager)).toEqual({
        images: [other],
        layers: ['base', 'other layer', 'orphan'].map(digestOf).sort(),
      });
      expect(await manager.getImageByName('app:v1')).toBeUndefined();
      expect(await manager.missingLayers([digestOf('app layer')])).toEqual([digestOf('app layer')]);
    });

    it('take every image that needs one of them, each told once, sorted or not', async () => {
      const { manager } = context;
      await twoImages(manager);
      await manager.setPinned(app, true);
      const forgotten = await manager.forgetLayers(['base', 'app layer'].map(digestOf));
      expect([...forgotten].sort()).toEqual([app, other].sort());
      expect((await left(manager)).images).toEqual([]);
      expect(await manager.forgetLayers([])).toEqual([]);
    });

    it('leave the rootfses that stand on them, which can still be destroyed', async () => {
      const { manager } = context;
      await twoImages(manager);
      await manager.putRootfs(rootfs('r', 'c'));
      await manager.forgetLayers([digestOf('app layer')]);
      expect(await onlyRootfs(manager, 'c')).toMatchObject({ id: 'r', image: app, layers: [digestOf('base')] });
      await forgetTree(manager, 'c');
      expect(await manager.listContainers()).toEqual([]);
    });
  });
}
