import { describe, expect, it } from 'vitest';
import { type Keeper, keptBy, layerReasons, STORE_KEEPERS, type StoreRecords, usedWithin } from '#src/prune/keepers.js';
import { digestOf } from '../contracts/metadata-records.js';
import { containerOf, imageId, imageOf } from './records.js';

const NOTHING: StoreRecords = { images: [], layers: [], containers: [], leases: [] };
const kept = (records: Partial<StoreRecords>, keepers: readonly Keeper[] = STORE_KEEPERS) =>
  keptBy(keepers, { ...NOTHING, ...records }, 1000);

describe('what keeps images', () => {
  it('is pins, and the containers made of them, whose records need not be complete', async () => {
    const { images } = await kept({
      images: [imageOf('app', [], { pinned: true }), imageOf('free', [])],
      containers: [containerOf('job', { app: [], gone: [] })],
    });
    expect(images.get(imageId('app'))).toEqual([
      { kind: 'pinned' },
      { kind: 'container', container: 'job', owner: 'agent' },
    ]);
    expect(images.has(imageId('free'))).toBe(false);
    expect(images.get(imageId('free'))).toEqual([]);
    // An image that has gone meanwhile is named all the same: it may come back before it is looked at again.
    expect(images.has(imageId('gone'))).toBe(true);
  });

  it('is a use that is not older than wanted, nor in the future', async () => {
    const used = (at: number) => imageOf(`used-${at}`, [], { lastUsedAt: at });
    const { images } = await kept({ images: [used(899), used(901), used(5000)] }, [usedWithin(100)]);
    expect([899, 901, 5000].map((at) => images.get(imageId(`used-${at}`)))).toEqual([
      [],
      [{ kind: 'recent', lastUsedAt: 901 }],
      [{ kind: 'recent', lastUsedAt: 5000 }],
    ]);
  });
});

describe('what keeps layers', () => {
  it('is the images that stay, the containers, and the pulls, each told once', async () => {
    const { layers } = await kept({
      containers: [containerOf('job', { app: ['base', 'base'], other: ['base'] })],
      leases: [{ pull: 'p', process: `${'ab'.repeat(16)}.4711`, since: 9, layers: ['base', 'new'].map(digestOf) }],
    });
    const reasons = await layerReasons([imageOf('app', ['base', 'top', 'base'], { names: ['app:v1'] })], layers);
    expect(reasons.get(digestOf('base'))).toEqual([
      { kind: 'image', image: imageId('app'), names: ['app:v1'] },
      { kind: 'container', container: 'job', owner: 'agent' },
      { kind: 'pull', pull: 'p', pid: 4711, since: 9 },
    ]);
    expect(reasons.get(digestOf('top')).map(({ kind }) => kind)).toEqual(['image']);
    expect(reasons.get(digestOf('new')).map(({ kind }) => kind)).toEqual(['pull']);
    expect(reasons.get(digestOf('other'))).toEqual([]);
  });
});

it('a rule that is added keeps images and layers beside the others, told the records and the time', async () => {
  const reason = { kind: 'wing', wing: 'runs', reason: 'run 7 may be begun again' } as const;
  const ofRuns: Keeper = {
    keepers({ images: [image] }, now, keep) {
      if (image !== undefined && now === 1000) keep.image(image.id, reason);
      keep.layer(digestOf('dependency'), reason);
    },
  };
  const { images, layers } = await kept({ images: [imageOf('app', [], { pinned: true })] }, [...STORE_KEEPERS, ofRuns]);
  expect(images.get(imageId('app'))).toEqual([{ kind: 'pinned' }, reason]);
  expect(layers.get(digestOf('dependency'))).toEqual([reason]);
});
