import { describe, expect, it } from 'vitest';
import { checkPlan } from '#src/prune/check-plan.js';
import { decide } from '#src/prune/decide.js';
import { STORE_KEEPERS } from '#src/prune/keepers.js';
import { makePlan } from '#src/prune/plan.js';
import { digestOf } from '../contracts/metadata-records.js';
import { imageId, imageOf, layerOf, storeOf } from './records.js';

const records = storeOf({
  images: [
    imageOf('app', ['base', 'app layer'], { lastUsedAt: 5, names: ['app:a', 'app:b'] }),
    imageOf('kept', ['base'], { pinned: true }),
  ],
  layers: [layerOf('base', 1000), layerOf('app layer', 20), layerOf('orphan', 3)],
});
const plan = await makePlan(await decide(records, STORE_KEEPERS, {}, 99), 99);

describe('a plan', () => {
  it('holds what goes, and nothing of what stays', () => {
    expect(plan).toEqual({
      version: 1,
      madeAt: 99,
      images: [{ id: imageId('app'), names: ['app:a', 'app:b'], lastUsedAt: 5 }],
      layers: [
        { id: digestOf('app layer'), bytes: 20 },
        { id: digestOf('orphan'), bytes: 3 },
      ],
      bytes: 23,
    });
  });

  it('is the same after it was written to a file and read again', async () => {
    expect(await checkPlan(JSON.parse(JSON.stringify(plan, undefined, 2)))).toEqual(plan);
    const nothing = await makePlan({ images: [], layers: [] }, 1);
    expect(await checkPlan(JSON.parse(JSON.stringify(nothing)))).toEqual({
      version: 1,
      madeAt: 1,
      images: [],
      layers: [],
      bytes: 0,
    });
  });

  const [first] = plan.images;
  it.each([
    ['nothing', undefined, ''],
    ['null', null, ''],
    ['a text', '{}', ''],
    ['a list', [], ''],
    ['an empty object', {}, ' at version'],
    ['a later version', { ...plan, version: 2 }, ' at version'],
    ['a field that we do not know', { ...plan, force: true }, ''],
    ['a time that is none', { ...plan, madeAt: 'now' }, ' at madeAt'],
    ['a size that is none', { ...plan, bytes: '23' }, ' at bytes'],
    ['a size beyond numbers', { ...plan, bytes: Number.NaN }, ' at bytes'],
    ['images that are no list', { ...plan, images: {} }, ' at images'],
    ['an image without names', { ...plan, images: [{ ...first, names: undefined }] }, ' at images.0.names'],
    ['an image with a name that is none', { ...plan, images: [{ ...first, names: [1] }] }, ' at images.0.names.0'],
    ['an image without its last use', { ...plan, images: [first, { ...first, lastUsedAt: null }] }, ' at images.1'],
    ['an image with a bad id', { ...plan, images: [{ ...first, id: 'app' }] }, ' at images.0.id'],
    ['an image with more', { ...plan, images: [{ ...first, path: '/' }] }, ' at images.0'],
    ['a layer with a path for an id', { ...plan, layers: [{ id: '../../etc', bytes: 1 }] }, ' at layers.0.id'],
    [
      'a layer with a path behind its digest',
      { ...plan, layers: [{ id: `${digestOf('x')}/..`, bytes: 1 }] },
      ' at layers.0.id',
    ],
    ['a layer without a size', { ...plan, layers: [{ id: digestOf('x') }] }, ' at layers.0.bytes'],
  ])('that is %s is refused, with where it is wrong', async (_, value, where) => {
    let message = '';
    try {
      await checkPlan(value);
    } catch (error) {
      expect(error).toMatchObject({ code: 'ERR_BAD_OPTION', hint: expect.stringContaining('--dry-run --plan') });
      message = (error as Error).message;
    }
    expect(message).toMatch(/^not a plan of a prune/);
    expect(message).toContain(`prune${where}`);
  });
});
