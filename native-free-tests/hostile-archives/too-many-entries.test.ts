import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { processorSeconds, useLayers } from '../helpers/layers.js';
import { archive, entry, header, pax } from '../helpers/raw-tar.js';

describe('an archive with more entries than it may have', () => {
  const layers = useLayers();
  const limits = { maxEntries: 1000 };
  const expected = { code: 'ERR_LIMIT_EXCEEDED', details: { limit: 1000, option: 'maxEntries' } };

  it('is refused at the first one too many', async () => {
    const many = (count: number) =>
      archive(...Array.from({ length: count }, (_, index) => header({ name: `f${index}` })));
    expect((await layers.unpack(many(1000), { limits })).entries).toBe(1000);
    expect(await layers.refusal(many(1001), { limits })).toMatchObject(expected);
  });

  it.each(['0', '1', '2', '5', '6'])('is refused when all of them are one and the same (typeflag %s)', async (type) => {
    const one = header({ name: 'a', linkName: 'b', type });
    expect(await layers.refusal(archive(...Array.from({ length: 1001 }, () => one)), { limits })).toMatchObject(
      expected,
    );
  });

  it('is refused when all of them are whiteouts', async () => {
    const whiteouts = Array.from({ length: 1001 }, (_, index) => header({ name: `.wh.f${index}` }));
    expect(await layers.refusal(archive(...whiteouts), { limits })).toMatchObject(expected);
  });

  it('is refused when most of them are directories that it only implies', async () => {
    const parts = Array.from({ length: 21 }, (_, index) => header({ name: `${index}${'/d'.repeat(49)}` }));
    expect(await layers.refusal(archive(...parts), { limits })).toMatchObject(expected);
    const whiteouts = Array.from({ length: 20 }, (_, index) => header({ name: `${index}${'/d'.repeat(45)}/.wh.x` }));
    expect((await layers.unpack(archive(...whiteouts.slice(0, 10)), { limits })).entries).toBe(10);
    expect(await layers.refusal(archive(...whiteouts, ...parts), { limits })).toMatchObject(expected);
  });

  it('is refused when it says a million of them in a kilobyte of gzip data', async () => {
    const many = Buffer.concat(Array.from({ length: 2000 }, (_, index) => header({ name: `${index}` })));
    const blob = Buffer.concat(Array.from({ length: 500 }, () => gzipSync(many)));
    const start = processorSeconds();
    expect(await layers.refusal(many, { blob, limits })).toMatchObject(expected);
    expect(processorSeconds() - start).toBeLessThan(2);
  });
});

describe('an archive with more extended attributes than it may have', () => {
  const layers = useLayers();

  it('has none that a global header would give to every entry: nobody writes them so, and each would be paid for with each', async () => {
    const records = Array.from({ length: 100 }, (_, index) => [`SCHILY.xattr.user.${index}`, 'x'] as const);
    const parts = Array.from({ length: 50 }, (_, index) => entry({ name: `f${index}` }));
    const { skipped } = await layers.unpack(archive(pax(records, 'g'), ...parts), { limits: { maxEntries: 1000 } });
    expect(skipped.xattrs).toBe(0);
  });

  it('is refused when they are more than the data it may have', async () => {
    const parts = Array.from({ length: 20 }, (_, index) => [
      pax({ 'SCHILY.xattr.user.a': Buffer.alloc(60_000) }),
      entry({ name: `f${index}` }),
    ]);
    expect(await layers.refusal(archive(...parts.flat()), { limits: { maxUnpackedBytes: 1_000_000 } })).toMatchObject({
      code: 'ERR_LIMIT_EXCEEDED',
      details: { option: 'maxUnpackedBytes' },
    });
  });

  it('is refused when one entry has more than a file can have', async () => {
    const names = Array.from(
      { length: 400 },
      (_, index) => [`SCHILY.xattr.user.${'n'.repeat(200)}${index}`, ''] as const,
    );
    expect((await layers.refusal(archive(pax(names), entry({ name: 'a' })))).code).toBe('ERR_LIMIT_EXCEEDED');
    const large = pax({ 'SCHILY.xattr.user.a': Buffer.alloc(65_537) });
    expect((await layers.refusal(archive(large, entry({ name: 'a' })))).code).toBe('ERR_LIMIT_EXCEEDED');
  });
});
