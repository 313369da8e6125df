import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  createReadStream,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import type { Finding, Provisioner } from '#src/index.js';
import {
  buildImage,
  buildLayer,
  writeOciArchive,
  writeOciLayout,
} from '../../native-free-tests/helpers/image-builder.js';
import { type RealImages, realImages } from '../helpers/real-images.js';
import { describeWith } from '../helpers/requirements.js';
import { openStore, temporaryDirectory } from '../helpers/test-store.js';
import { snapshotTree, treeDifferences } from '../helpers/tree-snapshot.js';

type Built = ReturnType<typeof buildImage>;

const LAYERS = [
  buildLayer([
    { path: 'etc/', mode: 0o711 },
    { path: 'etc/motd', content: 'welcome' },
    { path: 'bin/tool', content: 'v1', mode: 0o755 },
  ]),
  // An implied directory and a link to a file below: this layer needs a seam for each.
  buildLayer([
    { path: 'etc/hosts', content: 'localhost' },
    { path: 'bin/again', type: 'hardlink', target: 'bin/tool' },
  ]),
] as const;

async function layoutOf(image: Built): Promise<string> {
  const layout = join(temporaryDirectory(), 'layout');
  await writeOciLayout(layout, [{ image, refName: 'app' }]);
  return layout;
}

async function pulled(): Promise<{ p: Provisioner; layout: string; layers: readonly string[] }> {
  const p = await openStore();
  const layout = await layoutOf(buildImage([...LAYERS]));
  const { layers } = await p.images.pull(`oci:${layout}`, { name: 'app' });
  expect(layers).toHaveLength(4);
  return { p, layout, layers };
}

const directoryOf = (p: Provisioner, id: string) => join(p.root, 'layers', id.slice('sha256:'.length));
const codes = (findings: readonly Finding[]) => findings.map(({ severity, code }) => `${severity} ${code}`);

function flipBit(path: string): void {
  const { atimeMs, mtimeMs } = lstatSync(path);
  const content = readFileSync(path);
  content[0] = (content[0] as number) ^ 1;
  writeFileSync(path, content);
  utimesSync(path, atimeMs / 1000, mtimeMs / 1000);
}

const du = (path: string) =>
  Number(execFileSync('du', ['-sx', '--block-size=1', path], { encoding: 'utf8' }).split('\t')[0]);

describeWith(['root', 'overlay'], 'the check of a store', () => {
  test('finds nothing in a healthy store with containers, quick and full', async () => {
    const { p } = await pulled();
    await p.provision('a', 'app', { backend: 'overlay' });
    await p.provision('a/b', 'app', { backend: 'copy' });
    for (const full of [false, true]) {
      const report = await p.store.check({ full });
      expect(report.findings).toEqual([]);
      expect(report).toMatchObject({ sound: true, layers: 4, images: 1, containers: 2 });
    }
  });

  test('a flipped bit is found, and healed where nobody shows the layer; the old copy is swept', async () => {
    const { p, layers } = await pulled();
    const path = join(directoryOf(p, layers[0] as string), 'rootfs/etc/motd');
    flipBit(path);
    expect((await p.store.check({ full: true })).sound).toBe(false);
    const { findings, sound } = await p.store.check({ full: true, repair: true });
    expect(sound).toBe(true);
    expect(findings).toMatchObject([
      {
        code: 'LAYER_DAMAGED',
        differences: [{ path: 'rootfs/etc/motd' }, {}].slice(0, findings[0]?.differenceCount),
        outcome: { state: 'healed', parkedFor: [] },
      },
    ]);
    expect(readFileSync(path, 'utf8')).toBe('welcome');
    expect((await p.store.check({ full: true })).findings.filter(({ severity }) => severity !== 'note')).toEqual([]);
    expect(existsSync(join(p.root, 'parked'))).toBe(false);
  });

  test('a container in use keeps showing what it showed, a new one gets the healed layer, and the old copy goes with the last user', async () => {
    const { p, layers } = await pulled();
    const old = await p.provision('old', 'app', { backend: 'overlay' });
    await p.provision('copied', 'app', { backend: 'copy' });
    flipBit(join(directoryOf(p, layers[0] as string), 'rootfs/etc/motd'));
    writeFileSync(join(old.rootfs, 'written'), 'mine');
    const before = snapshotTree(old.rootfs);
    const { sound, findings } = await p.store.check({ full: true, repair: true });
    expect(treeDifferences(before, snapshotTree(old.rootfs))).toEqual([]);
    expect(sound).toBe(true);
    expect(findings.find(({ subject }) => subject === layers[0])?.outcome?.parkedFor).toEqual(['old']);
    expect(readFileSync(join(old.rootfs, 'etc/motd'), 'utf8')).toBe('velcome');
    expect(readFileSync(join(old.rootfs, 'written'), 'utf8')).toBe('mine');
    expect(readFileSync(join(old.rootfs, 'etc/hosts'), 'utf8')).toBe('localhost');
    const fresh = await p.provision('new', 'app', { backend: 'overlay' });
    expect(readFileSync(join(fresh.rootfs, 'etc/motd'), 'utf8')).toBe('welcome');
    expect(codes((await p.store.check({ full: true })).findings)).toEqual(['note LAYER_PARKED']);
    await p.destroy('old');
    expect(codes((await p.store.check()).findings).filter((code) => code !== 'note GC_LEFT')).toEqual([]);
    expect(readdirSync(join(p.root, 'parked'))).toEqual([]);
  });

  test('a missing layer, a damaged record and damaged seams are healed together', async () => {
    const { p, layers } = await pulled();
    const [base, top, seam, links] = layers as [string, string, string, string];
    const before = snapshotTree((await p.provision('before', 'app', { backend: 'copy' })).rootfs);
    rmSync(directoryOf(p, base), { recursive: true });
    flipBit(join(directoryOf(p, top), 'contents'));
    chmodSync(join(directoryOf(p, seam), 'rootfs/etc'), 0o777);
    rmSync(join(directoryOf(p, links), 'rootfs/bin/again'));
    const { findings, sound } = await p.store.check({ full: true, repair: true });
    expect(codes(findings).sort()).toEqual([...Array(3).fill('damage LAYER_DAMAGED'), 'damage LAYER_MISSING']);
    expect(findings.map(({ outcome }) => outcome?.state)).toEqual(Array(4).fill('healed'));
    expect(sound).toBe(true);
    expect((await p.store.check({ full: true })).sound).toBe(true);
    const after = snapshotTree((await p.provision('after', 'app', { backend: 'overlay' })).rootfs);
    expect(treeDifferences(before, after)).toEqual([]);
  });

  test('a source that is gone is told, for each image, and another image heals the layer', async () => {
    const { p, layout, layers } = await pulled();
    flipBit(join(directoryOf(p, layers[0] as string), 'rootfs/etc/motd'));
    renameSync(layout, `${layout}.away`);
    const { findings, sound } = await p.store.check({ full: true, repair: true });
    expect(sound).toBe(false);
    expect(findings[0]?.outcome).toMatchObject({ state: 'failed', message: expect.stringContaining(layout) });
    await p.images.pull(`oci:${await layoutOf(buildImage([LAYERS[0]]))}`, { name: 'other' });
    const second = await p.store.check({ full: true, repair: true });
    expect(second.sound).toBe(true);
    expect(second.findings[0]?.outcome?.message).toContain('other');
  });

  test('an image that was loaded from an archive is healed from it, and one from a stream cannot be', async () => {
    const archive = join(temporaryDirectory(), 'app.tar');
    await writeOciArchive(archive, [{ image: buildImage([...LAYERS]), refName: 'app:v1' }]);
    for (const [input, sound] of [
      [archive, true],
      [createReadStream(archive), false],
    ] as const) {
      const p = await openStore();
      const [image] = await p.images.load(input);
      rmSync(directoryOf(p, image?.layers[1] as string), { recursive: true });
      const report = await p.store.check({ repair: true });
      expect(report.sound).toBe(sound);
      if (!sound) expect(report.findings[0]?.outcome?.message).toContain('stream');
    }
  });

  test('a source that has another image now is told', async () => {
    const { p, layout, layers } = await pulled();
    rmSync(layout, { recursive: true });
    await writeOciLayout(layout, [{ image: buildImage([buildLayer([{ path: 'x' }])]), refName: 'app' }]);
    rmSync(directoryOf(p, layers[0] as string), { recursive: true });
    const { findings } = await p.store.check({ repair: true });
    expect(findings[0]?.outcome?.message).toMatch(/the source now offers sha256:[0-9a-f]{64}, which does not have/);
  });

  test('what no record names is told, and a layer among it retired', async () => {
    const { p, layers } = await pulled();
    cpSync(directoryOf(p, layers[0] as string), join(p.root, 'layers', 'f'.repeat(64)), { recursive: true });
    writeFileSync(join(p.root, 'layers', 'note'), '');
    writeFileSync(join(p.root, 'note'), '');
    // Of the file system, in which a store may be made.
    mkdirSync(join(p.root, 'lost+found'));
    mkdirSync(join(p.root, 'containers', 'ghost', 'backends', 'copy', 'rootfses', 'x'), { recursive: true });
    mkdirSync(join(p.root, 'containers', 'ghost', 'other'));
    mkdirSync(join(p.root, 'staging', 'left'));
    const { findings, sound } = await p.store.check({ repair: true });
    expect(sound).toBe(true);
    // The pull may still be sweeping its staging directory.
    expect(codes(findings.filter(({ code }) => code !== 'GC_LEFT')).sort()).toEqual([
      'leak FOREIGN_FILE',
      'leak FOREIGN_FILE',
      'leak FOREIGN_FILE',
      'leak LAYER_UNRECORDED',
      'leak ROOTFS_UNRECORDED',
      'note STAGING_LEFT',
    ]);
    expect(existsSync(join(p.root, 'layers', 'f'.repeat(64)))).toBe(false);
  });

  test('a rootfs that is gone, or is not mounted, is told', async () => {
    const { p } = await pulled();
    const gone = await p.provision('gone', 'app', { backend: 'copy' });
    const bare = await p.provision('bare', 'app', { backend: 'overlay' });
    rmSync(gone.rootfs, { recursive: true });
    execFileSync('umount', [bare.rootfs]);
    expect(codes((await p.store.check()).findings)).toEqual(['damage ROOTFS_MISSING', 'note ROOTFS_NOT_MOUNTED']);
  });

  test('a layer that takes other space than its record says is counted again', async () => {
    const { p, layers } = await pulled();
    const directory = directoryOf(p, layers[0] as string);
    // A file of the same content that takes more blocks, as a file system may do by itself.
    execFileSync('fallocate', ['--keep-size', '--length', '1M', join(directory, 'rootfs/etc/motd')]);
    const { mtimeMs } = lstatSync(join(directory, 'rootfs/etc/motd'));
    expect(mtimeMs).toBeGreaterThan(0);
    utimesSync(join(directory, 'rootfs/etc/motd'), mtimeMs / 1000, 1704067200);
    expect(codes((await p.store.check({ full: true })).findings)).toEqual(['leak LAYER_MISCOUNTED']);
    await p.store.check({ repair: true });
    expect((await p.store.check({ full: true })).findings).toEqual([]);
  });

  test('is cancelled', async () => {
    const { p } = await pulled();
    await expect(p.store.check({ signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'ERR_ABORTED' });
  });

  test('leaves pulls alone that go on meanwhile', async () => {
    const p = await openStore();
    const images = Array.from({ length: 8 }, (_, n) =>
      buildImage([
        buildLayer(Array.from({ length: 60 }, (_, file) => ({ path: `f${file}`, content: `${n} ${file}` }))),
      ]),
    );
    const layouts = await Promise.all(images.map(layoutOf));
    let pulling = true;
    const pulls = Promise.all(layouts.map((layout, n) => p.images.pull(`oci:${layout}`, { name: `i${n}` }))).finally(
      () => {
        pulling = false;
      },
    );
    while (pulling) {
      const { findings } = await p.store.check({ full: true });
      expect(findings.filter(({ severity }) => severity !== 'note')).toEqual([]);
    }
    await pulls;
    expect((await p.store.check({ full: true })).layers).toBe(8);
  });

  test('the disk usage adds up to what du says', async () => {
    const { p, layers } = await pulled();
    const { rootfs } = await p.provision('a', 'app', { backend: 'overlay' });
    await p.provision('b', 'app', { backend: 'copy' });
    writeFileSync(join(rootfs, 'written'), Buffer.alloc(100_000));
    flipBit(join(directoryOf(p, layers[0] as string), 'rootfs/etc/motd'));
    await p.store.check({ full: true, repair: true });
    mkdirSync(join(p.root, 'staging', 'left'));
    writeFileSync(join(p.root, 'foreign'), Buffer.alloc(5000));
    const usage = await p.store.usage();
    expect(usage.total).toBe(du(p.root));
    expect(usage.layers).toMatchObject({ count: 4, active: { count: 4 }, shared: { count: 0 }, unused: { count: 0 } });
    expect(usage.containers.bytes).toBe(du(join(p.root, 'containers')));
    expect(usage.parked.count).toBe(1);
    expect(usage.unaccounted.count).toBe(1);
  });
});

describeWith(['root', 'overlay', 'skopeo', 'umoci'], 'the check of real images', () => {
  let images: RealImages;
  beforeAll(async () => {
    images = await realImages();
  });

  test('finds nothing when they are healthy, and one flipped bit in the middle of a large file', async () => {
    const p = await openStore();
    for (const name of ['debian', 'appV1', 'appV2', 'mixed', 'mixedZstd'] as const) {
      await p.images.pull(`oci:${images[name]}`, { name: name.toLowerCase() });
    }
    for (const full of [false, true]) expect((await p.store.check({ full })).findings).toEqual([]);
    expect((await p.store.usage()).total).toBe(du(p.root));
    const largest = execFileSync(
      'sh',
      ['-c', 'find "$0"/layers/*/rootfs -type f -size +100k -printf "%s %p\\n" | sort -n | tail -1', p.root],
      { encoding: 'utf8' },
    );
    flipBit(largest.trim().replace(/^[0-9]+ /, ''));
    expect((await p.store.check()).sound).toBe(true);
    const { findings } = await p.store.check({ full: true, repair: true });
    expect(findings[0]).toMatchObject({ code: 'LAYER_DAMAGED', outcome: { state: 'healed' } });
    expect((await p.store.check({ full: true })).sound).toBe(true);
  });
});
