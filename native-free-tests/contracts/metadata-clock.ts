import { describe, expect, it } from 'vitest';
import type { ImageRecord } from '#src/metadata/metadata-manager.js';
import { OUTCOME_KEPT } from '#src/metadata/pulls/pull-records.js';
import { image, isAlive, type MetadataContractContext, ours, rootfs, setClock } from './metadata-records.js';

const NOW = 1_700_000_000_000;
const DAY = 86_400_000;
const app = image('app', []).id;

/** What holds when the clock jumps. */
export function clockContract(context: MetadataContractContext): void {
  const putImage = (word: string) =>
    context.manager.putImage(image(word, []), [`${word}:latest`], {
      index: image('index', []).id,
      platform: word,
    });
  const lookups: readonly (readonly [string, () => Promise<ImageRecord | undefined>])[] = [
    ['by its id', () => context.manager.getImage(app)],
    ['by its name', () => context.manager.getImageByName('app:latest')],
    ['by its index', () => context.manager.imageOfIndex(image('index', []).id, 'app')],
  ];

  describe('a clock that was ahead and has been set back', () => {
    it.each(lookups)('leaves no last use that is still to come to an image that is found %s', async (_, find) => {
      setClock(NOW + 2 * DAY);
      await putImage('app');
      setClock(NOW);
      expect((await find())?.lastUsedAt).toBe(NOW);
    });

    it('leaves none in a list, and from that list on the use grows old like any other', async () => {
      const { manager } = context;
      setClock(NOW + 2 * DAY);
      await putImage('app');
      setClock(NOW);
      expect((await manager.listImages()).map(({ lastUsedAt }) => lastUsedAt)).toEqual([NOW]);
      setClock(NOW + 5000);
      expect((await manager.listImages()).map(({ lastUsedAt }) => lastUsedAt)).toEqual([NOW]);
      expect((await manager.getImage(app))?.lastUsedAt).toBe(NOW);
    });

    it('does not make a removal by that list go by what has changed', async () => {
      const { manager } = context;
      setClock(NOW + 2 * DAY);
      await putImage('app');
      await manager.removeNames(app);
      setClock(NOW);
      const images = await manager.listImages();
      setClock(NOW + 5000);
      expect((await manager.removeUnused({ images, layers: [] }, ours, true)).images).toEqual([app]);
    });

    it.each([
      ['is asked for', () => context.manager.markUsed(app)],
      ['is provisioned', () => context.manager.putRootfs(rootfs('r', 'c'))],
      ['is pulled again', () => putImage('app')],
    ] as const)('does not keep the use from being written when the image %s', async (_, use) => {
      const { manager } = context;
      setClock(NOW + 2 * DAY);
      await putImage('app');
      setClock(NOW);
      await use();
      setClock(NOW + 3 * DAY);
      expect((await manager.getImage(app))?.lastUsedAt).toBe(NOW);
    });

    it('does not keep outcomes of pulls for as long as it was ahead', async () => {
      const { manager } = context;
      const key = { platform: 'linux/amd64', terms: 't' };
      const finish = async (source: string, at: number) => {
        await manager.announcePull({ ...key, source, pull: source, process: ours }, isAlive);
        await manager.finishPull(source, { kind: 'stored', image: app, names: [] }, at);
      };
      await finish('ahead', NOW + OUTCOME_KEPT + 1);
      await finish('a little ahead', NOW + OUTCOME_KEPT);
      await finish('now', NOW);
      const left = async (source: string) => (await manager.findPulls({ ...key, source })).outcomes.length;
      expect([await left('ahead'), await left('a little ahead'), await left('now')]).toEqual([0, 1, 1]);
    });
  });

  describe('the order of uses', () => {
    const order = async () => {
      const images = await context.manager.listImages();
      return images
        .sort((one, other) => one.useOrder - other.useOrder)
        .map(({ source }) => source.replace(/.*\/|:.*$/g, ''));
    };

    it('is the order in which they came, whatever the clock said', async () => {
      const { manager } = context;
      for (const [word, now] of [
        ['a', NOW + DAY],
        ['b', NOW],
        ['c', NOW + 2 * DAY],
        ['app', NOW - DAY],
      ] as const) {
        setClock(now);
        await putImage(word);
      }
      const names = (words: string) => words.split(' ').map((word) => image(word, []).source.replace(/.*\/|:.*$/g, ''));
      expect(await order()).toEqual(names('a b c app'));
      setClock(NOW - 2 * DAY);
      await manager.markUsed(image('a', []).id);
      expect(await order()).toEqual(names('b c app a'));
      setClock(NOW - 3 * DAY);
      await manager.putRootfs(rootfs('r', 'c1'));
      expect(await order()).toEqual(names('b c a app'));
      await putImage('b');
      expect(await order()).toEqual(names('c a app b'));
    });
  });
}
