import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { Provisioner, ProvisionerEvents } from '#src/index.js';
import { buildImage, buildLayer } from '../../native-free-tests/helpers/image-builder.js';
import { FILE_SYSTEMS, type FileSystemKind, mountFileSystem, needsOf } from '../helpers/file-systems.js';
import { describeWith } from '../helpers/requirements.js';
import { openStore, pullImages } from '../helpers/test-store.js';
import { snapshotTree, treeDifferences } from '../helpers/tree-snapshot.js';

/** All that a file system may not keep, and all ways of a layer to take something away. */
const IMAGE = buildImage([
  buildLayer([
    { path: 'gone', content: '1' },
    { path: 'data/' },
    { path: 'data/old', content: '1' },
    { path: 'replaced/' },
    { path: 'replaced/old/' },
    { path: 'replaced/old/file', content: '1' },
    { path: 'true', content: readFileSync('/bin/true'), mode: 0o755 },
  ]),
  buildLayer([
    { path: '.wh.gone' },
    { path: 'data/', uid: 33, gid: 44, mode: 0o2775, mtime: '1700000000.123456789' },
    { path: 'data/.wh.old' },
    { path: 'data/new', content: '2', uid: 1000, gid: 1001, mode: 0o600, mtime: '1700000000.987654321' },
    { path: 'replaced/.wh..wh..opq' },
    { path: 'replaced/new', type: 'hardlink', target: 'data/new' },
    { path: 'setuid', content: 'x', uid: 1000, gid: 1001, mode: 0o6755 },
    { path: 'setuid-of-root', content: 'x', mode: 0o4755 },
    { path: 'null', type: 'character', major: 1, minor: 3, mode: 0o666, uid: 5 },
    { path: 'disk', type: 'block', major: 7, minor: 0, gid: 6 },
    { path: 'fifo', type: 'fifo', uid: 7 },
    { path: 'link', type: 'symlink', target: 'data/new', uid: 8, gid: 9 },
    { path: 'attributes', content: 'x', xattrs: { 'user.mine': 'a', 'trusted.mine': 'b' } },
  ]),
]);

type Warning = ProvisionerEvents['warning'][0];

/** A store of that image, and what it warns of. */
async function storeOn(path: string): Promise<{ store: Provisioner; codes: string[]; warnings: Warning[] }> {
  const store = await openStore({ root: join(path, 'store') });
  const codes: string[] = [];
  const warnings: Warning[] = [];
  store.events.on('warning', (warning) => {
    codes.push(warning.code);
    warnings.push(warning);
  });
  await pullImages(store, { app: IMAGE });
  return { store, codes, warnings };
}

const backendOf = async (store: Provisioner, wanted: string) =>
  (await store.store.info()).backends.find(({ name }) => name === wanted);

/** What whiteouts a store of root has there, and which backend it gets. */
const EXPECTED: Record<FileSystemKind, readonly [whiteouts: string, backend: string]> = {
  ext4: ['trusted', 'overlay'],
  'ext4 without d_type': ['trusted', 'copy'],
  'ext4 with 128-byte inodes': ['trusted', 'overlay'],
  xfs: ['trusted', 'overlay'],
  btrfs: ['trusted', 'overlay'],
  tmpfs: ['trusted', 'overlay'],
  overlay: ['plain', 'copy'],
  'fuse-overlayfs': ['renamed', 'copy'],
};

for (const kind of FILE_SYSTEMS) {
  describeWith([...needsOf(kind), 'overlay'], `a store of root on ${kind}`, () => {
    test('shows all of an image as it should be, is sound, and leaves nothing', async () => {
      const { store: reference } = await storeOn(mountFileSystem('tmpfs').path);
      const { store, codes } = await storeOn(mountFileSystem(kind).path);
      const [whiteouts, backend] = EXPECTED[kind];
      expect((await store.store.info()).format).toMatchObject({ whiteouts });
      const cutsTimes = kind === 'ext4 with 128-byte inodes';
      const without = cutsTimes ? (['mtime'] as const) : [];
      const wanted = snapshotTree((await reference.provision('job', 'app', { backend: 'copy' })).rootfs, { without });
      const made = await store.provision('job', 'app');
      expect(made.backend).toBe(backend);
      expect(codes).toEqual([...(cutsTimes ? ['TIMES_CUT'] : []), ...(backend === 'copy' ? ['BACKEND_FALLBACK'] : [])]);
      const same = (rootfs: string) => treeDifferences(wanted, snapshotTree(rootfs, { without }));
      expect(same(made.rootfs)).toEqual([]);
      expect(same((await store.provision('copied', 'app', { backend: 'copy' })).rootfs)).toEqual([]);
      expect(await store.store.check({ full: true })).toMatchObject({ findings: [], sound: true });
      for (const id of ['job', 'copied']) await store.destroy(id);
      await store.pruneImages();
      await store.recover();
      for (const name of ['containers', 'staging', 'layers']) expect(readdirSync(join(store.root, name))).toEqual([]);
    });
  });
}

describeWith([...needsOf('ext4 without d_type'), 'overlay'], 'overlay on a file system without d_type', () => {
  test('is refused with the reason, because it would list what was removed', async () => {
    const { store } = await storeOn(mountFileSystem('ext4 without d_type').path);
    expect(await backendOf(store, 'overlay')).toMatchObject({ usable: false, reason: expect.stringMatching(/d_type/) });
    await expect(store.provision('job', 'app', { backend: 'overlay' })).rejects.toMatchObject({
      code: 'ERR_BACKEND_UNUSABLE',
      message: expect.stringMatching(/lists removed files.*d_type/),
    });
    const { rootfs } = await store.provision('job', 'app');
    expect(readdirSync(join(rootfs, 'data'))).toEqual(['new']);
  });
});

describeWith(['root', 'overlay'], 'a store on a noexec mount', () => {
  const single = buildImage([buildLayer([{ path: 'true', content: readFileSync('/bin/true'), mode: 0o755 }])]);

  test('warns once of root filesystems in which nothing can be run, and says so in info', async () => {
    const system = mountFileSystem('tmpfs');
    system.remount('noexec');
    const { store, codes, warnings } = await storeOn(system.path);
    await pullImages(store, { single });
    const overlaid = await store.provision('overlaid', 'app');
    expect(spawnSync(join(overlaid.rootfs, 'true')).status).toBe(0);
    expect(codes).toEqual([]);
    for (const id of ['one', 'two']) {
      const { rootfs } = await store.provision(id, 'app', { backend: 'copy' });
      expect(spawnSync(join(rootfs, 'true')).error).toMatchObject({ code: 'EACCES' });
    }
    const bound = await store.provision('bound', 'single', { backend: 'bind' });
    expect(spawnSync(join(bound.rootfs, 'true')).error).toMatchObject({ code: 'EACCES' });
    expect(warnings).toEqual(
      ['copy', 'bind'].map((backend) => ({
        code: 'ROOTFS_NOEXEC',
        message: expect.stringMatching(new RegExp(`${backend}.*no program in it can be run.*noexec`)),
        details: expect.objectContaining({ backend }),
      })),
    );
    for (const [name, told] of [
      ['overlay', false],
      ['copy', true],
      ['bind', true],
    ] as const) {
      const backend = await backendOf(store, name);
      expect({ name, usable: backend?.usable, told: backend?.reason.includes('noexec') }).toEqual({
        name,
        usable: true,
        told,
      });
    }
  });

  test('elsewhere nothing of that is said', async () => {
    const { store, codes } = await storeOn(mountFileSystem('tmpfs').path);
    await store.provision('job', 'app', { backend: 'copy' });
    expect((await backendOf(store, 'copy'))?.reason).not.toMatch(/noexec/);
    expect(codes).toEqual([]);
  });
});

describeWith(needsOf('ext4'), 'an extended attribute on ext4', () => {
  const withAttributes = (count: number, bytes: number) =>
    buildImage([
      buildLayer(
        Array.from({ length: count }, (_, index) => ({
          path: `opt/file-${index}`,
          xattrs: { 'user.first': 'x', 'user.large': `${index}`.padStart(bytes, '0') },
        })),
      ),
    ]);

  test('that is larger than the file system keeps is refused by its name, and nothing is left', async () => {
    const { store } = await storeOn(mountFileSystem('ext4').path);
    await expect(pullImages(store, { large: withAttributes(1, 5000) })).rejects.toMatchObject({
      code: 'ERR_LIMIT_EXCEEDED',
      message: expect.stringMatching(/user\.large of opt\/file-0 has 5000 bytes/),
      hint: expect.stringMatching(/another|ea_inode/),
      details: { bytes: 5000 },
    });
    expect(readdirSync(join(store.root, 'staging'))).toEqual([]);
    await pullImages(store, { small: withAttributes(3, 3000) });
  });

  test('is kept, large as it is, where the file system was made for it', async () => {
    const { store } = await storeOn(mountFileSystem('ext4', { mkfs: ['-O', 'ea_inode'] }).path);
    await pullImages(store, { large: withAttributes(1, 5000) });
    const { rootfs } = await store.provision('job', 'large', { backend: 'copy' });
    const entry = snapshotTree(rootfs).find(({ path }) => path === 'opt/file-0');
    expect(entry?.xattrs).toContain(`user.large=${'30'.repeat(5000)}`);
  });

  test('for which the disk has no room is told as a full disk', async () => {
    const { path } = mountFileSystem('ext4', { bytes: 64 * 2 ** 20, mkfs: ['-b', '4096', '-m', '0', '-i', '4096'] });
    const store = await openStore({ root: join(path, 'store'), limits: { freeSpaceReserve: 0 } });
    const { bavail, bsize } = statfsSync(path);
    writeFileSync(join(path, 'filler'), Buffer.alloc(bavail * bsize - 2 ** 21));
    await expect(pullImages(store, { many: withAttributes(2000, 3000) })).rejects.toMatchObject({
      code: 'ERR_NO_SPACE',
    });
    rmSync(join(path, 'filler'));
    await pullImages(store, { many: withAttributes(2000, 3000) });
  });
});
