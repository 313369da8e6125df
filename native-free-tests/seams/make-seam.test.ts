import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { useLayers } from '../helpers/layers.js';
import { type Entries, isOneFile, stackOf } from './stack-builder.js';

const content = (rootfs: string, path: string): string => readFileSync(join(rootfs, path), 'utf8');

describe('the seam of a layer', () => {
  const layers = useLayers();

  it('is not made for a layer that asks for nothing of those below', async () => {
    const { seams, tree } = await stackOf(layers, [
      [{ path: 'd/' }, { path: 'd/a' }],
      [{ path: 'd/' }, { path: 'd/b' }],
    ]);
    expect(seams).toEqual([]);
    expect(Object.keys(tree).sort()).toEqual(['.', 'd', 'd/a', 'd/b']);
  });

  it('gives an implied directory the look that it has below', async () => {
    const { rootfs } = await stackOf(layers, [[{ path: 'd/', mode: 0o711, mtime: 1000 }], [{ path: 'd/new' }]]);
    const { mode, mtimeMs } = statSync(join(rootfs, 'd'));
    expect([mode & 0o7777, mtimeMs]).toEqual([0o711, 1_000_000]);
  });

  it('has the entries of an implied directory where a symlink of that name leads, with all that is in them', async () => {
    const { rootfs } = await stackOf(layers, [
      [
        { path: 'usr/lib/' },
        { path: 'usr/lib/old' },
        { path: 'usr/lib/gone' },
        { path: 'lib', type: 'symlink', target: 'usr/lib' },
      ],
      [
        { path: 'lib/new', content: 'new' },
        { path: 'lib/.wh.gone' },
        { path: 'lib/sub/', mode: 0o711 },
        { path: 'lib/sub/deep/er', content: 'deep' },
      ],
    ]);
    expect(readlinkSync(join(rootfs, 'lib'))).toBe('usr/lib');
    expect(readdirSync(join(rootfs, 'usr/lib')).sort()).toEqual(['new', 'old', 'sub']);
    expect(content(rootfs, 'lib/sub/deep/er')).toBe('deep');
    expect(lstatSync(join(rootfs, 'usr/lib/sub')).mode & 0o7777).toBe(0o711);
  });

  it('gives a directory that is implied below an opaque one nothing of what is hidden', async () => {
    const { rootfs } = await stackOf(layers, [
      [
        { path: 'd/', mode: 0o711, mtime: 1000 },
        { path: 'd/e/', mode: 0o700, mtime: 1000 },
        { path: 'd/f', type: 'symlink', target: '../elsewhere' },
        { path: 'elsewhere/' },
      ],
      [{ path: 'd/.wh..wh..opq' }, { path: 'd/e/new' }, { path: 'd/f/new' }],
    ]);
    const look = (path: string) => [statSync(join(rootfs, path)).mode & 0o7777, statSync(join(rootfs, path)).mtimeMs];
    // The opaque one itself is implied, too, and is not hidden.
    expect(look('d')).toEqual([0o711, 1_000_000]);
    expect(look('d/e')).toEqual([0o755, 0]);
    expect(readdirSync(join(rootfs, 'd/f'))).toEqual(['new']);
    expect(readdirSync(join(rootfs, 'elsewhere'))).toEqual([]);
  });

  it('keeps an opaque directory opaque that lands elsewhere', async () => {
    const { rootfs } = await stackOf(layers, [
      [{ path: 'usr/lib/sub/' }, { path: 'usr/lib/sub/old' }, { path: 'lib', type: 'symlink', target: 'usr/lib' }],
      [{ path: 'lib/sub/' }, { path: 'lib/sub/new' }, { path: 'lib/sub/.wh..wh..opq' }],
    ]);
    expect(readdirSync(join(rootfs, 'usr/lib/sub'))).toEqual(['new']);
  });

  it('makes the hard links of a file that lands elsewhere one file', async () => {
    const { rootfs } = await stackOf(layers, [
      [{ path: 'usr/lib/' }, { path: 'lib', type: 'symlink', target: 'usr/lib' }],
      [
        { path: 'lib/a', content: 'x'.repeat(5000) },
        { path: 'lib/b/c', type: 'hardlink', target: 'lib/a' },
      ],
    ]);
    expect(isOneFile(rootfs, 'usr/lib/a', 'usr/lib/b/c')).toBe(true);
  });
});

describe('hard links to files of layers below', () => {
  const layers = useLayers();
  const file = (path: string, text = path) => ({ path, content: text }) as const;
  const link = (path: string, target: string) => ({ path, type: 'hardlink', target }) as const;
  const stack = (...archives: Entries[]) => stackOf(layers, archives);

  it('are names of that file, in one layer and in several, and the file is there once more in all', async () => {
    const { rootfs, seams } = await stack(
      [file('big', 'x'.repeat(100_000))],
      ...Array.from({ length: 40 }, (_, index) => [link(`l${index}`, 'big'), link(`m${index}`, `l${index}`)]),
    );
    expect(isOneFile(rootfs, 'big', ...readdirSync(rootfs))).toBe(true);
    expect(readdirSync(rootfs)).toHaveLength(81);
    expect(seams.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThan(200_000);
  });

  it('mean the file that was below their own layer, whatever took its name above', async () => {
    const { rootfs } = await stack(
      [file('a', 'old')],
      [link('b', 'a')],
      [file('a', 'new')],
      [link('c', 'a')],
      [link('d', 'b')],
    );
    expect(['a', 'b', 'c', 'd'].map((name) => content(rootfs, name))).toEqual(['new', 'old', 'new', 'old']);
    expect([isOneFile(rootfs, 'a', 'c'), isOneFile(rootfs, 'b', 'd')]).toEqual([true, true]);
  });

  it('outlive the name that they were made from', async () => {
    const { tree } = await stack(
      [file('a', 'old'), file('z')],
      [link('d/b', 'a')],
      [{ path: '.wh.a' }],
      [link('y', 'z')],
    );
    expect(Object.keys(tree).sort()).toEqual(['.', 'd', 'd/b', 'y', 'z']);
    expect(tree['d/b']).toContain('old');
  });

  it.each<[string, Entries]>([
    ['a whiteout', [{ path: 'd/.wh.b' }]],
    ['another file', [{ path: 'd/' }, file('d/b', 'other')]],
    ['a directory', [{ path: 'd/' }, { path: 'd/b/' }]],
    ['a file in the place of their directory', [file('d')]],
    ['a whiteout of their directory', [{ path: '.wh.d' }]],
    ['an opaque directory', [{ path: 'd/' }, { path: 'd/.wh..wh..opq' }]],
    ['a directory made anew', [{ path: 'd/' }, { path: '.wh.d' }]],
  ])('do not show when a layer above has %s there', async (_, above) => {
    const base: Entries[] = [[file('a'), file('z'), { path: 'd/' }], [{ path: 'd/' }, link('d/b', 'a')], above];
    const plain = await stack(...base);
    expect(plain.tree['d/b'] ?? '').not.toContain('file 644 a');
    // Also when a layer further up has links of its own, and holds those of all.
    const { tree } = await stack(...base, [link('y', 'z')]);
    // The root's own look is seen to when a rootfs is made.
    const others = { '.': undefined, y: undefined };
    expect({ ...tree, ...others }).toEqual({ ...plain.tree, ...others });
  });

  it('show in their own layer beside its own whiteouts and opaque marks', async () => {
    const { tree } = await stack(
      [file('a'), { path: 'd/' }, file('d/b', 'old'), file('d/c', 'old')],
      [{ path: 'd/' }, { path: 'd/.wh..wh..opq' }, { path: 'd/.wh.b' }, link('d/b', 'a')],
    );
    expect(tree['d/b']).toContain('file 644 a');
    expect(tree['d/c']).toBeUndefined();
  });

  it('show where a symlink of a layer below leads to, when their directory is only implied', async () => {
    const { rootfs } = await stack(
      [file('a'), { path: 'usr/lib/' }, { path: 'lib', type: 'symlink', target: 'usr/lib' }],
      [link('lib/b', 'a'), file('lib/own')],
      [link('lib/c', 'lib/b')],
    );
    expect(readdirSync(join(rootfs, 'usr/lib')).sort()).toEqual(['b', 'c', 'own']);
    expect(isOneFile(rootfs, 'a', 'usr/lib/b', 'usr/lib/c')).toBe(true);
  });

  it('take along the other names that the file has in its layer, as far as these show', async () => {
    const { rootfs } = await stack(
      [
        { path: 'd/' },
        file('d/a', 'x'),
        link('d/b', 'd/a'),
        link('c', 'd/b'),
        link('gone', 'd/a'),
        link('taken', 'd/a'),
      ],
      [link('e', 'd/b')],
      [{ path: '.wh.gone' }, file('taken', 'other'), link('f', 'e')],
    );
    expect(readdirSync(rootfs).sort()).toEqual(['c', 'd', 'e', 'f', 'taken']);
    expect(isOneFile(rootfs, 'd/a', 'd/b', 'c', 'e', 'f')).toBe(true);
    expect(content(rootfs, 'taken')).toBe('other');
  });

  it.each<[string, Entries[]]>([
    ['back to the first name', [[file('a', 'x')], [link('b', 'a')], [{ path: '.wh.a' }], [link('a', 'b')]]],
    [
      'by two ways to one file',
      [[file('a', 'x'), link('b', 'a')], [link('c', 'a')], [link('d', 'b')], [link('e', 'c')]],
    ],
    [
      'to a link that its own layer makes later',
      [[file('a', 'x')], [link('b', 'a'), link('c', 'b')], [link('d', 'c')]],
    ],
    ['into a layer between', [[file('z')], [file('a', 'x'), link('b', 'a')], [link('c', 'b')], [link('d', 'a')]]],
  ])('are one file when the chain goes %s', async (_, archives) => {
    const { rootfs } = await stack(...archives);
    const names = readdirSync(rootfs).filter((name) => name !== 'z');
    expect(isOneFile(rootfs, ...names)).toBe(true);
    expect(content(rootfs, names[0] as string)).toBe('x');
  });

  it('find what their own layer has where a symlink of a layer below leads, however it is spelled', async () => {
    const { rootfs } = await stack(
      [
        file('old', 'o'),
        { path: 'usr/lib/' },
        file('usr/lib/g', 'old'),
        { path: 'lib', type: 'symlink', target: 'usr/lib' },
      ],
      [
        file('lib/f', 'x'),
        link('b', 'usr/lib/f'),
        file('lib/g', 'new'),
        link('c', 'usr/lib/g'),
        link('lib/h', 'old'),
        link('d', 'usr/lib/h'),
      ],
    );
    expect(isOneFile(rootfs, 'usr/lib/f', 'b')).toBe(true);
    expect(isOneFile(rootfs, 'usr/lib/g', 'c')).toBe(true);
    expect(isOneFile(rootfs, 'usr/lib/h', 'd', 'old')).toBe(true);
    expect([content(rootfs, 'b'), content(rootfs, 'c')]).toEqual(['x', 'new']);
  });

  it('of their own layer stay one file when one of the names lands elsewhere', async () => {
    const { rootfs } = await stack(
      [{ path: 'usr/lib/' }, { path: 'bin/' }, { path: 'lib', type: 'symlink', target: 'usr/lib' }],
      [file('lib/a', 'x'), link('bin/b', 'lib/a'), link('c', 'lib/a')],
      [link('d', 'bin/b')],
    );
    expect(isOneFile(rootfs, 'usr/lib/a', 'bin/b', 'c', 'd')).toBe(true);
  });

  it('may be to symlinks', async () => {
    const { rootfs } = await stack([{ path: 's', type: 'symlink', target: 'nowhere' }], [link('t', 's')]);
    expect(readlinkSync(join(rootfs, 't'))).toBe('nowhere');
  });

  it.each([
    ['nothing', link('b', 'missing'), 'which is not there'],
    ['a directory', link('b', 'd'), 'points to a directory'],
  ])('are refused when they lead to %s', async (_, entry, message) => {
    await expect(stack([{ path: 'd/' }], [entry])).rejects.toMatchObject({
      code: 'ERR_LAYER_MALFORMED',
      message: expect.stringContaining(message),
    });
  });
});

describe('a seam', () => {
  const layers = useLayers();
  const base: Entries = [{ path: 'real/' }, { path: 'd', type: 'symlink', target: 'real' }];
  const many: Entries = Array.from({ length: 50 }, (_, index) => ({
    path: `d/f${index}`,
    content: 'x'.repeat(10_000),
  }));

  it.each([
    ['entries', { maxEntries: 40 }, 'ERR_LIMIT_EXCEEDED'],
    ['data', { maxUnpackedBytes: 400_000 }, 'ERR_LIMIT_EXCEEDED'],
    ['room', { freeSpaceReserve: Number.MAX_SAFE_INTEGER }, 'ERR_NO_SPACE'],
  ])('may not have more %s than a layer may', async (_, limits, code) => {
    await expect(stackOf(layers, [base, many], { limits })).rejects.toMatchObject({ code });
  });

  it('is given up between two entries when it is not wanted any more', async () => {
    let asked = 0;
    const made = stackOf(layers, [base, many], { isCancelled: () => ++asked > 60 });
    await expect(made).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    const seam = readdirSync(layers.path).find((name) => name.startsWith('seam-')) ?? '';
    const written = join(layers.path, seam, 'rootfs/real');
    expect(existsSync(written) ? readdirSync(written).length : 0).toBeLessThan(50);
  });
});
