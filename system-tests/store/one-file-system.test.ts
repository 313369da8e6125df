import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { Provisioner } from '#src/index.js';
import { describeWith } from '../helpers/requirements.js';
import { expectNoContainers, openStore, temporaryDirectory } from '../helpers/test-store.js';

const undo: (() => unknown)[] = [];
afterEach(() => {
  for (const step of undo.splice(0).reverse()) step();
});

const sh = (command: string, ...args: string[]) => execFileSync(command, args, { stdio: 'pipe' }).toString();

const PARTS = ['staging', 'layers', 'gc', 'containers', 'volumes'] as const;

/** A mount over one of the store's own directories. */
const MOUNTS = {
  'another file system': (path: string) => sh('mount', '-t', 'tmpfs', '-o', 'mode=700', 'none', path),
  'a bind mount of the same one': (path: string) => sh('mount', '--bind', path, path),
} as const;

function refused(root: string, part: string): Promise<void> {
  return expect(Provisioner.open({ root })).rejects.toMatchObject({
    code: 'ERR_STORE_DAMAGED',
    message: expect.stringMatching(new RegExp(`${root}/.*different file systems`)),
    hint: expect.stringContaining(root),
    details: { path: expect.stringContaining(part === 'gc' ? 'staging' : part), other: join(root, 'gc') },
  });
}

describeWith(['root', 'mount'], 'a root whose directories are not on one file system', () => {
  test.each(PARTS.flatMap((part) => Object.keys(MOUNTS).map((kind) => [part, kind as keyof typeof MOUNTS] as const)))(
    'is refused when it is opened, with %s on %s, and is as good as before without that',
    async (part, kind) => {
      const p = await openStore();
      // Their directory comes with the first one.
      await p.volumes.create('data');
      await p.volumes.remove('data');
      await p.close();
      const path = join(p.root, part);
      MOUNTS[kind](path);
      undo.push(() => existsSync(path) && sh('umount', path));
      await refused(p.root, part);
      undo.splice(0).map((step) => step());
      const again = await openStore({ root: p.root });
      expect(await again.recover()).toMatchObject({ failed: [], foreign: [], retired: [] });
      for (const directory of PARTS) expect(readdirSync(join(p.root, directory))).toEqual([]);
    },
  );

  test.each(['layers', 'containers'])(
    'that became so under a living agent, with something mounted on %s, is neither recovered nor pruned: nothing that is hidden counts as gone',
    async (part) => {
      const p = await openStore();
      await p.images.pull(`oci:${join(import.meta.dirname, '../../fixtures/app-v1')}`, { name: 'app' });
      await p.provision('job', 'app', { backend: 'copy' });
      const path = join(p.root, part);
      MOUNTS['another file system'](path);
      undo.push(() => sh('umount', path));
      for (const attempt of [() => p.recover(), () => p.pruneImages(), () => p.pruneImages([], { dryRun: true })]) {
        await expect(attempt()).rejects.toMatchObject({ code: 'ERR_STORE_DAMAGED', details: { path } });
      }
      undo.splice(0).map((step) => step());
      expect(await p.recover()).toMatchObject({ finished: [], forgottenLayers: [], retired: [] });
      expect((await p.store.check({ full: true })).findings).toEqual([]);
      expect(await p.destroy('job')).toBe(true);
    },
  );

  test('is refused before a store is made there, and nothing of one is left', async () => {
    const root = join(temporaryDirectory(), 'store');
    for (const directory of [root, join(root, 'layers')]) mkdirSync(directory, { mode: 0o700 });
    sh('mount', '-t', 'tmpfs', '-o', 'mode=700', 'none', join(root, 'layers'));
    undo.push(() => sh('umount', join(root, 'layers')));
    await refused(root, 'layers');
    expect(readdirSync(root)).toEqual(['layers']);
    expect(readdirSync(join(root, 'layers'))).toEqual([]);
  });
});

describeWith(
  ['root', 'overlay', 'mount'],
  'a container that is hidden by what was mounted over the store under a living agent',
  () => {
    const PLACES = ['containers', 'containers/pod', 'containers/pod/containers/job/backends'];
    test.each(PLACES.flatMap((place) => (['overlay', 'copy'] as const).map((backend) => [place, backend] as const)))(
      'on %s, and was made by %s: is not forgotten as if it were gone, and is all there afterwards',
      async (place, backend) => {
        const p = await openStore();
        await p.images.pull(`oci:${join(import.meta.dirname, '../../fixtures/app-v1')}`, { name: 'app' });
        const { rootfs } = await p.provision('pod/job', 'app', { backend });
        const path = join(p.root, place);
        MOUNTS['another file system'](path);
        undo.push(() => sh('umount', path));
        // Of another store, say.
        mkdirSync(join(path, 'others'));
        await expect(p.destroy('pod/job')).rejects.toMatchObject({
          code: 'ERR_STORE_DAMAGED',
          message: expect.stringContaining(path),
          hint: expect.stringContaining('unmount'),
        });
        await expect(p.destroy('pod')).rejects.toMatchObject({ code: 'ERR_STORE_DAMAGED' });
        expect((await p.containers.list()).map(({ id }) => id)).toEqual(['pod/job']);
        if (place !== 'containers') {
          const report = await p.recover();
          expect(report).toMatchObject({ finished: [], remounted: [] });
          expect(report.failed).toContainEqual(expect.objectContaining({ path: rootfs, code: 'ERR_STORE_DAMAGED' }));
          expect(await p.recover({ knownContainerIds: [] })).toMatchObject({ destroyed: [], finished: [] });
        }
        undo.splice(0).map((step) => step());
        expect(await p.recover()).toMatchObject({ finished: [], failed: [], remounted: [] });
        expect(existsSync(join(rootfs, 'app'))).toBe(true);
        expect(await p.destroy('pod/job')).toBe(true);
        await expectNoContainers(p);
      },
    );
  },
);

describeWith(['root', 'btrfs'], 'a root with a subvolume in it', () => {
  test('is refused, since nothing can be moved there either, though it is one mount', async () => {
    const place = temporaryDirectory();
    const disk = join(place, 'disk');
    sh('truncate', '-s', '300M', join(place, 'image'));
    sh('mkfs.btrfs', '-q', join(place, 'image'));
    mkdirSync(disk);
    sh('mount', '-o', 'loop', join(place, 'image'), disk);
    undo.push(() => sh('umount', disk));
    const root = join(disk, 'store');
    const p = await openStore({ root });
    await p.close();
    execFileSync('rmdir', [join(root, 'layers')]);
    sh('btrfs', 'subvolume', 'create', join(root, 'layers'));
    await refused(root, 'layers');
    expect(readdirSync(join(root, 'gc'))).toEqual([]);
  });
});
