import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { useLayers } from '../helpers/layers.js';
import { archive, entry, GNU, header, pax, paxRecord } from '../helpers/raw-tar.js';

const MIB = 1024 * 1024;

describe('an extended header that lies about its length', () => {
  const layers = useLayers();

  it.each(['x', 'g', 'L', 'K'])('(%s) is refused before it takes memory', async (type) => {
    for (const size of [MIB + 1, 2 ** 32, 0o77777777777]) {
      const tar = archive(
        header({ name: 'x', type, size, magic: type === 'x' ? 'ustar\x0000' : GNU }),
        entry({ name: 'a' }),
      );
      expect((await layers.refusal(tar)).code).toBe('ERR_LIMIT_EXCEEDED');
    }
    const tar = archive(header({ name: 'x', type, size: 2n ** 52n }), entry({ name: 'a' }));
    expect((await layers.refusal(tar)).code).toBe('ERR_LIMIT_EXCEEDED');
  });

  it.each(['x', 'g', 'L', 'K'])('(%s) is refused when the archive ends in it', async (type) => {
    const tar = Buffer.concat([header({ name: 'x', type, size: 5000 }), Buffer.alloc(1024, '1')]);
    expect((await layers.refusal(tar)).code).toBe('ERR_LAYER_TRUNCATED');
  });

  it.each([
    '1048576 path=b\n',
    '99999999999 path=b\n',
    '0000000000000000000009 path=b\n',
    '18446744073709551617 path=b\n',
  ])('is refused when its record says %j', async (record) => {
    expect((await layers.refusal(archive(entry({ name: 'x', type: 'x' }, record), entry({ name: 'a' })))).code).toBe(
      'ERR_LAYER_MALFORMED',
    );
  });
});

describe('extended headers without end', () => {
  const layers = useLayers();

  it.each(['x', 'L', 'K'])('(%s) are refused when all that precede one entry are too long together', async (type) => {
    const one = entry(
      { name: 'x', type },
      type === 'x' ? paxRecord('comment', 'c'.repeat(60_000)) : 'n'.repeat(60_000),
    );
    expect((await layers.refusal(archive(...Array.from({ length: 30 }, () => one), entry({ name: 'a' })))).code).toBe(
      'ERR_LIMIT_EXCEEDED',
    );
  });

  it('are refused when global ones leave too much to be kept', async () => {
    const parts = Array.from({ length: 40 }, (_, index) => [
      pax({ [`SCHILY.xattr.user.${index}`]: 'v'.repeat(60_000) }, 'g'),
      entry({ name: `f${index}` }),
    ]);
    expect((await layers.refusal(archive(...parts.flat()))).code).toBe('ERR_LIMIT_EXCEEDED');
  });

  it('are no harm when global ones leave nothing to be kept', async () => {
    const parts = Array.from({ length: 40 }, (_, index) => [
      pax({ comment: 'v'.repeat(60_000) }, 'g'),
      entry({ name: `f${index}` }),
    ]);
    expect((await layers.unpack(archive(...parts.flat()))).entries).toBe(40);
  });

  it('end with the limit of data when they are empty', async () => {
    // A member of gzip data for each megabyte, again and again: half a gigabyte of headers.
    const empty = Buffer.concat(Array.from({ length: 2048 }, () => header({ name: 'x', type: 'x' })));
    const blob = Buffer.concat(Array.from({ length: 512 }, () => gzipSync(empty)));
    const limits = { maxUnpackedBytes: 64 * MIB };
    expect(await layers.refusal(Buffer.alloc(0), { blob, limits })).toMatchObject({
      code: 'ERR_LIMIT_EXCEEDED',
      details: { option: 'maxUnpackedBytes' },
    });
  });
});
