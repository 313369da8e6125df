import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { DEFAULT_UNPACK_LIMITS } from '#src/base/config.js';
import { UnpackBudget } from '#src/unpack/unpack-budget.js';
import { thrownBy, useLayers } from '../helpers/layers.js';
import { archive, entry, header, pax } from '../helpers/raw-tar.js';

const MIB = 2 ** 20;
/** The same piece of an archive again and again, and hardly a byte of it stored. */
const repeated = (piece: Buffer, times: number): Buffer => Buffer.concat(Array<Buffer>(times).fill(gzipSync(piece)));

describe('an archive that leaves more to be remembered than there is memory', () => {
  const layers = useLayers();

  it('is refused when it is the attributes of directories', async () => {
    const records = Array.from(
      { length: 16 },
      (_, index) => [`SCHILY.xattr.user.${index}`, Buffer.alloc(60_000, index)] as const,
    );
    const directory = Buffer.concat([pax(records), header({ name: 'd', type: '5' })]);
    const before = memory();
    const error = await layers.refusal(archive(), { blob: repeated(directory, 400) });
    expect(error.code).toBe('ERR_LIMIT_EXCEEDED');
    expect(memory() - before).toBeLessThan(600 * MIB);
  });

  it('is no harm when it is what directories have beside their attributes', async () => {
    // A link target of a directory means nothing, and neither does a comment.
    const directory = (name: string) =>
      Buffer.concat([
        pax({ linkpath: 't'.repeat(500_000), comment: 'c'.repeat(500_000) }),
        header({ name, type: '5' }),
      ]);
    const pieces = Array.from({ length: 100 }, (_, index) => directory(`d${index}`));
    const before = memory();
    expect((await layers.unpack(archive(...pieces))).entries).toBe(100);
    expect(memory() - before).toBeLessThan(300 * MIB);
  });

  it('is refused when it is paths of directories, whiteouts or links', () => {
    const budget = new UnpackBudget(DEFAULT_UNPACK_LIMITS);
    const error = thrownBy(() => {
      for (let count = 0; count < DEFAULT_UNPACK_LIMITS.maxEntries; count++) budget.keep(4000);
    });
    expect(error).toMatchObject({ code: 'ERR_LIMIT_EXCEEDED', hint: expect.stringContaining('rebuilt') });
  });

  it('is not refused when it is many paths as images have them', () => {
    const budget = new UnpackBudget(DEFAULT_UNPACK_LIMITS);
    for (let count = 0; count < 500_000; count++) budget.keep(80);
  });
});

describe('whiteouts, opaque markers and links', () => {
  const layers = useLayers();

  it.each<[string, (name: string) => Buffer]>([
    ['whiteouts', (name) => entry({ name: `.wh.${name}` })],
    ['opaque markers', (name) => entry({ name: `${name}/.wh..wh..opq` })],
    ['links to lower layers', (name) => header({ name, linkName: `lower/${name}`, type: '1' })],
    ['devices that hide', (name) => header({ name, type: '3' })],
  ])('are kept for the end, a thousand of them (%s)', async (_what, part) => {
    const parts = Array.from({ length: 1000 }, (_, index) => part(`n${index}`));
    expect((await layers.unpack(archive(...parts))).entries).toBe(1000);
  });
});

function memory(): number {
  return process.memoryUsage().rss;
}
