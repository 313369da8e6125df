import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { useLayers } from '../helpers/layers.js';
import { archive, entry, header } from '../helpers/raw-tar.js';

const tar = archive(entry({ name: 'a' }, 'x'));

describe('what follows the end of an archive', () => {
  const layers = useLayers();

  it.each([
    ['garbage', Buffer.alloc(3000, 0xa5)],
    ['zeros', Buffer.alloc(10_240)],
    ['another archive', archive(entry({ name: 'b' }, 'y'))],
    ['part of a block', Buffer.from('x')],
  ])('is passed over, but counts for the diff ID: %s', async (_what, rest) => {
    expect((await layers.unpack(Buffer.concat([tar, rest]))).tree).toEqual({ '.': 'directory 755', a: 'file 644 x' });
  });

  it('is bounded like everything else', async () => {
    const blob = Buffer.concat([gzipSync(tar), ...Array.from({ length: 200 }, () => gzipSync(Buffer.alloc(1 << 20)))]);
    expect(await layers.refusal(tar, { blob, limits: { maxUnpackedBytes: 1 << 26 } })).toMatchObject({
      code: 'ERR_LIMIT_EXCEEDED',
      details: { option: 'maxUnpackedBytes' },
    });
  });
});

describe('what stands between entries', () => {
  const layers = useLayers();

  it('is refused when it is one block of zeros', async () => {
    const tar = Buffer.concat([header({ name: 'a' }), Buffer.alloc(512), header({ name: 'b' })]);
    expect((await layers.refusal(tar)).code).toBe('ERR_LAYER_MALFORMED');
  });

  it('is refused when it is anything else', async () => {
    const tar = archive(header({ name: 'a' }), Buffer.alloc(512, 0xa5), header({ name: 'b' }));
    expect((await layers.refusal(tar)).code).toBe('ERR_LAYER_MALFORMED');
  });
});
