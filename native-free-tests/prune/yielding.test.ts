import { describe, expect, it } from 'vitest';
import type { PrunePolicy } from '#src/prune/decide.js';
import { STORE_KEEPERS, type StoreRecords } from '#src/prune/keepers.js';
import { decideYielding } from '#src/prune/yielding.js';
import { digestOf } from '../contracts/metadata-records.js';
import { containerOf, imageId, imageOf, layerOf, storeOf } from './records.js';

/** Three images of a hundred bytes each, and containers that wait in each of them; the first was used longest ago. */
const store = storeOf({
  images: ['old', 'middle', 'new'].map((word, useOrder) => imageOf(word, [word], { useOrder })),
  layers: ['old', 'middle', 'new'].map((word) => layerOf(word)),
  containers: [
    containerOf('old-1', { old: ['old'] }),
    containerOf('old-2', { old: ['old'] }),
    containerOf('middle-1', { middle: ['middle'] }),
    containerOf('new-1', { new: ['new'] }),
  ],
});
const ALL = store.containers.map(({ id }) => id);

/** Who goes, and the words of the images that stay. */
async function decided(policy: PrunePolicy, yielding: readonly string[] = ALL, records: StoreRecords = store) {
  const { yielded, decision } = await decideYielding(records, STORE_KEEPERS, policy, 1000, yielding);
  const kept = decision.images.filter(({ reasons }) => reasons.length > 0).map(({ id }) => id);
  return { yielded, kept: ['old', 'middle', 'new', 'other'].filter((word) => kept.includes(imageId(word))) };
}

describe('containers that wait', () => {
  it('stay where no bytes are named, and where all fits into these', async () => {
    for (const policy of [{}, { keepBytes: 300 }, { keepBytes: 1e9 }]) {
      expect(await decided(policy)).toEqual({ yielded: [], kept: ['old', 'middle', 'new'] });
    }
  });

  it('go as far as the bytes ask for it, those first whose image was used longest ago, all of one image together', async () => {
    expect(await decided({ keepBytes: 299 })).toEqual({ yielded: ['old-1', 'old-2'], kept: ['middle', 'new'] });
    expect(await decided({ keepBytes: 200 })).toEqual({ yielded: ['old-1', 'old-2'], kept: ['middle', 'new'] });
    expect(await decided({ keepBytes: 199 })).toEqual({ yielded: ['old-1', 'old-2', 'middle-1'], kept: ['new'] });
    expect(await decided({ keepBytes: 0 })).toEqual({ yielded: ALL, kept: [] });
  });

  it('stay where that frees nothing, since somebody uses the same image', async () => {
    const used = ['old-1', 'middle-1', 'new-1'];
    expect(await decided({ keepBytes: 200 }, used)).toEqual({ yielded: ['middle-1'], kept: ['old', 'new'] });
    expect(await decided({ keepBytes: 0 }, ['old-2'])).toEqual({ yielded: [], kept: ['old', 'middle', 'new'] });
  });

  it('stay where their image is pinned, excluded or has all its layers from one that stays', async () => {
    const pinned = { ...store, images: store.images.map((one, at) => (at === 0 ? { ...one, pinned: true } : one)) };
    expect(await decided({ keepBytes: 200 }, ALL, pinned)).toEqual({ yielded: ['middle-1'], kept: ['old', 'new'] });
    const shared = storeOf({
      images: [imageOf('old', ['base']), imageOf('new', ['base', 'top'], { useOrder: 1 })],
      containers: [containerOf('old-1', { old: ['base'] }), containerOf('job', { new: ['base', 'top'] })],
    });
    expect(await decided({ keepBytes: 100 }, ['old-1'], shared)).toEqual({ yielded: [], kept: ['old', 'new'] });
  });

  it('go before images are kept that nobody uses, and these are then kept if they fit', async () => {
    const records = storeOf({
      images: [...store.images, imageOf('other', ['other'], { useOrder: 9 })],
      layers: [...store.layers, layerOf('other', 150)],
      containers: store.containers,
    });
    // What nobody uses goes first.
    expect(await decided({ keepBytes: 300 }, ALL, records)).toEqual({ yielded: [], kept: ['old', 'middle', 'new'] });
  });

  it('are none that are not among those which may go, and an id of nobody is passed over', async () => {
    expect(await decided({ keepBytes: 0 }, [])).toEqual({ yielded: [], kept: ['old', 'middle', 'new'] });
    expect(await decided({ keepBytes: 200 }, ['nobody', 'new-1'])).toEqual({
      yielded: ['new-1'],
      kept: ['old', 'middle'],
    });
  });

  it('of images that were forgotten hold their layers, and go for them', async () => {
    const forgotten = storeOf({ layers: [layerOf('old')], containers: [containerOf('old-1', { old: ['old'] })] });
    const { yielded, decision } = await decideYielding(forgotten, STORE_KEEPERS, { keepBytes: 50 }, 0, ['old-1']);
    expect(yielded).toEqual(['old-1']);
    expect(decision.layers.find(({ id }) => id === digestOf('old'))?.reasons).toEqual([]);
    // Where they fit there is no need.
    expect((await decideYielding(forgotten, STORE_KEEPERS, { keepBytes: 100 }, 0, ['old-1'])).yielded).toEqual([]);
  });
});
