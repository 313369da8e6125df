import { describe, expect, it } from 'vitest';
import { useLayers } from '../helpers/layers.js';
import { archive, entry, header } from '../helpers/raw-tar.js';

/** What `a` is as each type; hard links are made to `target`. */
const TYPES: Record<string, { parts: Uint8Array[]; shows: string }> = {
  file: { parts: [entry({ name: 'a', mode: 0o600 }, 'content')], shows: 'file 600 content' },
  'empty file': { parts: [entry({ name: 'a' })], shows: 'file 644' },
  directory: { parts: [header({ name: 'a', type: '5', mode: 0o750 })], shows: 'directory 750' },
  'filled directory': {
    parts: [
      header({ name: 'a/', type: '5', mode: 0o700 }),
      entry({ name: 'a/b/c/d' }, 'deep'),
      header({ name: 'a/s', linkName: '..', type: '2' }),
    ],
    shows: 'directory 700',
  },
  symlink: { parts: [header({ name: 'a', linkName: 'target', type: '2' })], shows: 'symlink to target' },
  'dangling symlink': { parts: [header({ name: 'a', linkName: 'nowhere', type: '2' })], shows: 'symlink to nowhere' },
  'symlink to a directory': { parts: [header({ name: 'a', linkName: 'other', type: '2' })], shows: 'symlink to other' },
  'hard link': { parts: [header({ name: 'a', linkName: 'target', type: '1' })], shows: 'file 644 target' },
};
const pairs = Object.keys(TYPES).flatMap((first) => Object.keys(TYPES).map((second) => [first, second] as const));
const around = [
  entry({ name: 'target' }, 'target'),
  header({ name: 'other', type: '5', mode: 0o755 }),
  entry({ name: 'other/file' }, 'other'),
];

describe('a later entry of the same path replaces the earlier', () => {
  const layers = useLayers();

  it.each(pairs)('%s by %s', async (first, second) => {
    const { tree } = await layers.unpack(
      archive(...around, ...(TYPES[first]?.parts ?? []), ...(TYPES[second]?.parts ?? [])),
    );
    expect(tree['a']).toBe(TYPES[second]?.shows);
    const below = Object.keys(tree).filter((path) => path.startsWith('a/'));
    const bothDirectories = first.includes('directory') && !first.includes('symlink') && second === 'directory';
    const filled = second === 'filled directory' || (first === 'filled directory' && bothDirectories);
    expect(below.sort()).toEqual(filled ? ['a/b', 'a/b/c', 'a/b/c/d', 'a/s'] : []);
    expect(tree).toMatchObject({ target: 'file 644 target', other: 'directory 755', 'other/file': 'file 644 other' });
  });

  it('also when names of the path are no text', async () => {
    const odd = '\xff\xfe';
    const { tree } = await layers.unpack(
      archive(
        entry({ name: `${odd}/\x80/file` }, 'deep'),
        entry({ name: odd }, 'instead'),
        entry({ name: '\xe9' }),
        entry({ name: '\xe9' }, 'again'),
      ),
    );
    expect(tree).toEqual({ '.': 'directory 755', [odd]: 'file 644 instead', '\xe9': 'file 644 again' });
  });

  it('also when it is spelled another way', async () => {
    const { tree } = await layers.unpack(archive(entry({ name: './d//a' }, 'one'), entry({ name: '/d/./a' }, 'two')));
    expect(tree).toEqual({ '.': 'directory 755', d: 'directory 755', 'd/a': 'file 644 two' });
  });

  it('also when a symlink of the layer leads there', async () => {
    const parts = [header({ name: 'd', type: '5', mode: 0o755 }), header({ name: 'l', linkName: 'd', type: '2' })];
    const { tree } = await layers.unpack(
      archive(...parts, entry({ name: 'd/a' }, 'one'), entry({ name: 'l/a' }, 'two')),
    );
    expect(tree).toMatchObject({ 'd/a': 'file 644 two', l: 'symlink to d' });
  });

  it('and its other names keep what it was', async () => {
    const { tree } = await layers.unpack(
      archive(
        entry({ name: 'a' }, 'one'),
        header({ name: 'b', linkName: 'a', type: '1' }),
        entry({ name: 'a' }, 'two'),
      ),
    );
    expect(tree).toMatchObject({ a: 'file 644 two', b: 'file 644 one' });
  });
});

describe('the directories of a layer', () => {
  const layers = useLayers();

  it('keep what is in them when they come again, and get the last mode', async () => {
    const directory = (mode: number) => header({ name: 'd', type: '5', mode });
    const { tree } = await layers.unpack(archive(directory(0o700), entry({ name: 'd/a' }), directory(0o711)));
    expect(tree).toEqual({ '.': 'directory 755', d: 'directory 711', 'd/a': 'file 644' });
  });

  it('are made, with mode 0755, where the archive only implies them', async () => {
    const { tree, stacking, describesRoot } = await layers.unpack(archive(entry({ name: 'a/b/c' })));
    expect(tree).toEqual({ '.': 'directory 755', a: 'directory 755', 'a/b': 'directory 755', 'a/b/c': 'file 644' });
    expect(stacking.implied).toEqual(['', 'a', 'a/b']);
    expect(describesRoot).toBe(false);
  });

  it('are implied no more when their entry comes late', async () => {
    const { tree, stacking } = await layers.unpack(
      archive(entry({ name: 'a/b' }), header({ name: 'a', type: '5', mode: 0o1777 })),
    );
    expect(tree['a']).toBe('directory 1777');
    expect(stacking.implied).toEqual(['']);
  });

  it.each(['./', '.', '/', './.'])('begin with the root, which the entry %j describes', async (name) => {
    const { tree, stacking, describesRoot } = await layers.unpack(
      archive(header({ name, type: '5', mode: 0o711 }), entry({ name: 'a' })),
    );
    expect(tree['.']).toBe('directory 711');
    expect(stacking.implied).toEqual([]);
    expect(describesRoot).toBe(true);
  });

  it('are found through symlinks of the layer, relative and absolute, as in a container', async () => {
    const symlink = (name: string, linkName: string) => header({ name, linkName, type: '2' });
    const { tree } = await layers.unpack(
      archive(
        symlink('lib', 'usr/lib'),
        entry({ name: 'lib/one' }),
        symlink('absolute', '/usr/lib'),
        entry({ name: 'absolute/two' }),
        symlink('chain', 'absolute/../lib'),
        entry({ name: 'chain/three' }),
        symlink('up', '../../../../usr'),
        entry({ name: 'up/lib/four' }),
      ),
    );
    expect(
      Object.keys(tree)
        .filter((path) => path.startsWith('usr/lib/'))
        .sort(),
    ).toEqual(['usr/lib/four', 'usr/lib/one', 'usr/lib/three', 'usr/lib/two']);
  });

  it('follow a symlink that was replaced to its new target', async () => {
    const symlink = (linkName: string) => header({ name: 'l', linkName, type: '2' });
    const { tree } = await layers.unpack(
      archive(symlink('one'), entry({ name: 'l/a' }), symlink('two'), entry({ name: 'l/b' })),
    );
    expect(Object.keys(tree).sort()).toEqual(['.', 'l', 'one', 'one/a', 'two', 'two/b']);
  });
});
