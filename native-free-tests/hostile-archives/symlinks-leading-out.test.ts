import { describe, expect, it } from 'vitest';
import { useLayers } from '../helpers/layers.js';
import { archive, entry, header, pax } from '../helpers/raw-tar.js';

const symlink = (name: string, target: string) =>
  Buffer.concat([pax({ linkpath: Buffer.from(target) }), header({ name, type: '2', linkName: 'x' })]);

describe('an entry that goes through a symlink which leads out of the layer', () => {
  const layers = useLayers();

  it('lands inside when the link is absolute', async () => {
    const { tree } = await layers.unpack(archive(symlink('l', layers.outside), entry({ name: 'l/file' }, 'inside')));
    expect(tree['l']).toBe(`symlink to ${layers.outside}`);
    expect(tree[`${layers.outside.slice(1)}/file`]).toBe('file 644 inside');
  });

  it('lands inside when the link climbs', async () => {
    const { tree } = await layers.unpack(archive(symlink('l', '../../outside'), entry({ name: 'l/file' }, 'inside')));
    expect(tree).toMatchObject({ l: 'symlink to ../../outside', 'outside/file': 'file 644 inside' });
  });

  it('lands inside when links lead from one to the other', async () => {
    const { tree } = await layers.unpack(
      archive(
        symlink('d/one', '../two'),
        symlink('two', 'd/three'),
        symlink('d/three', '../../../../outside'),
        entry({ name: 'd/one/file' }, 'inside'),
      ),
    );
    expect(tree['outside/file']).toBe('file 644 inside');
  });

  it('lands inside when the link stands amid the path', async () => {
    const { tree } = await layers.unpack(
      archive(symlink('a/b/l', '../../../..'), entry({ name: 'a/b/l/outside/file' }, 'inside')),
    );
    expect(tree['outside/file']).toBe('file 644 inside');
  });

  it.each(['0', '5', '6', '2', '1'])('lands inside as typeflag %s', async (type) => {
    const tar = archive(
      entry({ name: 'f' }),
      symlink('l', '../../outside'),
      header({ name: 'l/new', linkName: 'f', type }),
    );
    const { tree, skipped } = await layers.unpack(tar);
    expect(Object.keys(tree).includes('outside/new') || skipped.devices === 1).toBe(true);
  });

  it('replaces the link, and not what it points to, when it has the same path', async () => {
    const { tree } = await layers.unpack(
      archive(
        symlink('l', '../../outside/file'),
        entry({ name: 'l' }, 'inside'),
        symlink('m', '../../outside'),
        header({ name: 'm', type: '5', mode: 0o700 }),
      ),
    );
    expect(tree).toMatchObject({ l: 'file 644 inside', m: 'directory 700' });
  });

  it('does not change the mode of what the link points to', async () => {
    await layers.unpack(archive(header({ name: 'l', linkName: '../../outside/file', type: '2', mode: 0o777 })));
  });
});

describe('a directory that is swapped for a symlink amid the archive', () => {
  const layers = useLayers();

  it('takes what follows to where the link leads inside the layer', async () => {
    const { tree } = await layers.unpack(
      archive(
        header({ name: 'd', type: '5' }),
        entry({ name: 'd/a' }, 'first'),
        symlink('d', '../../outside'),
        entry({ name: 'd/file' }, 'second'),
      ),
    );
    expect(tree).toMatchObject({ d: 'symlink to ../../outside', 'outside/file': 'file 644 second' });
    expect(tree).not.toHaveProperty(['d/a']);
  });

  it('and back again, forgets where it led', async () => {
    const { tree } = await layers.unpack(
      archive(
        entry({ name: 'd/e/a' }),
        symlink('d', '../../outside'),
        entry({ name: 'd/e/b' }),
        header({ name: 'd', type: '5', mode: 0o755 }),
        entry({ name: 'd/e/c' }),
        symlink('d/e', '/'),
        entry({ name: 'd/e/f' }),
      ),
    );
    expect(Object.keys(tree).sort()).toEqual(['.', 'd', 'd/e', 'f', 'outside', 'outside/e', 'outside/e/b']);
  });

  it('also deep above what was known', async () => {
    const { tree } = await layers.unpack(
      archive(entry({ name: 'a/b/c/d/e' }), symlink('a/b', '../../../outside'), entry({ name: 'a/b/c/d/f' }, 'inside')),
    );
    expect(tree).toMatchObject({ 'a/b': 'symlink to ../../../outside', 'outside/c/d/f': 'file 644 inside' });
  });
});
