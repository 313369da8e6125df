import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { useLayers } from '../helpers/layers.js';
import { archive, entry, header } from '../helpers/raw-tar.js';

const file = (name: string, content = '') => entry({ name }, content);
const directory = (name: string) => header({ name, type: '5', mode: 0o755 });
const symlink = (name: string, linkName: string) => header({ name, linkName, type: '2' });

describe('a whiteout', () => {
  const layers = useLayers();
  const tree = async (...parts: Uint8Array[]) => (await layers.unpack(archive(...parts))).tree;

  it('stays one in a store of plain files', async () => {
    const unpacked = await layers.unpack(archive(directory('d'), file('d/.wh.gone'), file('.wh.also gone')));
    expect(unpacked.tree).toEqual({
      '.': 'directory 755',
      d: 'directory 755',
      'd/.wh.gone': 'file 600',
      '.wh.also gone': 'file 600',
    });
    expect(unpacked).toMatchObject({ whiteouts: true, entries: 3, opaqueRoot: false });
    expect([...unpacked.stacking.whiteoutDirectories].sort()).toEqual(['', 'd']);
  });

  it('of something in a directory that the archive only implies makes that directory', async () => {
    const unpacked = await layers.unpack(archive(file('a/b/.wh.gone')));
    expect(unpacked.tree).toMatchObject({ a: 'directory 755', 'a/b': 'directory 755', 'a/b/.wh.gone': 'file 600' });
    expect([...unpacked.stacking.implied].sort()).toEqual(['', 'a', 'a/b']);
  });

  it.each([
    ['in front of', [file('.wh.a'), file('a', 'new')]],
    ['behind', [file('a', 'new'), file('.wh.a')]],
  ])('%s a file of the same name takes nothing from it', async (_where, parts) => {
    expect(await tree(...parts)).toEqual({ '.': 'directory 755', a: 'file 644 new' });
  });

  it.each([
    ['in front of', [file('.wh.d'), directory('d'), file('d/a')]],
    ['behind', [directory('d'), file('d/a'), file('.wh.d')]],
    ['amid the entries of', [directory('d'), file('.wh.d'), file('d/a')]],
    ['next to the only implied', [file('d/a'), file('.wh.d')]],
  ])('%s a directory of the same name makes it opaque', async (_where, parts) => {
    const unpacked = await layers.unpack(archive(...parts));
    expect(unpacked.tree).toMatchObject({ d: 'directory 755', 'd/a': 'file 644', 'd/.wh..wh..opq': 'file 600' });
    expect(unpacked.tree).not.toHaveProperty(['.wh.d']);
    // It is a directory of its own, so it need not look like the one below.
    expect(unpacked.stacking.implied).not.toContain('d');
  });

  it('below an opaque directory says nothing new and is left out', async () => {
    const unpacked = await layers.unpack(archive(file('d/e/.wh.gone'), file('d/.wh.gone'), file('d/.wh..wh..opq')));
    expect(Object.keys(unpacked.tree).filter((path) => path.includes('.wh.'))).toEqual(['d/.wh..wh..opq']);
    expect(unpacked.stacking.whiteoutDirectories).toEqual([]);
  });

  it.each([
    ['behind', [file('.wh.d'), file('d/.wh.a'), file('d/e/.wh.b')]],
    ['in front of', [file('d/e/.wh.b'), file('d/.wh.a'), file('.wh.d')]],
    ['amid', [file('d/.wh.a'), file('.wh.d'), file('d/e/.wh.b')]],
    ['behind and with an opaque mark among them', [file('.wh.d'), file('d/e/.wh..wh..opq'), file('d/.wh..wh..opq')]],
    [
      'in front of and with an opaque mark among them',
      [file('d/.wh..wh..opq'), file('d/e/.wh..wh..opq'), file('.wh.d')],
    ],
  ])('of a directory, with others inside it %s, takes all of it', async (_where, parts) => {
    const unpacked = await layers.unpack(archive(...parts));
    expect(unpacked.tree).toEqual({ '.': 'directory 755', '.wh.d': 'file 600' });
    expect(unpacked.stacking).toMatchObject({ implied: [''], whiteoutDirectories: [''] });
  });

  it('of a directory takes it, too, when others name it by a symlink of the layer', async () => {
    const entries = [symlink('l', 'd'), file('l/.wh.a'), file('.wh.d')];
    for (const parts of [entries, entries.toReversed()]) {
      expect(await tree(...parts)).toEqual({ '.': 'directory 755', l: 'symlink to d', '.wh.d': 'file 600' });
    }
  });

  it('of a directory leaves what the layer has in one of that name, but none of its whiteouts', async () => {
    const entries = [file('.wh.d'), file('d/.wh.a'), file('d/new'), file('d/e/.wh.b')];
    for (const parts of [entries, entries.toReversed()]) {
      const found = await tree(...parts);
      expect(found).toMatchObject({ 'd/new': 'file 644', 'd/.wh..wh..opq': 'file 600' });
      expect(Object.keys(found).filter((path) => path.includes('.wh.'))).toEqual(['d/.wh..wh..opq']);
    }
  });

  it('below something that is no directory says nothing', async () => {
    expect(await tree(file('a', 'new'), file('a/.wh.gone'))).toEqual({ '.': 'directory 755', a: 'file 644 new' });
  });

  it.each(['c/.wh.b', 'c/b/.wh.b', 'c/b/a/.wh.b', 'c/b/.wh..wh..opq'])(
    'below a file says nothing, however far: %s',
    async (path) => {
      expect(await tree(file('c', 'x'), file(path))).toEqual({ '.': 'directory 755', c: 'file 644 x' });
    },
  );

  it('through a symlink of the same layer stands where the link leads', async () => {
    expect(
      await tree(directory('usr'), directory('usr/lib'), symlink('lib', 'usr/lib'), file('lib/.wh.gone')),
    ).toMatchObject({
      'usr/lib/.wh.gone': 'file 600',
    });
  });

  it('may come twice', async () => {
    expect(await tree(file('.wh.a'), file('.wh.a'))).toEqual({ '.': 'directory 755', '.wh.a': 'file 600' });
  });

  it('may have any type and content', async () => {
    expect(await tree(directory('.wh.a'), symlink('.wh.b', 'x'), file('.wh.c', 'content'))).toEqual({
      '.': 'directory 755',
      '.wh.a': 'file 600',
      '.wh.b': 'file 600',
      '.wh.c': 'file 600',
    });
  });

  it('is only what begins with its mark', async () => {
    expect(await tree(file('.wh'), file('.whatever'), file('x.wh.y'), directory('.whd'), file('.whd/.wha'))).toEqual({
      '.': 'directory 755',
      '.wh': 'file 644',
      '.whatever': 'file 644',
      'x.wh.y': 'file 644',
      '.whd': 'directory 755',
      '.whd/.wha': 'file 644',
    });
  });

  it('may be a device 0/0, as overlay writes it', async () => {
    const unpacked = await layers.unpack(archive(header({ name: 'd/gone', type: '3', major: 0, minor: 0 })));
    expect(unpacked.tree).toMatchObject({ 'd/.wh.gone': 'file 600' });
    expect(unpacked.skipped.devices).toBe(1);
  });

  it('that the layer does not have is not said to be there', async () => {
    expect(await layers.unpack(archive(file('a')))).toMatchObject({ whiteouts: false });
  });
});

describe('an opaque marker', () => {
  const layers = useLayers();

  it.each([
    ['first', [file('d/.wh..wh..opq'), directory('d'), file('d/a')]],
    ['last', [directory('d'), file('d/a'), file('d/.wh..wh..opq')]],
    ['without an entry of the directory', [file('d/a'), file('d/.wh..wh..opq')]],
  ])('acts before everything else of its layer when it comes %s', async (_where, parts) => {
    const { tree } = await layers.unpack(archive(...parts));
    expect(tree).toMatchObject({ d: 'directory 755', 'd/a': 'file 644', 'd/.wh..wh..opq': 'file 600' });
  });

  it('makes its directory when there is nothing else in it', async () => {
    const { tree, stacking } = await layers.unpack(archive(file('a/d/.wh..wh..opq')));
    expect(tree).toMatchObject({ 'a/d': 'directory 755', 'a/d/.wh..wh..opq': 'file 600' });
    // What lies below is hidden, but the directory itself still looks like the one below.
    expect(stacking.implied).toContain('a/d');
  });

  it('leaves no directory below its own that would look like a hidden one', async () => {
    const { tree, stacking } = await layers.unpack(
      archive(directory('d'), file('d/.wh..wh..opq'), file('d/e/f/a'), file('other/a')),
    );
    expect(tree).toMatchObject({ 'd/e': 'directory 755', 'd/e/f': 'directory 755' });
    expect([...stacking.implied].sort()).toEqual(['', 'other']);
  });

  it('on the root is told, since overlay would pass over it', async () => {
    expect(await layers.unpack(archive(file('.wh..wh..opq'), file('a')))).toMatchObject({
      opaqueRoot: true,
      whiteouts: true,
    });
  });

  it('in what is no directory says nothing', async () => {
    expect((await layers.unpack(archive(file('a', 'new'), file('a/.wh..wh..opq')))).tree).toEqual({
      '.': 'directory 755',
      a: 'file 644 new',
    });
  });

  it('of a directory that is replaced by something else goes with it', async () => {
    const { tree } = await layers.unpack(archive(directory('d'), file('d/.wh..wh..opq'), file('d', 'file')));
    expect(tree).toEqual({ '.': 'directory 755', d: 'file 644 file' });
  });
});

describe('the records that aufs kept in layers', () => {
  const layers = useLayers();

  it('are no part of the container', async () => {
    const { tree } = await layers.unpack(
      archive(
        file('.wh..wh.aufs'),
        directory('.wh..wh.plnk'),
        file('.wh..wh.plnk/1.2', 'x'),
        directory('.wh..wh.orph'),
        file('a'),
      ),
    );
    expect(tree).toEqual({ '.': 'directory 755', a: 'file 644' });
  });

  it('are looked up for the files to which links lead there, which are one file and have their attributes', async () => {
    const link = (name: string, linkName: string) => header({ name, linkName, type: '1' });
    const { rootfs, tree } = await layers.unpack(
      archive(
        directory('.wh..wh.plnk'),
        entry({ name: '.wh..wh.plnk/1.2', mode: 0o640, mtime: 7 }, 'shared'),
        link('.wh..wh.plnk/1.3', 'own'),
        directory('d'),
        link('a', '.wh..wh.plnk/1.2'),
        link('d/b', './.wh..wh.plnk/1.2'),
      ),
    );
    expect(tree).toEqual({ '.': 'directory 755', a: 'file 640 shared', d: 'directory 755', 'd/b': 'file 640 shared' });
    const [a, b] = ['a', 'd/b'].map((name) => lstatSync(join(rootfs, name)));
    expect([b?.ino, b?.nlink, b?.mtimeMs]).toEqual([a?.ino, 2, 7000]);
  });

  it.each(['.wh..wh.plnk/none', '.wh..wh.plnk/sub/none', '.wh..wh.orph/x', '.wh..wh.plnk'])(
    'are refused as the target of a link when %s is not in the layer',
    async (target) => {
      const refusal = await layers.refusal(archive(header({ name: 'a', linkName: target, type: '1' })));
      expect(refusal).toMatchObject({ code: 'ERR_LAYER_MALFORMED', message: expect.stringContaining(target) });
    },
  );
});
