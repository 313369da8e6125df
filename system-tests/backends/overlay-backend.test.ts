import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { loadSyscalls } from '#src/system/syscalls/load-syscalls.js';
import { mountClassic } from '#src/system/syscalls/native/mounts/overlay-mount.js';
import { buildImage, buildLayer } from '../../native-free-tests/helpers/image-builder.js';
import { describeWith } from '../helpers/requirements.js';
import { openStore, pullImages, temporaryDirectory } from '../helpers/test-store.js';
import { snapshotTree, treeDifferences } from '../helpers/tree-snapshot.js';

function layers(count: number) {
  return Array.from({ length: count }, (_, index) =>
    buildLayer([{ path: 'top', content: String(index) }, { path: `f${index}` }], { compression: 'none' }),
  );
}

describeWith(['root', 'overlay'], 'the overlay backend', () => {
  test('mounts an image of 127 layers in a store whose path is 450 characters long, and copy shows the same', async () => {
    const root = join(temporaryDirectory(), ...Array.from({ length: 4 }, () => 'd'.repeat(100)), 'store');
    const provisioner = await openStore({ root });
    await pullImages(provisioner, { deep: buildImage(layers(127)) });
    const overlay = await provisioner.provision('overlay', 'deep', { backend: 'overlay' });
    const copy = await provisioner.provision('copy', 'deep', { backend: 'copy' });
    expect(readFileSync(join(overlay.rootfs, 'top'), 'utf8')).toBe('126');
    expect(treeDifferences(snapshotTree(overlay.rootfs), snapshotTree(copy.rootfs))).toEqual([]);
  });

  test('a store whose path is longer than SQLite takes is refused with the limit', async () => {
    const root = join(temporaryDirectory(), ...Array.from({ length: 6 }, () => 'd'.repeat(100)));
    await expect(openStore({ root })).rejects.toMatchObject({ code: 'ERR_BAD_OPTION', details: { limit: 500 } });
  });

  test.each(['with space', 'with,comma', 'with:colon', 'with\\backslash', 'wïth ümlaut'])(
    'mounts in a store whose path is %j',
    async (name) => {
      const provisioner = await openStore({ root: join(temporaryDirectory(), name) });
      await pullImages(provisioner, { app: buildImage(layers(3)) });
      const { rootfs } = await provisioner.provision('job', 'app', { backend: 'overlay' });
      writeFileSync(join(rootfs, 'new'), 'x');
      expect(readdirSync(rootfs).sort()).toEqual(['f0', 'f1', 'f2', 'new', 'top']);
      expect(await provisioner.destroy('job')).toBe(true);
    },
  );

  test('mounts 500 layers, and says so clearly when an image has more', async () => {
    const provisioner = await openStore();
    const many = layers(501);
    await pullImages(provisioner, { most: buildImage(many.slice(0, 500)), toomany: buildImage(many) });
    const { rootfs } = await provisioner.provision('job', 'most', { backend: 'overlay' });
    expect(readFileSync(join(rootfs, 'top'), 'utf8')).toBe('499');
    await expect(provisioner.provision('job-2', 'toomany', { backend: 'overlay' })).rejects.toMatchObject({
      code: 'ERR_BACKEND_LIMIT',
      details: { layers: 501, limit: 500 },
    });
    expect(await provisioner.containers.list()).toHaveLength(1);
  });

  test('a container that keeps a file open in its rootfs does not keep it from being destroyed', async () => {
    const provisioner = await openStore();
    await pullImages(provisioner, { app: buildImage(layers(2)) });
    const { rootfs } = await provisioner.provision('job', 'app', { backend: 'overlay' });
    const { openSync, closeSync } = await import('node:fs');
    const descriptor = openSync(join(rootfs, 'busy'), 'w');
    expect(await provisioner.destroy('job')).toBe(true);
    closeSync(descriptor);
    expect(readdirSync(join(provisioner.root, 'containers'))).toEqual([]);
  });

  test('the mount call of kernels before 6.8 shows the same tree as the new one', () => {
    const directory = temporaryDirectory();
    const make = (name: string) => {
      const path = join(directory, name);
      mkdirSync(path, { recursive: true });
      return path;
    };
    const lower = Array.from({ length: 127 }, (_, index) =>
      make(`layer-with-a-long-name-so-that-a-page-is-too-short-${index}`),
    );
    for (const [index, path] of lower.entries()) writeFileSync(join(path, `f${index}`), '');
    const syscalls = loadSyscalls();
    const mount = { lower, upper: make('upper'), work: make('work'), target: make('target') };
    syscalls.mountOverlay(mount);
    const modern = snapshotTree(mount.target);
    expect(syscalls.detachMount(mount.target)).toBe(true);
    mountClassic(mount);
    const classic = snapshotTree(mount.target);
    expect(syscalls.detachMount(mount.target)).toBe(true);
    expect(syscalls.detachMount(mount.target)).toBe(false);
    expect(modern).toHaveLength(128);
    expect(treeDifferences(modern, classic)).toEqual([]);
  });
});

describeWith(['root', 'overlay'], 'the bind backend', () => {
  test('shows an image of one layer, read-only', async () => {
    const provisioner = await openStore();
    await pullImages(provisioner, { app: buildImage(layers(1)) });
    const { rootfs } = await provisioner.provision('job', 'app', { backend: 'bind' });
    expect(readdirSync(rootfs).sort()).toEqual(['f0', 'top']);
    expect(() => writeFileSync(join(rootfs, 'new'), '')).toThrow(/EROFS/);
    expect(await provisioner.destroy('job')).toBe(true);
    expect(readdirSync(join(provisioner.root, 'containers'))).toEqual([]);
  });

  test.each([
    ['more than one layer', layers(2)],
    ['whiteouts', [buildLayer([{ path: 'a' }, { path: '.wh.b' }])]],
  ])('refuses an image with %s and leaves nothing', async (_, stack) => {
    const provisioner = await openStore();
    await pullImages(provisioner, { app: buildImage(stack) });
    await expect(provisioner.provision('job', 'app', { backend: 'bind' })).rejects.toMatchObject({
      code: 'ERR_BACKEND_LIMIT',
    });
    expect(readdirSync(join(provisioner.root, 'containers'))).toEqual([]);
    expect(await provisioner.containers.list()).toEqual([]);
  });
});
