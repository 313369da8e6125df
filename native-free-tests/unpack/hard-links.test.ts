import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { useLayers } from '../helpers/layers.js';
import { archive, entry, header } from '../helpers/raw-tar.js';

const link = (name: string, linkName: string) => header({ name, linkName, type: '1', mode: 0o777, mtime: 5 });

describe('a hard link', () => {
  const layers = useLayers();

  it('is another name of a file of the same layer, whose attributes count', async () => {
    const { rootfs, tree } = await layers.unpack(
      archive(entry({ name: 'a', mode: 0o640, mtime: 1000 }, 'abc'), link('d/b', 'a')),
    );
    expect(tree).toMatchObject({ a: 'file 640 abc', 'd/b': 'file 640 abc' });
    const [a, b] = ['a', 'd/b'].map((name) => lstatSync(join(rootfs, name)));
    expect(b?.ino).toBe(a?.ino);
    expect(b?.mtimeMs).toBe(1_000_000);
  });

  it.each(['a', './a', '/a'])('finds its target spelled %j', async (target) => {
    expect((await layers.unpack(archive(entry({ name: 'a' }, 'abc'), link('b', target)))).tree['b']).toBe(
      'file 644 abc',
    );
  });

  it('may be one of a symlink itself', async () => {
    const { rootfs, tree } = await layers.unpack(
      archive(header({ name: 's', linkName: 'a', type: '2' }), link('t', 's')),
    );
    expect(tree).toMatchObject({ s: 'symlink to a', t: 'symlink to a' });
    expect(lstatSync(join(rootfs, 's')).nlink).toBe(2);
  });

  it('finds a target below a symlink of the layer', async () => {
    const parts = [entry({ name: 'usr/lib/a' }, 'abc'), header({ name: 'lib', linkName: '/usr/lib', type: '2' })];
    const { rootfs } = await layers.unpack(archive(...parts, link('b', 'lib/a')));
    expect(lstatSync(join(rootfs, 'b')).ino).toBe(lstatSync(join(rootfs, 'usr/lib/a')).ino);
  });

  it('to itself changes nothing', async () => {
    expect((await layers.unpack(archive(entry({ name: 'a' }, 'abc'), link('a', './a')))).tree['a']).toBe(
      'file 644 abc',
    );
  });

  it('to a file that the layer replaces later is still the file of before', async () => {
    const { tree } = await layers.unpack(
      archive(entry({ name: 'a' }, 'one'), link('b', 'a'), entry({ name: 'a' }, 'two')),
    );
    expect(tree).toMatchObject({ a: 'file 644 two', b: 'file 644 one' });
  });

  it('has no data, whatever its size says', async () => {
    const { tree } = await layers.unpack(
      archive(
        entry({ name: 'a' }, 'abc'),
        header({ name: 'b', linkName: 'a', type: '1', size: 3 }),
        entry({ name: 'c' }, 'next'),
      ),
    );
    expect(tree).toMatchObject({ b: 'file 644 abc', c: 'file 644 next' });
  });
});

describe('a hard link to what the layer does not have', () => {
  const layers = useLayers();
  const lowerLinks = async (...parts: Uint8Array[]) => (await layers.unpack(archive(...parts))).stacking.lowerLinks;

  it('is noted for the layers below', async () => {
    const { tree, stacking } = await layers.unpack(archive(link('b', 'usr/a')));
    expect(tree).toEqual({ '.': 'directory 755' });
    expect(stacking.lowerLinks).toEqual([{ path: 'b', target: 'usr/a' }]);
  });

  it('takes the place of what the layer had there', async () => {
    const { tree, stacking } = await layers.unpack(archive(entry({ name: 'b/c' }), link('b', 'a')));
    expect(tree).toEqual({ '.': 'directory 755' });
    expect(stacking.lowerLinks).toEqual([{ path: 'b', target: 'a' }]);
  });

  it('is taken back by a later entry of its name', async () => {
    expect(await lowerLinks(link('b', 'a'), entry({ name: 'b' }))).toEqual([]);
    expect(await lowerLinks(link('b', 'a'), header({ name: 'b', type: '5' }))).toEqual([]);
    expect(await lowerLinks(link('b', 'a'), entry({ name: 'c' }), link('b', 'c'))).toEqual([]);
    expect(await lowerLinks(link('b', 'a'), link('b', 'c'))).toEqual([{ path: 'b', target: 'c' }]);
  });

  it('is not taken back by a link to itself', async () => {
    expect(await lowerLinks(link('b', 'a'), link('b', 'b'))).toEqual([{ path: 'b', target: 'a' }]);
  });

  it('goes with the directory it stands in, also when another takes its name', async () => {
    const replaced = [header({ name: 'd', type: '5' }), link('d/b', 'a'), entry({ name: 'd' })];
    expect(await lowerLinks(...replaced)).toEqual([]);
    expect(await lowerLinks(...replaced, header({ name: 'd', type: '5' }))).toEqual([]);
  });

  it('may be the target of another one, which then means the same file', async () => {
    expect(await lowerLinks(link('b', 'a'), link('c', 'b'))).toEqual([
      { path: 'b', target: 'a' },
      { path: 'c', target: 'a' },
    ]);
  });

  it('keeps its meaning when the target appears in the layer later', async () => {
    const parts = [link('b', 'a'), link('c', 'b'), entry({ name: 'b' }, 'new')];
    expect(await lowerLinks(...parts)).toEqual([{ path: 'c', target: 'a' }]);
  });
});
