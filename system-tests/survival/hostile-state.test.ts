import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Provisioner } from '#src/index.js';
import { loadSyscalls } from '#src/system/syscalls/load-syscalls.js';
import { mountsBelow } from '#src/system/syscalls/mounts/mount-table.js';
import { KEPT, makeImages } from '../../survival/images.mjs';
import { readTree, type Tree } from '../../survival/trees.mjs';
import { describeWith } from '../helpers/requirements.js';
import { openStore, temporaryDirectory } from '../helpers/test-store.js';
import { callInProcess } from './survival.js';

const CALLS = () => loadSyscalls();
const HEX = /^[0-9a-f]{64}$/;

describeWith(['root', 'overlay'], 'what somebody did to the store behind its back', () => {
  let p: Provisioner;
  let source: string;
  /** A directory of the host that is none of the store's business. */
  let outside: string;
  let before: Tree;

  beforeEach(async () => {
    const directory = temporaryDirectory();
    const images = await makeImages(join(directory, 'images'));
    source = images[KEPT]?.source ?? '';
    p = await openStore({ root: join(directory, 'store'), workers: 1 });
    await p.images.pull(source, { name: KEPT });
    outside = join(directory, 'outside');
    mkdirSync(join(outside, 'precious', 'empty'), { recursive: true });
    writeFileSync(join(outside, 'precious', 'file'), 'precious');
    before = readTree(outside);
  });

  afterEach(() => {
    for (const mount of mountsBelow(p.root)) CALLS().detachMount(mount);
  });

  /** What is outside is as it was. */
  function expectOutsideUntouched(): void {
    expect(readTree(outside)).toEqual(before);
  }

  function bindOutside(target: string): void {
    mkdirSync(target, { recursive: true });
    CALLS().mountBindReadOnly(outside, target);
    expect(existsSync(join(target, 'precious/file'))).toBe(true);
  }

  function aLayer(): string {
    const [name = ''] = readdirSync(join(p.root, 'layers')).filter((entry) => HEX.test(entry));
    return join(p.root, 'layers', name);
  }

  for (const backend of ['overlay', 'copy'] as const) {
    test(`destroy lets go of a host directory that is mounted in a rootfs of ${backend}, and deletes nothing of it`, async () => {
      const { rootfs } = await p.provision('job', KEPT, { backend });
      bindOutside(join(rootfs, 'mnt/host'));
      bindOutside(join(rootfs, 'mnt/host/precious/empty'));
      expect(await p.destroy('job')).toBe(true);
      await p.store.swept();
      expectOutsideUntouched();
      expect(mountsBelow(p.root)).toEqual([]);
      expect(readdirSync(join(p.root, 'gc'))).toEqual([]);
    });

    test(`recover lets go of a host directory in a half-made rootfs of ${backend}, and deletes nothing of it`, async () => {
      await callInProcess(p.root, [['provision', 'job', KEPT, { backend }]], { crashAt: 'provision.made' });
      const rootfses = join(p.root, 'containers/job/backends', backend, 'rootfses');
      bindOutside(join(rootfses, readdirSync(rootfses)[0] ?? '', 'mnt'));
      await p.recover({ knownContainerIds: [] });
      await p.store.swept();
      expectOutsideUntouched();
      expect(mountsBelow(p.root)).toEqual([]);
      expect(readdirSync(join(p.root, 'containers'))).toEqual([]);
    });

    test(`destroy does not follow a symlink that stands in place of a container of ${backend}`, async () => {
      await p.provision('job', KEPT, { backend });
      replaceBySymlink('job');
      expect(await p.destroy('job')).toBe(true);
      await p.store.swept();
      expectOutsideUntouched();
      expect(await p.containers.list()).toEqual([]);
      expect(readdirSync(join(p.root, 'containers'))).toEqual([]);
    });

    test(`recover does not follow a symlink that stands in place of a container of ${backend}, known or not`, async () => {
      for (const id of ['known', 'unknown']) {
        await p.provision(id, KEPT, { backend });
        replaceBySymlink(id);
      }
      await p.recover({ knownContainerIds: ['known'] });
      await p.store.swept();
      expectOutsideUntouched();
      expect(mountsBelow(outside)).toEqual([]);
      expect((await p.containers.list()).map(({ id }) => id)).not.toContain('unknown');
    });
  }

  /** A container that somebody moved to another place, and left a symlink; whole but for the mount, so that every path in it leads somewhere. */
  function replaceBySymlink(id: string): void {
    const container = join(p.root, 'containers', id);
    for (const mount of mountsBelow(container)) CALLS().detachMount(mount);
    renameSync(container, join(outside, id));
    symlinkSync(join(outside, id), container);
    before = readTree(outside);
  }

  test('the sweep lets go of a host directory that is mounted in an entry of gc, and deletes the entry alone', async () => {
    const entry = join(p.root, 'gc', 'something.1');
    bindOutside(join(entry, 'deep/mount'));
    writeFileSync(join(entry, 'file'), 'to go');
    await p.store.swept();
    expectOutsideUntouched();
    expect((await p.store.info()).gc.postponed).toEqual([]);
    expect(existsSync(entry)).toBe(false);
  });

  test('the sweep leaves an entry of gc alone that is itself a mount of a host directory', async () => {
    const entry = join(p.root, 'gc', 'something.2');
    bindOutside(entry);
    await p.store.swept();
    expectOutsideUntouched();
    CALLS().detachMount(entry);
    await p.store.swept();
    expect(readdirSync(join(p.root, 'gc'))).toEqual([]);
  });

  test('the sweep deletes a symlink in gc, and in what it sweeps, and not what it points to', async () => {
    symlinkSync(outside, join(p.root, 'gc', 'link.3'));
    mkdirSync(join(p.root, 'gc', 'directory.4'));
    symlinkSync(join(outside, 'precious'), join(p.root, 'gc', 'directory.4', 'link'));
    await p.store.swept();
    expect(readdirSync(join(p.root, 'gc'))).toEqual([]);
    expectOutsideUntouched();
  });

  test('recover lets go of a host directory that is mounted in what a dead pull staged', async () => {
    await callInProcess(p.root, [['images.pull', source.replace('kept', 'pinned'), {}]], { crashAt: 'pull.unpacked' });
    const [pull = ''] = readdirSync(join(p.root, 'staging'));
    bindOutside(join(p.root, 'staging', pull, '0/rootfs/mnt'));
    await p.recover();
    await p.store.swept();
    expectOutsideUntouched();
    expect([readdirSync(join(p.root, 'staging')), readdirSync(join(p.root, 'gc'))]).toEqual([[], []]);
  });

  test('a prune of a layer whose files were replaced by a symlink removes the symlink', async () => {
    const rootfs = join(aLayer(), 'rootfs');
    rmSync(rootfs, { recursive: true });
    symlinkSync(outside, rootfs);
    const { layers } = await p.pruneImages();
    expect(layers.every(({ reasons }) => reasons.length === 0)).toBe(true);
    await p.store.swept();
    expectOutsideUntouched();
    expect([readdirSync(join(p.root, 'layers')), readdirSync(join(p.root, 'gc'))]).toEqual([[], []]);
  });

  test('a layer that was replaced by a symlink is forgotten at recovery, and the next pull puts it in place again', async () => {
    const layer = aLayer();
    rmSync(layer, { recursive: true });
    symlinkSync(outside, layer);
    const { forgottenLayers, foreign } = await p.recover();
    expect(forgottenLayers).toHaveLength(1);
    expect(foreign).toEqual([layer]);
    await p.images.pull(source, { name: KEPT });
    await p.store.swept();
    const { rootfs } = await p.provision('job', KEPT);
    expect(existsSync(join(rootfs, 'app/data/f0'))).toBe(true);
    expectOutsideUntouched();
  });
});
