import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { DEFAULT_UNPACK_LIMITS } from '#src/base/config.js';
import { SpaceWatch } from '#src/files/space/space-watch.js';
import { NativeFreeSyscalls } from '#src/system/syscalls/native-free/native-free-syscalls.js';
import { TarReader } from '#src/system/tar/tar-reader.js';
import { LayerWriter } from '#src/unpack/layer-writer.js';
import { describeTree, readTar, useLayers } from '../helpers/layers.js';
import { archive, entry, GNU, gnuLong, header, oldSparse, pax, sparseMapBlocks } from '../helpers/raw-tar.js';

/** Something of everything that is longer than a block, or puts two of them together. */
const everything = archive(
  header({ name: './', type: '5', mode: 0o711 }),
  pax({ comment: 'x'.repeat(700), mtime: '1.5' }, 'g'),
  header({ name: 'd/', type: '5' }),
  entry({ name: 'd/empty' }),
  entry({ name: 'd/exact' }, Buffer.alloc(1024, 'e')),
  entry({ name: 'd/odd' }, Buffer.alloc(1025, 'o')),
  pax({ path: `d/${'n'.repeat(200)}`, 'SCHILY.xattr.user.a': Buffer.alloc(2000, 0xff) }),
  entry({ name: 'short' }, 'named by pax'),
  gnuLong('L', `d/${'g'.repeat(200)}`),
  gnuLong('K', 't'.repeat(200)),
  header({ name: 'short', type: '2', magic: GNU }),
  oldSparse(
    { name: 'sparse-old' },
    9000,
    Array.from({ length: 40 }, (_, index) => [index * 200, 10] as const),
    Buffer.alloc(400, 's'),
  ),
  pax({ 'GNU.sparse.major': '1', 'GNU.sparse.minor': '0', 'GNU.sparse.realsize': '5000' }),
  entry(
    { name: 'sparse-1.0' },
    Buffer.concat([
      sparseMapBlocks(Array.from({ length: 150 }, (_, index) => [index * 20, 4])),
      Buffer.alloc(600, 's'),
    ]),
  ),
  entry({ name: 'd/.wh.gone' }),
  header({ name: 'link', linkName: 'd/odd', type: '1' }),
);

const SIZES = [1, 7, 511, 512, 513, 4096];

describe('an archive pushed in pieces', () => {
  const layers = useLayers();

  it.each(SIZES)('of %i bytes has the same entries with the same data', (size) => {
    expect(readTar(everything, size)).toEqual(readTar(everything));
  });

  it.each(SIZES)('of %i bytes gives the same tree', async (size) => {
    const rootfs = join(layers.path, 'pushed');
    mkdirSync(rootfs);
    const writer = new LayerWriter({
      tree: new NativeFreeSyscalls().openTree(rootfs),
      space: new SpaceWatch(rootfs, 0),
      format: 'plain',
      privileged: false,
      limits: DEFAULT_UNPACK_LIMITS,
      removeDirectoryTree: () => {},
    });
    const reader = new TarReader(writer);
    for (let at = 0; at < everything.length; at += size) reader.push(everything.subarray(at, at + size));
    reader.end();
    writer.finish();
    expect(describeTree(rootfs)).toEqual((await layers.unpack(everything)).tree);
  });

  it('with a cut at every single place has the same entries', () => {
    const whole = JSON.stringify(readTar(everything));
    const entries: unknown[] = [];
    for (let cut = 1; cut < everything.length; cut += 13) {
      const read = readTar(everything, cut);
      if (JSON.stringify(read) !== whole) entries.push(cut);
    }
    expect(entries).toEqual([]);
  });
});
