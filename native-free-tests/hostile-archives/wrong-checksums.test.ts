import { describe, expect, it } from 'vitest';
import { useLayers } from '../helpers/layers.js';
import { archive, entry, header } from '../helpers/raw-tar.js';

describe('a header with a wrong checksum', () => {
  const layers = useLayers();

  it.each([
    ['a number too large', '0077777\0'],
    ['zero', '0000000\0'],
    ['nothing', '\0\0\0\0\0\0\0\0'],
    ['spaces', '        '],
    ['no number', 'checksum'],
    ['a negative number', '-000001\0'],
    ['base 256 beyond any number', '\xff\xff\xff\xff\xff\xff\xff\xff'],
  ])('is refused when it says %s', async (_what, checksum) => {
    const tar = archive(entry({ name: 'first' }, 'x'), header({ name: 'a', checksum }));
    expect((await layers.refusal(tar)).code).toBe('ERR_LAYER_MALFORMED');
  });

  it('is refused whichever byte is changed', async () => {
    const header512 = header({ name: 'a', mode: 0o644, mtime: 1 });
    for (let at = 0; at < 512; at += 3) {
      if (at >= 148 && at < 156) continue;
      const changed = Buffer.from(header512);
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect((await layers.refusal(archive(changed))).code, `byte ${at}`).toBe('ERR_LAYER_MALFORMED');
    }
  });

  it('is refused when everything is text', async () => {
    expect((await layers.refusal(Buffer.from('<html>this is not a layer at all</html>\n'.repeat(100)))).code).toBe(
      'ERR_LAYER_MALFORMED',
    );
  });
});
