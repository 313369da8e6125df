import { expect, it } from 'vitest';
import { archive, entry, oldSparse, pax } from '../../native-free-tests/helpers/raw-tar.js';
import { describeWith } from '../helpers/requirements.js';
import { statusOf, useRootedLayers } from './workbench.js';

/** Reading it all, to compare it, should not take long. */
const SIZE = 2 ** 28;

describeWith(['root'], 'a sparse file', () => {
  const layers = useRootedLayers();

  it('takes no more of the disk than its data, and keeps its attributes', async () => {
    const { at, rootfs, bytes } = await layers.apply(
      archive(
        oldSparse(
          { name: 'a', mode: 0o4755, uid: 7, gid: 8 },
          SIZE,
          [
            [0, 4096],
            [SIZE - 4096, 4096],
          ],
          Buffer.alloc(8192, 'x'),
        ),
      ),
    );
    expect(at('a')).toMatchObject({ size: SIZE, mode: '4755', uid: 7, gid: 8, mtime: '1704067200000000000' });
    expect(Number(statusOf(rootfs, 'a').blocks) * 512).toBeLessThan(2 ** 17);
    expect(bytes).toBeLessThan(2 ** 18);
  });

  it('may be a hole altogether', async () => {
    const { rootfs } = await layers.apply(
      archive(pax({ 'GNU.sparse.size': `${SIZE}`, 'GNU.sparse.map': `${SIZE},0` }), entry({ name: 'a' })),
    );
    expect(statusOf(rootfs, 'a')).toMatchObject({ size: BigInt(SIZE), blocks: 0n });
  });

  it('is refused, and not blamed on the machine, when the file system cannot hold it', async () => {
    const size = 2 ** 52;
    const tar = archive(pax({ 'GNU.sparse.size': `${size}`, 'GNU.sparse.map': `${size},0` }), entry({ name: 'a' }));
    const outcome = await layers.unpack(tar, { limits: { maxFileBytes: Number.MAX_SAFE_INTEGER } }).then(
      () => 'unpacked',
      (error: { code: string }) => error.code,
    );
    // A tmpfs can hold it.
    expect(['unpacked', 'ERR_LIMIT_EXCEEDED']).toContain(outcome);
  });
});
