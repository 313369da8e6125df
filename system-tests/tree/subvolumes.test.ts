import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { measureTree } from '#src/files/tree/measure-tree.js';
import { removeTree } from '#src/files/tree/removal/remove-tree.js';
import { loadSyscalls } from '#src/system/syscalls/load-syscalls.js';
import { NativeFreeSyscalls } from '#src/system/syscalls/native-free/native-free-syscalls.js';
import { buildImage, buildLayer } from '../../native-free-tests/helpers/image-builder.js';
import { mountFileSystem, needsOf } from '../helpers/file-systems.js';
import { describeWith } from '../helpers/requirements.js';
import { openStore, pullImages } from '../helpers/test-store.js';

const btrfs = (...words: string[]) => execFileSync('btrfs', words, { stdio: 'ignore' });

/** A tree with a file in each of several subvolumes: one in another one, a read-only snapshot of both, and one further down than directories are kept open. */
function treeWithSubvolumes(tree: string): void {
  mkdirSync(tree);
  btrfs('subvolume', 'create', join(tree, 'one'));
  btrfs('subvolume', 'create', join(tree, 'one/inner'));
  mkdirSync(join(tree, 'one/a/b'), { recursive: true });
  for (const name of ['one/file', 'one/a/b/file', 'one/inner/file']) writeFileSync(join(tree, name), 'x'.repeat(5000));
  btrfs('subvolume', 'snapshot', '-r', join(tree, 'one'), join(tree, 'snapshot'));
  const deep = join(tree, ...Array<string>(60).fill('d'));
  mkdirSync(deep, { recursive: true });
  btrfs('subvolume', 'create', join(deep, 'far'));
  const deeper = join(deep, 'far', ...Array<string>(80).fill('e'));
  mkdirSync(deeper, { recursive: true });
  writeFileSync(join(deeper, 'file'), 'x'.repeat(5000));
  writeFileSync(join(deep, 'beside'), 'x');
}

describeWith(needsOf('btrfs'), 'a tree with subvolumes of btrfs', () => {
  it('is measured with all that is in them', () => {
    const tree = join(mountFileSystem('btrfs').path, 'tree');
    treeWithSubvolumes(tree);
    execFileSync('sync', ['-f', tree]);
    // Without `-x`, which stops there.
    const du = execFileSync('du', ['-s', '--block-size=1', tree], { encoding: 'utf8' });
    const names = execFileSync('find', [tree, '-printf', 'x'], { encoding: 'utf8' });
    expect(measureTree(tree)).toEqual({ bytes: Number.parseInt(du, 10), entries: names.length });
  });

  it('is removed with them, be they read-only', () => {
    const { path } = mountFileSystem('btrfs');
    treeWithSubvolumes(join(path, 'tree'));
    const { entries } = measureTree(join(path, 'tree'));
    expect(removeTree(join(path, 'tree')).entries).toBe(entries);
    expect(readdirSync(path)).toEqual([]);
  });

  it('keeps a subvolume that is mounted in it, also where it is the same file system', () => {
    const { path } = mountFileSystem('btrfs');
    treeWithSubvolumes(join(path, 'tree'));
    btrfs('subvolume', 'create', join(path, 'other'));
    writeFileSync(join(path, 'other/kept'), '');
    const place = join(path, 'tree/one/inner/mounted');
    mkdirSync(place);
    execFileSync('mount', ['--bind', join(path, 'other'), place]);
    const before = measureTree(join(path, 'tree')).entries;
    expect(() => removeTree(join(path, 'tree'))).toThrow(/EBUSY/);
    expect(existsSync(join(path, 'other/kept'))).toBe(true);
    execFileSync('umount', [place]);
    expect(before).toBeGreaterThan(0);
    removeTree(join(path, 'tree'));
    expect(readdirSync(path)).toEqual(['other']);
  });

  it('is left alone without native calls, which alone tell a subvolume from a mount', () => {
    const { path } = mountFileSystem('btrfs');
    mkdirSync(join(path, 'tree'));
    btrfs('subvolume', 'create', join(path, 'tree/one'));
    const syscalls = new NativeFreeSyscalls();
    expect(() => removeTree(join(path, 'tree'), { syscalls })).toThrow(/EBUSY/);
    expect(measureTree(join(path, 'tree'), { syscalls }).entries).toBe(1);
    expect(measureTree(join(path, 'tree'), { syscalls: loadSyscalls() }).entries).toBe(2);
  });

  it('is a root filesystem that df counts, and that destroy gives back', async () => {
    const { path } = mountFileSystem('btrfs');
    const p = await openStore({ root: join(path, 'store'), backend: 'copy' });
    await pullImages(p, { app: buildImage([buildLayer([{ path: 'app', content: 'v1' }])]) });
    const { rootfs } = await p.provision('job-1', 'app');
    const before = (await p.store.usage()).containers.bytes;
    btrfs('subvolume', 'create', join(rootfs, 'machines'));
    writeFileSync(join(rootfs, 'machines/disk'), Buffer.alloc(1_000_000, 'x'));
    execFileSync('sync', ['-f', rootfs]);
    expect((await p.store.usage()).containers.bytes - before).toBeGreaterThanOrEqual(1_000_000);
    expect(await p.destroy('job-1')).toBe(true);
    await p.store.swept();
    expect((await p.store.info()).gc).toEqual({ entries: 0, postponed: [] });
    expect(readdirSync(join(p.root, 'gc'))).toEqual([]);
  });
});
