import { execFileSync } from 'node:child_process';
import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { buildImage, buildLayer } from '../../native-free-tests/helpers/image-builder.js';
import { mountFileSystem, needsOf } from '../helpers/file-systems.js';
import { describeWith } from '../helpers/requirements.js';
import { openStore, pullImages } from '../helpers/test-store.js';

const image = (name: string) =>
  buildImage([
    buildLayer([
      { path: name, content: 'x', mtime: '1700000000.123456789' },
      { path: 'late', content: 'x', mtime: '4102444800' },
      { path: 'early', content: 'x', mtime: '-5.5' },
      { path: 'directory', type: 'directory', mtime: '1700000000.5' },
    ]),
  ]);

/** Bytes, beside what every pull keeps free. */
const DISK = 700 * 2 ** 20;

describeWith(needsOf('ext4'), 'times of files', () => {
  it('are told to be cut by ext4 with inodes of 128 bytes, once, and no check takes that for damage', async () => {
    const system = mountFileSystem('ext4 with 128-byte inodes', { bytes: DISK });
    const p = await openStore({ root: join(system.path, 'store') });
    const warnings: string[] = [];
    p.events.on('warning', ({ code, message }) => warnings.push(`${code}: ${message}`));
    await pullImages(p, { one: image('one'), two: image('two') });
    expect(warnings).toEqual([
      expect.stringMatching(/^TIMES_CUT: .*those after 2038 become earlier, and nanoseconds are lost/),
    ]);
    expect((await p.store.check({ full: true })).findings).toEqual([]);
    const { rootfs } = await p.provision('job', 'one', { backend: 'copy' });
    expect(statSync(join(rootfs, 'one'), { bigint: true }).mtimeNs).toBe(1_700_000_000_000_000_000n);
    await p.destroy('job');
    await p.close();
    // As they are read from the disk, not from memory. @see proc(5), /proc/sys/vm/drop_caches
    execFileSync('sync', ['-f', system.path]);
    writeFileSync('/proc/sys/vm/drop_caches', '2');
    const again = await openStore({ root: p.root });
    expect((await again.store.check({ full: true })).findings).toEqual([]);
  });

  it('are kept by ext4 as it is made now, and nothing is told', async () => {
    const p = await openStore({ root: join(mountFileSystem('ext4', { bytes: DISK }).path, 'store') });
    const warnings: string[] = [];
    p.events.on('warning', ({ code }) => warnings.push(code));
    await pullImages(p, { one: image('one') });
    expect(warnings).toEqual([]);
    const { rootfs } = await p.provision('job', 'one', { backend: 'copy' });
    expect(statSync(join(rootfs, 'one'), { bigint: true }).mtimeNs).toBe(1_700_000_000_123_456_789n);
    expect(statSync(join(rootfs, 'late')).mtimeMs).toBe(4_102_444_800_000);
  });
});
