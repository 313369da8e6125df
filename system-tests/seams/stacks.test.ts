import { chmodSync, existsSync, lstatSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { buildImage, buildLayer, writeOciLayout } from '../../native-free-tests/helpers/image-builder.js';
import { describeWith } from '../helpers/requirements.js';
import { openStore, pullImages, temporaryDirectory } from '../helpers/test-store.js';
import { snapshotTree, treeDifferences } from '../helpers/tree-snapshot.js';

type Entries = Parameters<typeof buildLayer>[0];
type BuiltImage = ReturnType<typeof buildImage>;

function image(...layers: Entries[]): BuiltImage {
  return buildImage(layers.map((entries) => buildLayer(entries)));
}

/** Provisions an image by overlay and by copy, checks that both show the same, and returns the path of the first. */
async function provisionBoth(built: BuiltImage): Promise<string> {
  const provisioner = await openStore();
  await pullImages(provisioner, { app: built });
  const overlay = await provisioner.provision('by-overlay', 'app', { backend: 'overlay' });
  const copy = await provisioner.provision('by-copy', 'app', { backend: 'copy' });
  expect(treeDifferences(snapshotTree(overlay.rootfs), snapshotTree(copy.rootfs))).toEqual([]);
  return overlay.rootfs;
}

const look = (rootfs: string, path: string) => {
  const { mode, uid, gid, mtimeMs } = lstatSync(join(rootfs, path));
  return { mode: (mode & 0o7777).toString(8), uid, gid, seconds: mtimeMs / 1000 };
};

describeWith(['root', 'overlay'], 'a rootfs by overlay and by copy', () => {
  test('a directory that a layer only implies keeps mode, owner and time of the layer below', async () => {
    const rootfs = await provisionBoth(
      image(
        [
          { path: 'tmp/', mode: 0o1777, uid: 3, gid: 4, mtime: 1000 },
          { path: 'var/', mtime: 5 },
          { path: 'var/lib/', mode: 0o700, mtime: 6 },
        ],
        [{ path: 'tmp/new' }, { path: 'var/lib/data/x' }],
      ),
    );
    expect(look(rootfs, 'tmp')).toEqual({ mode: '1777', uid: 3, gid: 4, seconds: 1000 });
    expect(look(rootfs, 'var/lib')).toEqual({ mode: '700', uid: 0, gid: 0, seconds: 6 });
    expect(look(rootfs, 'var/lib/data')).toEqual({ mode: '755', uid: 0, gid: 0, seconds: 0 });
  });

  test('a directory that a layer only implies keeps its extended attributes', async () => {
    const rootfs = await provisionBoth(image([{ path: 'd/', xattrs: { 'user.colour': 'blue' } }], [{ path: 'd/new' }]));
    const [directory] = snapshotTree(rootfs).filter(({ path }) => path === 'd');
    expect(directory?.xattrs).toContain(`user.colour=${Buffer.from('blue').toString('hex')}`);
  });

  test('the attributes of a directory come from the topmost layer that has an entry for it', async () => {
    const rootfs = await provisionBoth(
      image([{ path: 'd/', mode: 0o700 }], [{ path: 'd/', mode: 0o711 }], [{ path: 'd/x' }], [{ path: 'd/y' }]),
    );
    expect(look(rootfs, 'd').mode).toBe('711');
  });

  test('the root has the attributes of the topmost layer that has an entry for it', async () => {
    const rootfs = await provisionBoth(
      image([{ path: './', mode: 0o750, uid: 7, gid: 8, mtime: 77 }, { path: 'a' }], [{ path: 'b' }]),
    );
    expect(look(rootfs, '.')).toEqual({ mode: '750', uid: 7, gid: 8, seconds: 77 });
  });

  test('a root that no layer has an entry for is 0755 and belongs to root', async () => {
    const rootfs = await provisionBoth(image([{ path: 'a' }], [{ path: 'b' }]));
    expect(look(rootfs, '.')).toMatchObject({ mode: '755', uid: 0, gid: 0 });
  });

  test('an entry below a symlink of a lower layer lands where the symlink points', async () => {
    const rootfs = await provisionBoth(
      image(
        [
          { path: 'usr/' },
          { path: 'usr/lib/', mode: 0o711 },
          { path: 'usr/lib/old' },
          { path: 'lib', type: 'symlink', target: 'usr/lib' },
        ],
        [{ path: 'lib/x', content: 'new' }, { path: 'lib/sub/', mode: 0o700 }, { path: 'lib/sub/y' }],
      ),
    );
    expect(readlinkSync(join(rootfs, 'lib'))).toBe('usr/lib');
    expect(readdirSync(join(rootfs, 'usr/lib')).sort()).toEqual(['old', 'sub', 'x']);
    expect(look(rootfs, 'usr/lib').mode).toBe('711');
    expect(look(rootfs, 'usr/lib/sub').mode).toBe('700');
  });

  test.each([
    ['absolute', '/usr/lib'],
    ['leading out of the root', '../../../usr/lib'],
    ['chained', 'other'],
  ])('a symlink of a lower layer that is %s is followed inside the rootfs', async (_, target) => {
    const rootfs = await provisionBoth(
      image(
        [
          { path: 'usr/lib/' },
          { path: 'other', type: 'symlink', target: 'usr/lib' },
          { path: 'lib', type: 'symlink', target },
        ],
        [{ path: 'lib/x' }],
      ),
    );
    expect(existsSync(join(rootfs, 'usr/lib/x'))).toBe(true);
    expect(lstatSync(join(rootfs, 'lib')).isSymbolicLink()).toBe(true);
  });

  test('a whiteout below a symlink of a lower layer removes what the symlink leads to', async () => {
    const rootfs = await provisionBoth(
      image(
        [
          { path: 'usr/lib/' },
          { path: 'usr/lib/a' },
          { path: 'usr/lib/b' },
          { path: 'lib', type: 'symlink', target: 'usr/lib' },
        ],
        [{ path: 'lib/.wh.a' }],
      ),
    );
    expect(readdirSync(join(rootfs, 'usr/lib'))).toEqual(['b']);
  });

  test('a directory entry where a lower layer has a symlink replaces the symlink', async () => {
    const rootfs = await provisionBoth(
      image(
        [{ path: 'usr/lib/' }, { path: 'lib', type: 'symlink', target: 'usr/lib' }],
        [{ path: 'lib/' }, { path: 'lib/x' }],
      ),
    );
    expect(lstatSync(join(rootfs, 'lib')).isDirectory()).toBe(true);
    expect(readdirSync(join(rootfs, 'usr/lib'))).toEqual([]);
  });

  test('a hard link to a file of a lower layer is the same file', async () => {
    const rootfs = await provisionBoth(
      image(
        [{ path: 'bin/tool', content: 'tool', mode: 0o4755, uid: 9 }],
        [{ path: 'sbin/tool', type: 'hardlink', target: 'bin/tool' }],
      ),
    );
    const [one, other] = [statSync(join(rootfs, 'bin/tool')), statSync(join(rootfs, 'sbin/tool'))];
    expect(one.ino).toBe(other.ino);
    expect(readFileSync(join(rootfs, 'sbin/tool'), 'utf8')).toBe('tool');
    expect(look(rootfs, 'sbin/tool')).toMatchObject({ mode: '4755', uid: 9 });
  });

  test('a chain of hard links that ends in a lower layer is one file', async () => {
    const rootfs = await provisionBoth(
      image(
        [{ path: 'a', content: 'x' }],
        [
          { path: 'b', type: 'hardlink', target: 'a' },
          { path: 'c', type: 'hardlink', target: 'b' },
        ],
      ),
    );
    expect(new Set(['a', 'b', 'c'].map((name) => statSync(join(rootfs, name)).ino)).size).toBe(1);
  });

  test('links of many layers to one file are one file, which the store has once more and not once for each', async () => {
    const big = 'x'.repeat(2_000_000);
    const links = Array.from(
      { length: 30 },
      (_, index): Entries => [{ path: `link-${index}`, type: 'hardlink', target: 'big' }],
    );
    const built = image([{ path: 'big', content: big }], ...links);
    const rootfs = await provisionBoth(built);
    expect(new Set(readdirSync(rootfs).map((name) => statSync(join(rootfs, name)).ino)).size).toBe(1);
    expect(readdirSync(rootfs)).toHaveLength(31);
    const provisioner = await openStore();
    await pullImages(provisioner, { app: built });
    expect((await provisioner.store.usage()).layers.bytes).toBeLessThan(2.5 * big.length);
  });

  test('a link means the file that was below its layer, and shows until a layer above has something else there', async () => {
    const rootfs = await provisionBoth(
      image(
        [{ path: 'a', content: 'old' }, { path: 'd/' }],
        [
          { path: 'd/b', type: 'hardlink', target: 'a' },
          { path: 'c', type: 'hardlink', target: 'a' },
        ],
        [{ path: 'a', content: 'new' }, { path: '.wh.c' }],
        [
          { path: 'e', type: 'hardlink', target: 'd/b' },
          { path: 'f', type: 'hardlink', target: 'a' },
        ],
      ),
    );
    const content = (name: string) => readFileSync(join(rootfs, name), 'utf8');
    expect(readdirSync(rootfs).sort()).toEqual(['a', 'd', 'e', 'f']);
    expect([content('d/b'), content('e'), content('f')]).toEqual(['old', 'old', 'new']);
    expect(statSync(join(rootfs, 'd/b')).ino).toBe(statSync(join(rootfs, 'e')).ino);
  });

  test('a pull that is given up while a seam is made ends at once, and leaves nothing', async () => {
    const provisioner = await openStore();
    const entries = Array.from({ length: 40_000 }, (_, index) => ({ path: `lib/f${index}` }));
    const built = image([{ path: 'usr/lib/' }, { path: 'lib', type: 'symlink', target: 'usr/lib' }], entries);
    const layout = join(temporaryDirectory(), 'layout');
    await writeOciLayout(layout, [{ image: built, refName: 'app' }]);
    const giveUp = new AbortController();
    const pull = provisioner.images.pull(`oci:${layout}`, { name: 'app', signal: giveUp.signal });
    const staging = join(provisioner.root, 'staging');
    const seam = () =>
      readdirSync(staging)
        .flatMap((id) => readdirSync(join(staging, id)))
        .some((name) => name.length > 60);
    const watch = setInterval(() => seam() && giveUp.abort(), 5);
    try {
      await expect(pull).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    } finally {
      clearInterval(watch);
    }
    const started = performance.now();
    await provisioner.close();
    // It took half a minute when nobody could stop a seam.
    expect(performance.now() - started).toBeLessThan(5000);
    expect(readdirSync(staging)).toEqual([]);
  });

  test('a hard link to a file that no layer has fails the pull and leaves nothing', async () => {
    const provisioner = await openStore();
    const broken = image([{ path: 'a' }], [{ path: 'b', type: 'hardlink', target: 'missing' }]);
    await expect(pullImages(provisioner, { app: broken })).rejects.toMatchObject({ code: 'ERR_LAYER_MALFORMED' });
    expect(readdirSync(join(provisioner.root, 'staging'))).toEqual([]);
    expect(await provisioner.images.list()).toEqual([]);
  });

  test('whiteouts never show, also in directories that only one layer has', async () => {
    const rootfs = await provisionBoth(
      image(
        [{ path: 'base/.wh.nothing' }, { path: 'base/kept' }],
        [{ path: 'only/here/.wh.nothing' }, { path: 'only/here/kept' }, { path: '.wh.gone' }],
      ),
    );
    expect(readdirSync(join(rootfs, 'base'))).toEqual(['kept']);
    expect(readdirSync(join(rootfs, 'only/here'))).toEqual(['kept']);
    expect(readdirSync(rootfs).sort()).toEqual(['base', 'only']);
  });

  test('an opaque root hides all layers below', async () => {
    const rootfs = await provisionBoth(
      image([{ path: 'old' }], [{ path: 'new' }, { path: '.wh..wh..opq' }], [{ path: 'newer' }]),
    );
    expect(readdirSync(rootfs).sort()).toEqual(['new', 'newer']);
  });

  test('an opaque marker concerns the layers below only, wherever it stands in the archive', async () => {
    const rootfs = await provisionBoth(
      image(
        [{ path: 'd/old' }, { path: 'd/sub/old' }],
        [{ path: 'd/' }, { path: 'd/new' }, { path: 'd/.wh..wh..opq' }, { path: 'd/sub/new' }],
      ),
    );
    expect(readdirSync(join(rootfs, 'd')).sort()).toEqual(['new', 'sub']);
    expect(readdirSync(join(rootfs, 'd/sub'))).toEqual(['new']);
  });

  test('a whiteout and a new directory of that name in one layer replace the old directory', async () => {
    const rootfs = await provisionBoth(
      image([{ path: 'd/', mode: 0o700 }, { path: 'd/old' }], [{ path: 'd/new' }, { path: '.wh.d' }]),
    );
    expect(readdirSync(join(rootfs, 'd'))).toEqual(['new']);
    expect(look(rootfs, 'd').mode).toBe('755');
  });

  test('the same layer twice in one image shows once', async () => {
    const twice = [{ path: 'a', content: '1' }];
    const rootfs = await provisionBoth(image(twice, [{ path: 'a', content: '2' }], twice));
    expect(readFileSync(join(rootfs, 'a'), 'utf8')).toBe('1');
  });

  test.each([
    ['a file', { path: 'x', content: 'f' }],
    ['a directory', { path: 'x/' }],
    ['a symlink', { path: 'x', type: 'symlink', target: 'y' }],
    ['a FIFO', { path: 'x', type: 'fifo' }],
    ['a device', { path: 'x', type: 'character', major: 1, minor: 3 }],
  ] as const)('%s of an upper layer replaces whatever a lower layer has there', async (_, upper) => {
    for (const lower of [
      { path: 'x', content: 'old' },
      { path: 'x/old' },
      { path: 'x', type: 'symlink', target: '/etc' },
    ] as const) {
      const rootfs = await provisionBoth(image([lower, { path: 'etc/keep' }], [upper]));
      const expected = upper.path === 'x/' && lower.path === 'x/old' ? ['old'] : [];
      const stat = lstatSync(join(rootfs, 'x'));
      if (stat.isDirectory()) expect(readdirSync(join(rootfs, 'x'))).toEqual(expected);
      expect(readdirSync(join(rootfs, 'etc'))).toEqual(['keep']);
    }
  });

  test('an image that shares its lower layers with another shares their seams', async () => {
    const provisioner = await openStore();
    const base: Entries[] = [[{ path: 'tmp/', mode: 0o1777 }], [{ path: 'tmp/x' }]];
    await pullImages(provisioner, { one: image(...base, [{ path: 'one' }]), two: image(...base, [{ path: 'two' }]) });
    const [one, two] = [await provisioner.images.get('one'), await provisioner.images.get('two')];
    expect(one.layers).toHaveLength(4);
    expect(two.layers.slice(0, 3)).toEqual(one.layers.slice(0, 3));
    expect(readdirSync(join(provisioner.root, 'layers'))).toHaveLength(5);
  });

  test('what one container changes, another of the same image does not see', async () => {
    const provisioner = await openStore();
    await pullImages(provisioner, { app: image([{ path: 'tmp/', mode: 0o1777 }], [{ path: 'tmp/x' }]) });
    const [a, b] = [await provisioner.provision('a', 'app'), await provisioner.provision('b', 'app')];
    chmodSync(join(a.rootfs, 'tmp'), 0o700);
    expect(look(b.rootfs, 'tmp').mode).toBe('1777');
  });
});
