import { describe, expect, it } from 'vitest';
import { useLayers } from '../helpers/layers.js';
import { archive, entry, header, pax } from '../helpers/raw-tar.js';

describe('an entry with an absolute name', () => {
  const layers = useLayers();

  it('lands inside the layer, at the same path from its root', async () => {
    const name = `${layers.outside}/file`;
    const { tree } = await layers.unpack(archive(pax({ path: Buffer.from(name) }), entry({ name: 'x' }, 'inside')));
    expect(tree[name.slice(1)]).toBe('file 644 inside');
  });

  it.each(['/a', '//a', '///./a', '/./a'])('is a when it is written %s', async (name) => {
    expect((await layers.unpack(archive(entry({ name }, 'x')))).tree).toEqual({
      '.': 'directory 755',
      a: 'file 644 x',
    });
  });

  it('is the root of the layer when it is a slash', async () => {
    expect((await layers.unpack(archive(header({ name: '/', type: '5', mode: 0o700 })))).tree).toEqual({
      '.': 'directory 700',
    });
    expect((await layers.refusal(archive(header({ name: '/', linkName: layers.outside, type: '2' })))).code).toBe(
      'ERR_LAYER_MALFORMED',
    );
  });
});
