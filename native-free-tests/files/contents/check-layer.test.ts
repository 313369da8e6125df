import {
  appendFileSync,
  chmodSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type CheckedLayer, checkLayer } from '#src/files/contents/check-layer.js';
import { layerContents } from '#src/paths.js';
import { NativeFreeTreeCalls } from '#src/system/syscalls/native-free/native-free-tree-calls.js';
import { buildTar, type Entry } from '../../helpers/image-builder.js';
import { useLayers } from '../../helpers/layers.js';

const ENTRIES: Entry[] = [
  { path: './', mode: 0o711 },
  { path: 'etc/', mode: 0o755 },
  { path: 'etc/passwd', content: 'root:x:0:0' },
  { path: 'etc/empty' },
  { path: 'etc/link', type: 'symlink', target: 'passwd' },
  { path: 'implied/deeper/file', content: 'abc', mode: 0o600 },
  { path: 'one', content: 'linked' },
  { path: 'other', type: 'hardlink', target: 'one' },
  { path: 'alone', content: 'linked' },
  { path: 'gone/', mode: 0o700 },
  { path: 'gone/.wh..wh..opq' },
  { path: 'etc/.wh.shadow' },
  { path: 'replaced', content: 'first' },
  { path: 'replaced', content: 'second one' },
];

const calls = new NativeFreeTreeCalls();

function check(directory: string, mode: 'quick' | 'full' = 'full'): CheckedLayer {
  return checkLayer({ directory, mode }, calls, () => {});
}

/** Path and aspect of each difference. */
function seen(checked: CheckedLayer): string[] {
  return checked.differences.map(({ path, what }) => `${path}: ${what}`);
}

/** Does something in a directory and gives it its time back. */
function quietly(path: string, change: () => void): void {
  const { atimeMs, mtimeMs } = lstatSync(path);
  change();
  lutimesSync(path, atimeMs / 1000, mtimeMs / 1000);
}

describe('the check of a layer', () => {
  const layers = useLayers();
  const unpack = async (entries: readonly Entry[] = ENTRIES): Promise<{ rootfs: string; directory: string }> => {
    const { rootfs } = await layers.unpack(buildTar(entries));
    return { rootfs, directory: dirname(rootfs) };
  };

  it('finds nothing in a healthy layer, as often as it is asked', async () => {
    const { directory } = await unpack();
    for (const mode of ['quick', 'full', 'full'] as const) {
      const checked = check(directory, mode);
      expect(checked).toMatchObject({ count: 0, differences: [], entries: 15 });
      expect(checked.bytes).toBeGreaterThan(0);
    }
  });

  it('finds nothing in any tree that was unpacked', async () => {
    const name = fc.constantFrom('a', 'b', 'c', '\u00fc', 'x y');
    const path = fc.array(name, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'));
    const mode = fc.integer({ min: 0, max: 0o7777 });
    const anyEntry: fc.Arbitrary<Entry> = fc.oneof(
      fc.record({ path, type: fc.constant('file' as const), mode, content: fc.uint8Array({ maxLength: 500 }) }),
      fc.record({ path, type: fc.constant('directory' as const), mode }),
      fc.record({ path, type: fc.constant('symlink' as const), target: path }),
      fc.record({ path, type: fc.constant('hardlink' as const), target: path }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(anyEntry, { maxLength: 12 }), async (entries) => {
        const unpacked = await unpack(entries).catch((error: { code?: string }) => {
          if (error.code === 'ERR_LAYER_MALFORMED') return undefined;
          throw error;
        });
        fc.pre(unpacked !== undefined);
        expect(seen(check(unpacked.directory))).toEqual([]);
        expect(seen(check(unpacked.directory, 'quick'))).toEqual([]);
      }),
      { numRuns: 150 },
    );
  });

  it('finds every bit of a file that is flipped, and nothing when it is flipped back', async () => {
    const { rootfs, directory } = await unpack();
    const path = join(rootfs, 'etc/passwd');
    const flip = (bit: number): void =>
      quietly(path, () => {
        const content = readFileSync(path);
        content[bit >> 3] = (content[bit >> 3] as number) ^ (1 << (bit & 7));
        writeFileSync(path, content);
      });
    for (let bit = 0; bit < statSync(path).size * 8; bit++) {
      flip(bit);
      expect(seen(check(directory))).toEqual(['rootfs/etc/passwd: content']);
      flip(bit);
    }
    expect(seen(check(directory))).toEqual([]);
  });

  it.each<[what: string, change: (rootfs: string) => void, found: string[]]>([
    ['another mode', (r) => chmodSync(join(r, 'one'), 0o664), ['rootfs/one: mode', 'rootfs/other: mode']],
    ['another mode of a directory', (r) => chmodSync(join(r, 'etc'), 0o1755), ['rootfs/etc: mode']],
    ['another mode of the root', (r) => chmodSync(r, 0o755), ['rootfs: mode']],
    ['another time', (r) => utimesSync(join(r, 'alone'), 1, 1), ['rootfs/alone: modified']],
    ['another time of a symlink', (r) => lutimesSync(join(r, 'etc/link'), 1, 1), ['rootfs/etc/link: modified']],
    ['another time of an implied directory', (r) => utimesSync(join(r, 'implied'), 5, 5), ['rootfs/implied: modified']],
    [
      'a longer file',
      (r) => quietly(join(r, 'alone'), () => appendFileSync(join(r, 'alone'), '!')),
      ['rootfs/alone: size'],
    ],
    [
      'an empty file that is not empty any more',
      (r) => quietly(join(r, 'etc/empty'), () => writeFileSync(join(r, 'etc/empty'), 'x')),
      ['rootfs/etc/empty: size'],
    ],
    [
      'a missing file',
      (r) => quietly(join(r, 'etc'), () => unlinkSync(join(r, 'etc/passwd'))),
      ['rootfs/etc/passwd: missing'],
    ],
    [
      'a missing directory, told once',
      (r) => quietly(r, () => rmSync(join(r, 'implied'), { recursive: true })),
      ['rootfs/implied: missing'],
    ],
    [
      'an extra file',
      (r) => quietly(join(r, 'etc'), () => writeFileSync(join(r, 'etc/x'), '')),
      ['rootfs/etc/x: extra'],
    ],
    [
      'an extra directory, told once',
      (r) => quietly(r, () => mkdirSync(join(r, 'x/y'), { recursive: true })),
      ['rootfs/x: extra'],
    ],
    [
      'a missing whiteout',
      (r) => quietly(join(r, 'etc'), () => unlinkSync(join(r, 'etc/.wh.shadow'))),
      ['rootfs/etc/.wh.shadow: missing'],
    ],
    [
      'another symlink',
      (r) =>
        quietly(join(r, 'etc'), () => {
          const path = join(r, 'etc/link');
          const { mtimeMs } = lstatSync(path);
          unlinkSync(path);
          symlinkSync('shadow', path);
          lutimesSync(path, mtimeMs / 1000, mtimeMs / 1000);
        }),
      ['rootfs/etc/link: target'],
    ],
    [
      'a directory in the place of a file',
      (r) =>
        quietly(r, () => {
          unlinkSync(join(r, 'alone'));
          mkdirSync(join(r, 'alone'));
        }),
      ['rootfs/alone: type'],
    ],
    [
      'a file in the place of a directory',
      (r) =>
        quietly(r, () => {
          rmSync(join(r, 'gone'), { recursive: true });
          writeFileSync(join(r, 'gone'), '');
        }),
      ['rootfs/gone: type'],
    ],
    [
      'a symlink in the place of a directory, which is not followed',
      (r) =>
        quietly(r, () => {
          renameSync(join(r, 'etc'), join(r, 'moved'));
          symlinkSync('moved', join(r, 'etc'));
        }),
      ['rootfs/etc: type', 'rootfs/moved: extra'],
    ],
    [
      'a hard link that is broken',
      (r) =>
        quietly(r, () => {
          const path = join(r, 'other');
          const content = readFileSync(path);
          const { mtimeMs, mode } = statSync(path);
          unlinkSync(path);
          writeFileSync(path, content, { mode });
          chmodSync(path, mode & 0o7777);
          utimesSync(path, mtimeMs / 1000, mtimeMs / 1000);
        }),
      ['links'],
    ],
    [
      'two equal files that have become one',
      (r) =>
        quietly(r, () => {
          unlinkSync(join(r, 'alone'));
          linkSync(join(r, 'one'), join(r, 'alone'));
        }),
      ['links'],
    ],
  ])('finds %s', async (_, change, found) => {
    const { rootfs, directory } = await unpack();
    change(rootfs);
    const differences = seen(check(directory));
    if (found[0] === 'links') expect(new Set(differences.map((text) => text.split(': ')[1]))).toEqual(new Set(found));
    else expect(differences.sort()).toEqual(found);
  });

  it('finds what was added beside the files, and says when a part of the layer is missing', async () => {
    const { rootfs, directory } = await unpack();
    writeFileSync(join(directory, 'x'), '');
    for (const mode of ['quick', 'full'] as const) expect(seen(check(directory, mode))).toEqual(['x: extra']);
    rmSync(rootfs, { recursive: true });
    expect(seen(check(directory))).toEqual(['rootfs: missing']);
    rmSync(directory, { recursive: true });
    expect(check(directory)).toMatchObject({ count: 1, bytes: 0, differences: [{ path: '', what: 'missing' }] });
    mkdirSync(directory);
  });

  it('finds another number of entries, or other sizes, when it is quick', async () => {
    const { rootfs, directory } = await unpack();
    quietly(rootfs, () => writeFileSync(join(rootfs, 'x'), 'y'));
    expect(seen(check(directory, 'quick'))).toEqual(['rootfs: entries', 'rootfs: size']);
    rmSync(join(rootfs, 'x'));
  });

  it('tells damage of the record from damage of the layer', async () => {
    const { directory } = await unpack();
    const path = layerContents(directory);
    const content = readFileSync(path);
    content[100] = (content[100] as number) ^ 1;
    writeFileSync(path, content);
    for (const mode of ['quick', 'full'] as const) expect(seen(check(directory, mode))).toEqual(['contents: record']);
    unlinkSync(path);
    expect(seen(check(directory))).toEqual(['contents: missing']);
  });

  it('finds that what the layer says of those below has been changed', async () => {
    const { directory } = await unpack();
    appendFileSync(join(directory, 'stacking.json'), ' ');
    expect(seen(check(directory, 'quick'))).toEqual(['stacking.json: content']);
  });

  it('tells the first hundred differences and counts all', async () => {
    const { rootfs, directory } = await unpack(Array.from({ length: 300 }, (_, index) => ({ path: `f${index}` })));
    for (let index = 0; index < 300; index++) chmodSync(join(rootfs, `f${index}`), 0o600);
    const checked = check(directory);
    expect(checked.count).toBe(300);
    expect(checked.differences).toHaveLength(100);
  });

  it('stops when it is told to', async () => {
    const { directory } = await unpack();
    const stop = new Error('enough');
    expect(() =>
      checkLayer({ directory, mode: 'full' }, calls, () => {
        throw stop;
      }),
    ).toThrow(stop);
  });
});
