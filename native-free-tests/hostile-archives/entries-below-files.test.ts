import { describe, expect, it } from 'vitest';
import { useLayers } from '../helpers/layers.js';
import { archive, entry, header } from '../helpers/raw-tar.js';

describe('an entry below something that is no directory', () => {
  const layers = useLayers();
  const file = entry({ name: 'f' }, 'x');

  it.each(['0', '1', '2', '5'])('is refused as typeflag %s', async (type) => {
    for (const name of ['f/a', 'f/a/b', './f//a']) {
      expect((await layers.refusal(archive(file, header({ name, linkName: 'x', type })))).code).toBe(
        'ERR_LAYER_MALFORMED',
      );
    }
  });

  it('is refused below a symlink to a file', async () => {
    expect(
      (await layers.refusal(archive(file, header({ name: 'l', linkName: 'f', type: '2' }), entry({ name: 'l/a' }))))
        .code,
    ).toBe('ERR_LAYER_MALFORMED');
  });

  it('is refused when a file has taken the place of the directory', async () => {
    const parts = [
      header({ name: 'd', type: '5' }),
      entry({ name: 'd/a' }),
      entry({ name: 'd' }),
      entry({ name: 'd/b' }),
    ];
    expect((await layers.refusal(archive(...parts))).code).toBe('ERR_LAYER_MALFORMED');
  });

  it('is what a hard link cannot find', async () => {
    const { stacking } = await layers.unpack(archive(file, header({ name: 'l', linkName: 'f/a', type: '1' })));
    expect(stacking.lowerLinks).toEqual([{ path: 'l', target: 'f/a' }]);
  });
});
