import { describe, expect, it } from 'vitest';
import type { ImageRecord } from '#src/metadata/metadata-manager.js';
import {
  digestOf,
  image,
  layer,
  type MetadataContractContext,
  ours,
  putLayers,
  rootfs,
  setClock,
} from './metadata-records.js';

export function imageContract(context: MetadataContractContext): void {
  describe('images and names', () => {
    it('an image is found by its id and by each of its names', async () => {
      const { manager } = context;
      setClock(1_700_000_000_123);
      await putLayers(manager, 'base', 'top');
      const app = image('app', ['base', 'top']);
      await manager.putImage(app, ['registry.example/app:v2', 'registry.example/app:v1']);

      const record = {
        ...app,
        names: ['registry.example/app:v1', 'registry.example/app:v2'],
        createdAt: 1_700_000_000_123,
        lastUsedAt: 1_700_000_000_123,
        useOrder: expect.any(Number),
        pinned: false,
        bytes: 8192,
      };
      expect(await manager.getImage(app.id)).toEqual(record);
      expect(await manager.getImageByName('registry.example/app:v1')).toEqual(record);
      expect(await manager.getImageByName('registry.example/app:v2')).toEqual(record);
      const { manifest: _, config: __, ...summary } = record;
      expect(await manager.listImages()).toEqual([summary]);
    });

    it('an image or a name that nobody recorded is not found', async () => {
      const { manager } = context;
      expect(await manager.getImage(digestOf('image none'))).toBeUndefined();
      expect(await manager.getImageByName('registry.example/none:latest')).toBeUndefined();
      expect(await manager.listImages()).toEqual([]);
      expect(await manager.findImages('a', 10)).toEqual([]);
    });

    it('a manifest and a config come back byte for byte, whatever is in them', async () => {
      const { manager } = context;
      const nul = context.readsNul ? '\u0000' : '';
      const manifest = `{\r\n "a" :\t"\u00e9\u{1f433}\ufeff${nul}'\\"" }\n`;
      const odd = image('odd', [], { manifest, config: ' \n' });
      await manager.putImage(odd, []);
      expect(await manager.getImage(odd.id)).toMatchObject({ manifest: odd.manifest, config: odd.config });
    });

    it('an image keeps the order of its stack, with a layer that stands in it more than once', async () => {
      const { manager } = context;
      await putLayers(manager, 'a', 'b', 'empty');
      const app = image('app', ['empty', 'b', 'empty', 'a', 'empty']);
      await manager.putImage(app, []);
      expect((await manager.getImage(app.id))?.layers).toEqual(app.layers);
    });

    it('the stack of an image comes bottom first, with a layer that stands in it twice', async () => {
      const { manager } = context;
      await manager.putLayers([layer('top', { opaqueRoot: true })]);
      await manager.putLayers([layer('base', { bytes: 7 })]);
      await manager.putImage(image('app', ['base', 'top', 'base']), []);
      const [base, top] = [layer('base', { bytes: 7 }), layer('top', { opaqueRoot: true })];
      expect(await manager.getStack(image('app', []).id)).toEqual([base, top, base]);
      expect(await manager.getStack(image('other', []).id)).toEqual([]);
    });

    it('an image counts the bytes of a repeated layer once, and of a shared layer in each image', async () => {
      const { manager } = context;
      await manager.putLayers([layer('base', { bytes: 5_000_000_000 })]);
      await manager.putLayers([layer('top', { bytes: 7 })]);
      await manager.putImage(image('twice', ['base', 'top', 'base']), []);
      await manager.putImage(image('other', ['base']), []);
      expect((await manager.getImage(image('twice', []).id))?.bytes).toBe(5_000_000_007);
      expect((await manager.getImage(image('other', []).id))?.bytes).toBe(5_000_000_000);
    });

    it('what an index holds for a platform is remembered as long as the image is recorded', async () => {
      const { manager } = context;
      const [index, other] = [digestOf('index'), digestOf('other index')];
      const [amd64, arm64] = [image('amd64', []), image('arm64', [])];
      await manager.putImage(amd64, [], { index, platform: 'linux/amd64' });
      await manager.putImage(amd64, [], { index, platform: 'linux/arm64' });
      expect(await manager.imagesOfIndex(index)).toEqual([amd64.id]);
      await manager.putImage(arm64, [], { index, platform: 'linux/arm64' });
      expect((await manager.imageOfIndex(index, 'linux/amd64'))?.id).toBe(amd64.id);
      expect((await manager.imageOfIndex(index, 'linux/arm64'))?.id).toBe(arm64.id);
      expect(await manager.imageOfIndex(index, 'linux/arm')).toBeUndefined();
      expect(await manager.imageOfIndex(other, 'linux/amd64')).toBeUndefined();
      expect(await manager.imagesOfIndex(index)).toEqual([amd64.id, arm64.id].sort());
      expect(await manager.imagesOfIndex(other)).toEqual([]);
      const { lastUsedAt } = (await manager.getImage(amd64.id)) as ImageRecord;
      const removal = { images: [{ id: amd64.id, names: [], lastUsedAt }], layers: [] };
      await manager.removeUnused(removal, ours, true);
      expect(await manager.imagesOfIndex(index)).toEqual([arm64.id]);
      await manager.putImage(amd64, []);
      expect(await manager.imageOfIndex(index, 'linux/amd64')).toBeUndefined();
    });

    it('an image that cannot be recorded leaves no word of the index that it was chosen from', async () => {
      const { manager } = context;
      const index = digestOf('index');
      const choice = { index, platform: 'linux/amd64' };
      await expect(manager.putImage(image('app', ['missing']), [], choice)).rejects.toMatchObject({
        code: 'ERR_LAYER_NOT_FOUND',
      });
      expect(await manager.imagesOfIndex(index)).toEqual([]);
    });

    it('an image may have no layers, or five hundred', async () => {
      const { manager } = context;
      const words = Array.from({ length: 500 }, (_, index) => `layer ${index}`);
      await putLayers(manager, ...words);
      await manager.putImage(image('scratch', []), []);
      await manager.putImage(image('tall', words), []);
      expect(await manager.getImage(image('scratch', []).id)).toMatchObject({ layers: [], bytes: 0 });
      expect((await manager.getImage(image('tall', []).id))?.layers).toEqual(words.map(digestOf));
    });

    it('an image with a layer that is not recorded changes nothing, names included', async () => {
      const { manager } = context;
      await putLayers(manager, 'base');
      const old = image('old', ['base']);
      await manager.putImage(old, ['app:latest']);

      const broken = image('new', ['base', 'missing', 'also missing', 'missing']);
      await expect(manager.putImage(broken, ['app:latest', 'app:new'])).rejects.toMatchObject({
        code: 'ERR_LAYER_NOT_FOUND',
        details: { layers: [digestOf('missing'), digestOf('also missing')] },
      });
      expect(await manager.getImage(broken.id)).toBeUndefined();
      expect(await manager.getImageByName('app:new')).toBeUndefined();
      expect((await manager.getImageByName('app:latest'))?.id).toBe(old.id);
      expect(await manager.listImages()).toHaveLength(1);
    });

    it('recording an image again refreshes its source and last use and keeps the rest', async () => {
      const { manager } = context;
      await putLayers(manager, 'base');
      const app = image('app', ['base']);
      setClock(1000);
      await manager.putImage(app, ['app:v1']);
      setClock(2000);
      await manager.putImage({ ...app, source: 'oci:/images/app' }, ['app:v2', 'app:v2']);
      expect(await manager.getImage(app.id)).toEqual({
        ...app,
        source: 'oci:/images/app',
        names: ['app:v1', 'app:v2'],
        createdAt: 1000,
        lastUsedAt: 2000,
        useOrder: expect.any(Number),
        pinned: false,
        bytes: 4096,
      });
    });

    it('a name moves to the image that gets it last, and the other image keeps its other names', async () => {
      const { manager } = context;
      const [one, two] = [image('one', []), image('two', [])];
      await manager.putImage(one, ['app:latest', 'app:v1']);
      await manager.putImage(two, ['app:latest']);
      expect((await manager.getImageByName('app:latest'))?.id).toBe(two.id);
      expect((await manager.getImage(one.id))?.names).toEqual(['app:v1']);

      await manager.addName('app:v1', two.id);
      expect((await manager.getImage(one.id))?.names).toEqual([]);
      expect((await manager.getImage(two.id))?.names).toEqual(['app:latest', 'app:v1']);
    });

    it('a name moves to an image that takes those of its own platform only from one for the same platform, or from nobody', async () => {
      const { manager } = context;
      const [amd64, arm64] = [image('amd64', []), image('arm64', [], { platform: 'linux/arm64' })];
      const newer = image('newer', [], { platform: 'linux/arm64' });
      await manager.putImage(amd64, ['app:latest']);
      expect((await manager.putImage(arm64, ['app:latest', 'app:arm'], undefined, 'own platform')).names).toEqual([
        'app:arm',
      ]);
      await manager.addName('app:latest', arm64.id, 'own platform');
      expect((await manager.getImage(amd64.id))?.names).toEqual(['app:latest']);
      expect((await manager.putImage(newer, ['app:arm'], undefined, 'own platform')).names).toEqual(['app:arm']);
      await manager.addName('app:latest', newer.id);
      await manager.addName('app:latest', arm64.id, 'own platform');
      expect((await manager.getImage(arm64.id))?.names).toEqual(['app:latest']);
    });

    it('an image is found beside another one that was chosen from the same index', async () => {
      const { manager } = context;
      const [index, older] = [digestOf('index'), digestOf('older index')];
      const [amd64, arm64] = [image('amd64', []), image('arm64', [], { platform: 'linux/arm64' })];
      await manager.putImage(amd64, [], { index: older, platform: 'linux/amd64' });
      await manager.putImage(arm64, [], { index, platform: 'linux/arm64' });
      expect(await manager.imageBeside(amd64.id, 'linux/arm64')).toBeUndefined();
      await manager.putImage(amd64, [], { index, platform: 'linux/amd64' });
      expect((await manager.imageBeside(amd64.id, 'linux/arm64'))?.id).toBe(arm64.id);
      expect((await manager.imageBeside(arm64.id, 'linux/amd64'))?.id).toBe(amd64.id);
      expect(await manager.imageBeside(amd64.id, 'linux/s390x')).toBeUndefined();
    });

    it('a name cannot be moved to an image that is not recorded', async () => {
      const { manager } = context;
      const app = image('app', []);
      await manager.putImage(app, ['app:latest']);
      await expect(manager.addName('app:latest', digestOf('image none'))).rejects.toMatchObject({
        code: 'ERR_IMAGE_NOT_FOUND',
      });
      expect((await manager.getImageByName('app:latest'))?.id).toBe(app.id);
    });

    it('an image outlives the names that are taken away', async () => {
      const { manager } = context;
      const [app, other] = [image('app', []), image('other', [])];
      await manager.putImage(app, ['b', 'c', 'a']);
      await manager.putImage(other, ['kept']);
      expect(await manager.removeName('none')).toBe(false);
      expect(await manager.removeName('b')).toBe(true);
      expect(await manager.removeName('b')).toBe(false);
      expect(await manager.removeNames(app.id)).toEqual(['a', 'c']);
      expect(await manager.removeNames(app.id)).toEqual([]);
      expect(await manager.removeNames(digestOf('image none'))).toEqual([]);
      expect(await manager.getImage(app.id)).toMatchObject({ id: app.id, names: [] });
      expect(await manager.getImageByName('a')).toBeUndefined();
      expect((await manager.getImageByName('kept'))?.id).toBe(other.id);
    });

    it('images are found by the first hex digits of their digests, sorted and not more than asked for', async () => {
      const { manager } = context;
      const ids = [
        `sha512:abc0${'0'.repeat(124)}`,
        `sha256:abcf${'f'.repeat(60)}`,
        `sha256:abc0${'0'.repeat(60)}`,
        `sha256:abd0${'0'.repeat(60)}`,
        `sha256:0abc${'0'.repeat(60)}`,
      ];
      for (const id of ids) await manager.putImage(image('x', [], { id }), []);
      const [sha512, last, first] = ids;
      expect(await manager.findImages('abc', 10)).toEqual([first, last, sha512]);
      expect(await manager.findImages('abc', 2)).toEqual([first, last]);
      expect(await manager.findImages('abcf', 10)).toEqual([last]);
      expect(await manager.findImages(`abc0${'0'.repeat(60)}`, 10)).toEqual([first, sha512]);
      for (const none of ['abce', 'ABC', 'abc%', 'a_c', '*', 'g', 'sha256:abc', `${'f'.repeat(129)}`]) {
        expect(await manager.findImages(none, 10), none).toEqual([]);
      }
      expect(await manager.findImages('abc', 0)).toEqual([]);
    });

    it('images are listed newest first, and by id when they are equally old', async () => {
      const { manager } = context;
      const same = [image('b', []), image('c', []), image('d', [])];
      setClock(2000);
      for (const one of same) await manager.putImage(one, []);
      setClock(1000);
      await manager.putImage(image('old', []), []);
      setClock(3000);
      await manager.putImage(image('new', []), []);
      const expected = [image('new', []).id, ...same.map((one) => one.id).sort(), image('old', []).id];
      expect((await manager.listImages()).map((record) => record.id)).toEqual(expected);
    });

    it('provisioning from an image is a use of it, and not of others', async () => {
      const { manager } = context;
      setClock(1000);
      await manager.putImage(image('app', []), []);
      await manager.putImage(image('other', []), []);
      setClock(5000);
      await manager.putRootfs(rootfs('r1', 'c1'));
      expect(await manager.getImage(image('app', []).id)).toMatchObject({ createdAt: 1000, lastUsedAt: 5000 });
      expect((await manager.getImage(image('other', []).id))?.lastUsedAt).toBe(1000);
    });

    it('the last use of an image is told to a second, so that one in constant use is not written all the time', async () => {
      const { manager } = context;
      setClock(10_000);
      await manager.putImage(image('app', []), []);
      const lastUse = async () => (await manager.getImage(image('app', []).id))?.lastUsedAt;
      for (const [index, [now, expected]] of [
        [10_999, 10_000],
        [11_000, 10_000],
        [11_001, 11_001],
        [11_500, 11_001],
      ].entries()) {
        setClock(now as number);
        await manager.putRootfs(rootfs(`r${index}`, 'c1'));
        expect(await lastUse(), String(now)).toBe(expected);
      }
      for (const [now, expected] of [
        [12_001, 11_001],
        [12_002, 12_002],
        [12_500, 12_002],
        // The clock has been set back.
        [9000, 9000],
      ] as const) {
        setClock(now);
        await manager.markUsed(image('app', []).id);
        expect(await lastUse(), String(now)).toBe(expected);
      }
      await manager.markUsed(image('none', []).id);
    });

    it('an image is pinned until it is not, and keeps its pin when it is pulled again', async () => {
      const { manager } = context;
      const [app, other] = [image('app', []), image('other', [])];
      await manager.putImage(app, ['app:latest']);
      await manager.putImage(other, []);
      const pins = async () => [(await manager.getImage(app.id))?.pinned, (await manager.getImage(other.id))?.pinned];
      await manager.setPinned(app.id, true);
      await manager.setPinned(app.id, true);
      expect(await pins()).toEqual([true, false]);
      await manager.putImage(app, ['app:again']);
      expect(await pins()).toEqual([true, false]);
      expect((await manager.listImages()).filter(({ pinned }) => pinned).map(({ id }) => id)).toEqual([app.id]);
      await manager.setPinned(app.id, false);
      expect(await pins()).toEqual([false, false]);
      await expect(manager.setPinned(digestOf('image none'), true)).rejects.toMatchObject({
        code: 'ERR_IMAGE_NOT_FOUND',
      });
    });

    it('more images than a page holds are listed, each once, newest first', async () => {
      const { manager } = context;
      await putLayers(manager, 'base');
      const ids: string[] = [];
      for (let index = 0; index < 1203; index += 1) {
        setClock(1000 + ((index * 7) % 1203));
        const one = image(`app ${index}`, ['base']);
        ids[(index * 7) % 1203] = one.id;
        await manager.putImage(one, [`app:${index}`]);
      }
      const listed = await manager.listImages();
      expect(listed.map(({ id }) => id)).toEqual(ids.toReversed());
      expect(new Set(listed.flatMap(({ names }) => names)).size).toBe(1203);
      expect((await manager.count()).images).toBe(1203);
    });

    it('a record does not change when the caller changes what it handed in or got back', async () => {
      const { manager } = context;
      await putLayers(manager, 'base');
      const layers = [digestOf('base')];
      const app = image('app', [], { layers });
      await manager.putImage(app, ['app:latest']);
      layers.push(digestOf('never recorded'));
      const answer = await manager.getImage(app.id);
      for (const list of [answer?.layers, answer?.names] as string[][]) list.pop();
      expect(await manager.getImage(app.id)).toMatchObject({ layers: [digestOf('base')], names: ['app:latest'] });
    });
  });
}
