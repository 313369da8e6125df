import { statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { processorSeconds, useLayers } from '../helpers/layers.js';
import { archive, base256, entry, header, oldSparse, pax, paxRecord, sparseMapBlocks } from '../helpers/raw-tar.js';

const TIB = 2 ** 40;

describe('a sparse file that is huge', () => {
  const layers = useLayers();
  const tar = (size: number) =>
    archive(
      pax({ 'GNU.sparse.size': `${size}`, 'GNU.sparse.map': `0,1,${size - 1},1` }),
      entry({ name: 'huge' }, 'xy'),
    );

  it('takes no more than its data, within the limit', async () => {
    const { rootfs, bytes } = await layers.unpack(tar(TIB));
    expect(statSync(join(rootfs, 'huge')).size).toBe(TIB);
    expect(bytes).toBeLessThan(2 ** 20);
  });

  it('is refused beyond the limit', async () => {
    for (const size of [16 * TIB + 1, 2 ** 52]) {
      expect(await layers.refusal(tar(size))).toMatchObject({
        code: 'ERR_LIMIT_EXCEEDED',
        details: { option: 'maxFileBytes' },
      });
    }
  });

  it('is refused beyond what numbers hold', async () => {
    for (const size of ['9007199254740993', '18446744073709551616', '99999999999999999999999999']) {
      const parts = [pax({ 'GNU.sparse.size': size, 'GNU.sparse.map': '0,1' }), entry({ name: 'huge' }, 'x')];
      expect((await layers.refusal(archive(...parts))).code).toBe('ERR_LAYER_MALFORMED');
    }
    for (const size of [-1n, 2n ** 63n]) {
      const parts = oldSparse({ name: 'huge', patches: [[483, base256(size, 12)]] }, 0, [[0, 1]], 'x');
      expect((await layers.refusal(archive(parts))).code).toBe('ERR_LAYER_MALFORMED');
    }
  });
});

describe('a sparse map made to be expensive', () => {
  const layers = useLayers();
  const records = { 'GNU.sparse.major': '1', 'GNU.sparse.minor': '0', 'GNU.sparse.realsize': '1000' };

  it('is refused when it has more pieces than any real one', async () => {
    const inData = archive(pax(records), entry({ name: 'a' }, Buffer.from('99999999\n'.padEnd(512, '0\n'))));
    expect((await layers.refusal(inData)).code).toBe('ERR_LIMIT_EXCEEDED');
    const old = oldSparse(
      { name: 'a' },
      1000,
      Array.from({ length: 110_000 }, () => [0, 0] as const),
      '',
    );
    expect((await layers.refusal(archive(old))).code).toBe('ERR_LIMIT_EXCEEDED');
  });

  it('is read in one pass when every block of it looks like the last', async () => {
    // Each of its blocks ends with a newline, so that whoever looks for the end there reads all of it anew.
    const pieces = Array.from({ length: 90_000 }, () => [0, 0] as const);
    const map = sparseMapBlocks(pieces);
    const start = processorSeconds();
    const tar = archive(
      ...Array.from({ length: 5 }, (_, index) => Buffer.concat([pax(records), entry({ name: `a${index}` }, map)])),
    );
    expect((await layers.unpack(tar)).entries).toBe(5);
    expect(processorSeconds() - start).toBeLessThan(5);
  });

  it('is read in one pass when it is a million repeated records', async () => {
    const pairs = Buffer.concat(
      Array.from({ length: 10_000 }, () =>
        Buffer.concat([paxRecord('GNU.sparse.offset', '0'), paxRecord('GNU.sparse.numbytes', '0')]),
      ),
    );
    const head = entry({ name: 'x', type: 'x' }, Buffer.concat([paxRecord('GNU.sparse.size', '1000'), pairs]));
    const start = processorSeconds();
    await layers.unpack(archive(head, header({ name: 'a' })));
    expect(processorSeconds() - start).toBeLessThan(5);
  });
});
