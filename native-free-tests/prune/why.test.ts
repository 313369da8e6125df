import { describe, expect, it } from 'vitest';
import { ProvisionerError } from '#src/base/errors.js';
import { STORE_KEEPERS } from '#src/prune/keepers.js';
import { explain } from '#src/prune/why.js';
import { digestOf } from '../contracts/metadata-records.js';
import { containerOf, imageId, imageOf, layerOf, storeOf, wholeImage } from './records.js';

const app = imageOf('app', ['base', 'top'], { bytes: 200, pinned: true });
const free = imageOf('free', ['base']);
const records = storeOf({
  images: [app, free],
  layers: [layerOf('orphan', 7), layerOf('live', 8)],
  containers: [containerOf('job', { app: ['base', 'top'], gone: ['live'] })],
  leases: [{ pull: 'p', process: `${'ab'.repeat(16)}.4711`, since: 4, layers: [digestOf('top')] }],
});

/** As the store finds images: by these names and ids. */
function finding(...images: readonly ReturnType<typeof imageOf>[]) {
  return (thing: string) => async () => {
    const found = images.find(({ id, names }) => names.includes(thing) || id === thing || id.startsWith(thing));
    if (found === undefined) throw new ProvisionerError('ERR_IMAGE_NOT_FOUND', `no image ${thing}`);
    return wholeImage(found);
  };
}

const ask = (thing: string) => explain(thing, records, STORE_KEEPERS, 0, finding(app, free)(thing));

describe('the explanation of an image', () => {
  it('names its pin and its containers', async () => {
    const expected = {
      kind: 'image',
      id: imageId('app'),
      names: app.names,
      bytes: 200,
      reasons: [{ kind: 'pinned' }, { kind: 'container', container: 'job', owner: 'agent' }],
    };
    expect(await ask('docker.io/library/app:latest')).toEqual(expected);
    expect(await ask(imageId('app'))).toEqual(expected);
  });

  it('has no reasons when the next prune takes it', async () => {
    expect(await ask(imageId('free'))).toMatchObject({ kind: 'image', reasons: [] });
  });

  it('that is not there is refused as everywhere', async () => {
    await expect(ask('none')).rejects.toMatchObject({ code: 'ERR_IMAGE_NOT_FOUND' });
    await expect(ask(`sha256:${'0'.repeat(64)}`)).rejects.toMatchObject({ code: 'ERR_IMAGE_NOT_FOUND' });
  });

  it('is what is asked for by a name that could be the digits of a layer too', async () => {
    const id = `sha256:${'cafe'.padEnd(64, '0')}`;
    const cafe = imageOf('cafe', ['base'], { names: ['cafe'] });
    const both = storeOf({ images: [cafe], layers: [{ ...layerOf('x'), id }] });
    expect(await explain('cafe', both, STORE_KEEPERS, 0, finding(cafe)('cafe'))).toMatchObject({
      kind: 'image',
      id: imageId('cafe'),
    });
    // The whole id of the layer is a layer's.
    expect(await explain(id, both, STORE_KEEPERS, 0, finding(cafe)(id))).toMatchObject({ kind: 'layer', id });
  });
});

describe('the explanation of a layer', () => {
  const top = digestOf('top');

  it.each([
    ['its id', top],
    ['its digits', top.slice(7)],
    ['its first digits', top.slice(7, 20)],
    ['its first digits after sha256:', top.slice(0, 20)],
  ])('is asked for by %s, and tells the chain', async (_, thing) => {
    expect(await ask(thing)).toEqual({
      kind: 'layer',
      id: top,
      names: [],
      bytes: 100,
      reasons: [
        {
          kind: 'image',
          image: imageId('app'),
          names: app.names,
          because: [{ kind: 'pinned' }, { kind: 'container', container: 'job', owner: 'agent' }],
        },
        { kind: 'container', container: 'job', owner: 'agent' },
        { kind: 'pull', pull: 'p', pid: 4711, since: 4 },
      ],
    });
  });

  it('says of an image that holds it when nothing keeps that one', async () => {
    const reasons = (await ask(digestOf('base'))).reasons.filter(({ kind }) => kind === 'image');
    expect(reasons.map(({ because }) => because?.length)).toEqual([2, 0]);
  });

  it('has no reasons when nothing needs it, and the container when only that does', async () => {
    expect((await ask(digestOf('orphan'))).reasons).toEqual([]);
    expect((await ask(digestOf('live'))).reasons).toEqual([{ kind: 'container', container: 'job', owner: 'agent' }]);
  });

  it('is refused for digits that several layers, or a layer and an image, begin with', async () => {
    const [one, two, three] = ['abcd1', 'abcd2', 'abce3'].map((start) => `sha256:${start.padEnd(64, '0')}`);
    const image = imageOf('app', [], { id: three as string });
    const layers = [one, two, `sha256:${'abce4'.padEnd(64, '0')}`].map((id) => ({ ...layerOf('x'), id: id as string }));
    const several = storeOf({ images: [image], layers });
    const find = (thing: string) => explain(thing, several, STORE_KEEPERS, 0, finding(image)(`sha256:${thing}`));
    await expect(find('abcd')).rejects.toMatchObject({ code: 'ERR_IMAGE_AMBIGUOUS' });
    await expect(find('abce')).rejects.toMatchObject({ code: 'ERR_IMAGE_AMBIGUOUS' });
    expect(await find('abcd1')).toMatchObject({ kind: 'layer', id: one });
    expect(await find('abce3')).toMatchObject({ kind: 'image', id: three });
  });
});
