import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Decision, decide, type PrunePolicy } from '#src/prune/decide.js';
import { parseExclusions } from '#src/prune/exclusion.js';
import { excludedBy, STORE_KEEPERS, type StoreRecords } from '#src/prune/keepers.js';
import { digestOf } from '../contracts/metadata-records.js';
import { containerOf, imageId, imageOf, layerOf, storeOf } from './records.js';

const NOW = 1_000_000_000;
const LIFE = `${'ab'.repeat(16)}.4711`;

function keepersBeside(excluded: readonly string[]) {
  return [...STORE_KEEPERS, excludedBy(parseExclusions(excluded))];
}

async function decided(
  records: StoreRecords,
  excluded: readonly string[] = [],
  policy: PrunePolicy = {},
): Promise<Decision> {
  return decide(records, keepersBeside(excluded), policy, NOW);
}

/** The words of what stays, with the kinds of reasons: `app: pinned, container`. */
function kept({ images, layers }: Decision, words: readonly string[]): string[] {
  return words.flatMap((word) => {
    const judged = [...images, ...layers].filter(({ id }) => id === imageId(word) || id === digestOf(word));
    expect(judged.length, word).toBe(1);
    const reasons = judged[0]?.reasons ?? [];
    return reasons.length === 0 ? [] : [`${word}: ${reasons.map(({ kind }) => kind).join(', ')}`];
  });
}

const two = storeOf({
  images: [imageOf('app', ['base', 'app layer']), imageOf('other', ['base', 'other layer', 'base'])],
  layers: [layerOf('orphan', 7)],
});
const words = ['app', 'other', 'base', 'app layer', 'other layer', 'orphan'];

describe('what a prune takes', () => {
  it('is everything when nothing keeps anything', async () => {
    expect(kept(await decided(two), words)).toEqual([]);
  });

  it('leaves an excluded image with its layers, and takes the layers that only others have', async () => {
    expect(kept(await decided(two, ['other']), words)).toEqual([
      'other: excluded',
      'base: image',
      'other layer: image',
    ]);
  });

  it('is not changed by an exclusion of an image that is not here', async () => {
    expect(await decided(two, ['none:v1', 'none/*'])).toEqual(await decided(two));
  });

  it('leaves a pinned image with its layers', async () => {
    const records = storeOf({ images: [imageOf('app', ['base'], { pinned: true }), imageOf('other', ['top'])] });
    expect(kept(await decided(records), ['app', 'other', 'base', 'top'])).toEqual(['app: pinned', 'base: image']);
  });

  it('leaves what containers of any owner are made of, which it names', async () => {
    const containers = [
      containerOf('job', { app: ['base', 'app layer'] }, 'one'),
      containerOf('job/nested', { app: ['base', 'app layer'] }, 'two'),
    ];
    const decision = await decided({ ...two, containers });
    expect(kept(decision, words)).toEqual([
      'app: container, container',
      'base: image, container, container',
      'app layer: image, container, container',
    ]);
    expect(decision.images[0]?.reasons).toEqual([
      { kind: 'container', container: 'job', owner: 'one' },
      { kind: 'container', container: 'job/nested', owner: 'two' },
    ]);
  });

  it('leaves the layers of a rootfs whose image is gone', async () => {
    const records = storeOf({
      layers: [layerOf('base'), layerOf('free')],
      containers: [containerOf('job', { gone: ['base'] })],
    });
    expect(kept(await decided(records), ['base', 'free'])).toEqual(['base: container']);
  });

  it('names a container once, however many rootfses of the image it has', async () => {
    const container = containerOf('job', { app: ['base'] });
    const [rootfs] = container.rootfses;
    if (rootfs === undefined) throw new Error('it has none');
    const containers = [{ ...container, rootfses: [rootfs, { ...rootfs, id: 'another' }] }];
    const records = storeOf({ images: [imageOf('app', ['base'])], containers });
    expect(kept(await decided(records), ['app', 'base'])).toEqual(['app: container', 'base: image, container']);
  });

  it('leaves the layers that a pull needs, and takes the image that it would bring again', async () => {
    const lease = { pull: 'p', process: LIFE, since: 5, layers: ['base', 'not yet here'].map(digestOf) };
    const decision = await decided({ ...two, leases: [lease] });
    expect(kept(decision, words)).toEqual(['base: pull']);
    expect(decision.layers.find(({ id }) => id === digestOf('base'))?.reasons).toEqual([
      { kind: 'pull', pull: 'p', pid: 4711, since: 5 },
    ]);
  });

  it('tells every reason there is', async () => {
    const records = storeOf({
      images: [imageOf('app', ['base'], { pinned: true, lastUsedAt: NOW - 10 })],
      containers: [containerOf('job', { app: ['base'] })],
    });
    const decision = await decided(records, ['app:*'], { keepUsedWithin: 1000, keepBytes: 1e9 });
    expect(kept(decision, ['app'])).toEqual(['app: pinned, container, excluded, recent']);
    expect(decision.images[0]?.reasons).toContainEqual({ kind: 'excluded', pattern: 'app:*' });
    expect(decision.images[0]?.reasons).toContainEqual({ kind: 'recent', lastUsedAt: NOW - 10 });
  });
});

describe('a policy', () => {
  it.each([
    [1000, 999, true],
    [1000, 1000, false],
    [1000, 1001, false],
    [0, 0, false],
    [undefined, 0, false],
    [1000, -5000, true],
  ])('that keeps what was used within %s ms keeps an image of %s ms ago: %s', async (keepUsedWithin, ago, stays) => {
    const records = storeOf({ images: [imageOf('app', ['base'], { lastUsedAt: NOW - ago })] });
    expect(kept(await decided(records, [], { keepUsedWithin }), ['app'])).toEqual(stays ? ['app: recent'] : []);
  });

  it('takes an image whose last use is still to come, unless it keeps what was used of late', async () => {
    const records = storeOf({ images: [imageOf('app', ['base'], { lastUsedAt: NOW + 1000 })] });
    expect(kept(await decided(records, [], {}), ['app'])).toEqual([]);
    expect(kept(await decided(records, [], { keepUsedWithin: 1 }), ['app'])).toEqual(['app: recent']);
  });

  it('that keeps some bytes goes by the order of use, whatever times the clock gave', async () => {
    const images = [
      imageOf('first', ['a'], { lastUsedAt: NOW + 1000, useOrder: 1 }),
      imageOf('last', ['b'], { lastUsedAt: 0, useOrder: 2 }),
    ];
    const records = storeOf({ images, layers: [layerOf('a', 10), layerOf('b', 10)] });
    expect(kept(await decided(records, [], { keepBytes: 10 }), ['first', 'last'])).toEqual(['last: budget']);
  });

  const aged = storeOf({
    images: [
      imageOf('new', ['shared', 'n'], { lastUsedAt: 300, useOrder: 3 }),
      imageOf('big', ['b'], { lastUsedAt: 200, useOrder: 2 }),
      imageOf('old', ['shared', 'o'], { lastUsedAt: 100, useOrder: 1 }),
    ],
    layers: [layerOf('shared', 50), layerOf('n', 10), layerOf('b', 1000), layerOf('o', 10), layerOf('live', 500)],
  });

  it.each([
    [0, []],
    [59, []],
    [60, ['new']],
    [69, ['new']],
    // The big one does not fit and makes room for the old one, which needs ten bytes more.
    [70, ['new', 'old']],
    [1059, ['new', 'old']],
    [1060, ['new', 'big']],
    [1069, ['new', 'big']],
    [1070, ['new', 'big', 'old']],
  ])('that keeps %s bytes keeps the most recently used that fit: %j', async (keepBytes, stay) => {
    const expected = stay.map((word) => `${word}: budget`);
    expect(kept(await decided(aged, [], { keepBytes }), ['new', 'big', 'old'])).toEqual(expected);
  });

  it.each([
    ['an excluded image', {}, ['big']],
    ['a container', { containers: [containerOf('job', { big: ['b'] })] }, []],
    ['a pull', { leases: [{ pull: 'p', process: '', since: 0, layers: [digestOf('b')] }] }, []],
  ] as const)('counts what %s keeps', async (_, changes, excluded) => {
    const records = { ...aged, ...changes };
    expect(kept(await decided(records, excluded, { keepBytes: 1059 }), ['new', 'old'])).toEqual(
      // Sharing 'shared', the old one alone fits in nothing less than sixty bytes either.
      [],
    );
    expect(kept(await decided(records, excluded, { keepBytes: 1060 }), ['new', 'old'])).toEqual(['new: budget']);
  });

  it('counts a layer that a container keeps once, so that an image made of it may cost nothing', async () => {
    const records = { ...aged, containers: [containerOf('job', { gone: ['b', 'live'] })] };
    expect(kept(await decided(records, [], { keepBytes: 1500 }), ['new', 'big', 'old'])).toEqual(['big: budget']);
  });

  it('of both kinds keeps what either keeps', async () => {
    const policy = { keepUsedWithin: NOW - 150, keepBytes: 1 };
    expect(kept(await decided(aged, [], policy), ['new', 'big', 'old'])).toEqual(['new: recent', 'big: recent']);
    const wide = { keepUsedWithin: NOW - 250, keepBytes: 70 };
    expect(kept(await decided(aged, ['none'], wide), ['new', 'big', 'old'])).toEqual(['new: recent', 'old: budget']);
  });
});

describe('any store', () => {
  const layerWord = fc.integer({ min: 0, max: 11 }).map((index) => `l${index}`);
  const store = fc.record({
    images: fc.array(
      fc.record({
        layers: fc.array(layerWord, { maxLength: 6 }),
        pinned: fc.boolean(),
        lastUsedAt: fc.integer({ min: NOW - 100, max: NOW + 50 }),
        useOrder: fc.nat(100),
      }),
      { maxLength: 8 },
    ),
    containers: fc.array(fc.record({ image: fc.nat(9), layers: fc.array(layerWord, { maxLength: 4 }) }), {
      maxLength: 4,
    }),
    leases: fc.array(fc.array(layerWord, { maxLength: 4 }), { maxLength: 3 }),
    excluded: fc.subarray(['i0', 'i1', 'i2', 'i3', 'i*']),
    keepUsedWithin: fc.option(fc.nat(100), { nil: undefined }),
    keepBytes: fc.option(fc.nat(1200), { nil: undefined }),
  });

  it('loses no layer that a kept image, a rootfs or a pull needs, and every other one', async () => {
    await fc.assert(
      fc.asyncProperty(store, async ({ images, containers, leases, excluded, ...policy }) => {
        const records: StoreRecords = {
          images: images.map(({ layers, ...changes }, index) => imageOf(`i${index}`, layers, changes)),
          layers: Array.from({ length: 12 }, (_, index) => layerOf(`l${index}`, 10 * (index + 1))),
          containers: containers.map(({ image, layers }, index) =>
            containerOf(`c${index}`, { [`i${image}`]: [...(images[image]?.layers ?? layers)] }),
          ),
          leases: leases.map((layers, index) => ({
            pull: `p${index}`,
            process: '',
            since: 0,
            layers: layers.map(digestOf),
          })),
        };
        const decision = await decide(records, keepersBeside(excluded), policy, NOW);
        const stays = (judged: { readonly reasons: readonly unknown[] }) => judged.reasons.length > 0;
        const keptIds = new Set(decision.images.filter(stays).map(({ id }) => id));

        const needed = new Set([
          ...records.images.filter(({ id }) => keptIds.has(id)).flatMap(({ layers }) => layers),
          ...records.containers.flatMap(({ rootfses }) => rootfses.flatMap(({ layers }) => layers)),
          ...records.leases.flatMap(({ layers }) => layers),
        ]);
        expect(new Set(decision.layers.filter(stays).map(({ id }) => id))).toEqual(needed);

        for (const image of records.images) {
          const must =
            image.pinned ||
            parseExclusions(excluded)(image) !== undefined ||
            Math.max(0, NOW - image.lastUsedAt) < (policy.keepUsedWithin ?? 0) ||
            records.containers.some(({ rootfses }) => rootfses.some((rootfs) => rootfs.image === image.id));
          if (must) expect(keptIds.has(image.id)).toBe(true);
          else if ((policy.keepBytes ?? 0) === 0) expect(keptIds.has(image.id)).toBe(false);
        }
      }),
      { numRuns: 1000 },
    );
  });

  it('keeps no image for its size that leads beyond the size to keep', async () => {
    await fc.assert(
      fc.asyncProperty(store, async ({ images, containers, leases, keepBytes = 500 }) => {
        const records: StoreRecords = {
          images: images.map(({ layers, ...changes }, index) => imageOf(`i${index}`, layers, changes)),
          layers: Array.from({ length: 12 }, (_, index) => layerOf(`l${index}`, 10 * (index + 1))),
          containers: containers.map(({ layers }, index) => containerOf(`c${index}`, { gone: layers })),
          leases: leases.map((layers) => ({ pull: 'p', process: '', since: 0, layers: layers.map(digestOf) })),
        };
        const decision = await decided(records, [], { keepBytes });
        const forSize = decision.images.filter(({ reasons }) => reasons.some(({ kind }) => kind === 'budget'));
        const bytes = decision.layers.reduce((sum, layer) => sum + (layer.reasons.length > 0 ? layer.bytes : 0), 0);
        if (forSize.length > 0) expect(bytes).toBeLessThanOrEqual(keepBytes);
        // What goes for its size would not have fitted, were it the only one more.
        for (const image of decision.images.filter(({ reasons }) => reasons.length === 0)) {
          const layers = new Set(records.images.find(({ id }) => id === image.id)?.layers);
          const more = decision.layers.filter(({ id, reasons }) => reasons.length === 0 && layers.has(id));
          const total = bytes + more.reduce((sum, layer) => sum + layer.bytes, 0);
          if (keepBytes > 0) expect(total).toBeGreaterThan(keepBytes);
        }
      }),
      { numRuns: 1000 },
    );
  });
});
