import { describe, expect, it } from 'vitest';
import { useLayers } from '../helpers/layers.js';
import { archive, entry, header, pax } from '../helpers/raw-tar.js';

describe('an entry with an impossible size', () => {
  const layers = useLayers();
  const after = entry({ name: 'after' }, 'x');

  it.each([-1n, -512n, -(2n ** 62n)])('is refused when it is negative: %s', async (size) => {
    for (const type of ['0', '5', 'x', 'L', 'S', 'V']) {
      expect((await layers.refusal(archive(header({ name: 'a', size, type }), after))).code).toBe(
        'ERR_LAYER_MALFORMED',
      );
    }
  });

  it.each([2n ** 53n, 2n ** 62n, 2n ** 63n - 1n, 2n ** 64n])('is refused when no number holds it: %s', async (size) => {
    expect((await layers.refusal(archive(header({ name: 'a', size }), after))).code).toBe('ERR_LAYER_MALFORMED');
  });

  it.each([2n ** 52n, 2n ** 44n, 2n ** 40n])(
    'is refused as beyond the limits before anything is written: %s',
    async (size) => {
      expect((await layers.refusal(archive(header({ name: 'a', size }), after))).code).toBe('ERR_LIMIT_EXCEEDED');
    },
  );

  it('is refused as truncated when the archive has less', async () => {
    expect((await layers.refusal(archive(header({ name: 'a', size: 0o77777777 }), after))).code).toBe(
      'ERR_LAYER_TRUNCATED',
    );
  });

  it.each(['-1', '1.5', '0x10', ' 1', '1 ', '+1', '1e3', '9007199254740992', '99999999999999999999999'])(
    'is refused when its pax header says %j',
    async (size) => {
      expect((await layers.refusal(archive(pax({ size }), entry({ name: 'a' }, 'x'), after))).code).toBe(
        'ERR_LAYER_MALFORMED',
      );
    },
  );

  it('is refused when it is no number at all', async () => {
    for (const size of ['abcdefghijk', '8', '12 34', '7777777777x']) {
      const tar = archive(header({ name: 'a', size: size.padEnd(12, '9') }), after);
      expect((await layers.refusal(tar)).code, JSON.stringify(size)).toMatch(/ERR_LAYER_(MALFORMED|TRUNCATED)/);
    }
  });

  it('adds up with those of the others', async () => {
    const parts = Array.from({ length: 5 }, (_, index) => entry({ name: `f${index}` }, Buffer.alloc(1000)));
    expect(await layers.refusal(archive(...parts), { limits: { maxUnpackedBytes: 4999 } })).toMatchObject({
      code: 'ERR_LIMIT_EXCEEDED',
      details: { limit: 4999, option: 'maxUnpackedBytes' },
    });
  });

  it('is refused when the file is larger than one may be', async () => {
    expect(
      await layers.refusal(archive(entry({ name: 'a' }, Buffer.alloc(1001))), { limits: { maxFileBytes: 1000 } }),
    ).toMatchObject({
      code: 'ERR_LIMIT_EXCEEDED',
      details: { limit: 1000, option: 'maxFileBytes' },
    });
  });
});
