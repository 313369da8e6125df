import { describe, expect, it } from 'vitest';
import { useLayers } from '../helpers/layers.js';
import { archive, entry, header, pax } from '../helpers/raw-tar.js';

describe('a whiteout that would delete outside of its layer', () => {
  const layers = useLayers();

  it.each(['.wh...', '.wh..', '.wh.', 'd/.wh...', 'd/.wh..', './.wh...', 'd/.wh.'])('is refused: %s', async (name) => {
    for (const type of ['0', '5', '2']) {
      expect((await layers.refusal(archive(header({ name, linkName: 'x', type })))).code).toBe('ERR_UNSAFE_PATH');
    }
  });

  it.each(['../.wh.outside', '../../.wh.outside', 'a/../../.wh.outside', '.wh.a/../../../outside/.wh.file'])(
    'is refused: %s',
    async (name) => {
      expect((await layers.refusal(archive(entry({ name })))).code).toBe('ERR_UNSAFE_PATH');
    },
  );

  it('is refused when it hides a path and not a name', async () => {
    expect((await layers.refusal(archive(entry({ name: '.wh...//outside' })))).code).toBe('ERR_LAYER_MALFORMED');
  });

  it('stays inside when it stands below a symlink that leads out', async () => {
    const symlink = Buffer.concat([
      pax({ linkpath: Buffer.from(layers.outside) }),
      header({ name: 'absolute', type: '2' }),
    ]);
    const climbing = header({ name: 'climbing', linkName: '../../outside', type: '2' });
    const { tree } = await layers.unpack(
      archive(
        symlink,
        climbing,
        entry({ name: 'absolute/.wh.file' }),
        entry({ name: 'climbing/.wh.file' }),
        entry({ name: 'climbing/.wh..wh..opq' }),
      ),
    );
    expect(tree[`${layers.outside.slice(1)}/.wh.file`]).toBe('file 600');
    expect(tree['outside/.wh..wh..opq']).toBe('file 600');
  });

  it('cannot be forged by a symlink to its name', async () => {
    const link = header({ name: 'l', linkName: '.wh.usr', type: '2' });
    expect((await layers.refusal(archive(link, entry({ name: 'l/a' })))).code).toBe('ERR_LAYER_MALFORMED');
  });

  it('is not followed when it is a symlink itself', async () => {
    const whiteout = header({ name: '.wh.a', linkName: '../../outside/file', type: '2' });
    expect((await layers.unpack(archive(whiteout))).tree).toEqual({ '.': 'directory 755', '.wh.a': 'file 600' });
  });
});

describe('an entry below a whiteout', () => {
  const layers = useLayers();

  it.each(['.wh.d/a', '.wh.d/.wh.a', 'a/.wh.d/b/c', '.wh.../a', '.wh../a'])('is refused: %s', async (name) => {
    expect((await layers.refusal(archive(header({ name: '.wh.d', type: '5' }), entry({ name })))).code).toBe(
      'ERR_LAYER_MALFORMED',
    );
  });
});
