import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, expect, test } from 'vitest';
import type { Provisioner } from '#src/index.js';
import { buildImage, buildLayer, writeOciLayout } from '../../native-free-tests/helpers/image-builder.js';
import { WHOLE_RANGE } from '../../native-free-tests/helpers/whole-range.js';
import { makeOlder } from '../helpers/older-store.js';
import { type RealImages, realImages } from '../helpers/real-images.js';
import { reboot, withStore } from '../helpers/reboot.js';
import { startRegistry } from '../helpers/registry.js';
import { describeWith } from '../helpers/requirements.js';
import { openStore, temporaryDirectory } from '../helpers/test-store.js';
import { inspect } from '../metadata/sqlite-files.js';

/** Eight of the largest pieces in which an archive is handed on. */
const LARGE = 8 * 2 ** 20;
const directoryOf = (p: Provisioner, id: string) => join(p.root, 'layers', id.slice('sha256:'.length));
const recordOf = (p: Provisioner, id: string) => join(directoryOf(p, id), 'tar');

const images = new Map<string, ReturnType<typeof buildImage>>();

/** An image of two layers, the first of which is larger than any buffer on the way. */
async function layoutOf(marker = ''): Promise<string> {
  const layout = join(temporaryDirectory(), 'layout');
  const image = images.get(marker) ?? imageOf(marker);
  images.set(marker, image);
  await writeOciLayout(layout, [{ image, refName: 'app' }]);
  return layout;
}

function imageOf(marker: string): ReturnType<typeof buildImage> {
  return buildImage([
    buildLayer([
      { path: 'etc/', mode: 0o711 },
      { path: 'etc/motd', content: `welcome${marker}` },
      { path: 'large', content: Buffer.alloc(LARGE, 'abcdefghij') },
    ]),
    buildLayer([{ path: 'etc/', mode: 0o711 }, { path: 'etc/motd', content: 'bye' }, { path: 'etc/.wh.gone' }]),
  ]);
}

async function digestOf(p: Provisioner, id: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const piece of await p.images.layerTar(id)) hash.update(piece as Buffer);
  return `sha256:${hash.digest('hex')}`;
}

async function expectExportable(p: Provisioner, image: string): Promise<void> {
  const { layerDetails, layers } = await p.images.get(image);
  expect(layerDetails.map(({ id }) => id)).toEqual(layers);
  const own = layerDetails.filter(({ notExportable }) => !/this store has made it/.test(notExportable ?? ''));
  expect(own.length).toBeGreaterThan(0);
  for (const { id, exportable, tarBytes } of own) {
    expect(exportable).toBe(true);
    expect(tarBytes).toBe(statSync(recordOf(p, id)).size);
    expect(await digestOf(p, id)).toBe(id);
  }
}

/** How many files of layers this process has open, in whichever thread. */
function openLayerFiles({ root }: Provisioner): number {
  const targets = readdirSync('/proc/self/fd').map((name) => {
    try {
      return readlinkSync(`/proc/self/fd/${name}`);
    } catch {
      // It has been closed meanwhile.
      return '';
    }
  });
  return targets.filter((target) => target.startsWith(`${root}/layers/`)).length;
}

describeWith(['root', 'overlay', 'docker-registry'], 'the archive of a layer', () => {
  let real: RealImages;
  beforeAll(async () => {
    real = await realImages();
  });

  // The layer of `debian` is the lowest of both versions of the application, which differ in one file.
  test.each([...(WHOLE_RANGE ? (['debian', 'appV1'] as const) : []), 'appV2', 'mixed', 'mixedZstd'] as const)(
    'of %s is made again byte for byte, and a full check says so',
    async (name) => {
      const p = await openStore();
      await p.images.pull(`oci:${real[name]}`, { name: 'real' });
      await expectExportable(p, 'real');
      expect((await p.store.check({ full: true })).findings).toEqual([]);
    },
  );

  test('is what sha256sum says it is', async () => {
    const p = await openStore();
    const { layers } = await p.images.pull(`oci:${real.mixed}`);
    const sum = spawn('sha256sum', { stdio: ['pipe', 'pipe', 'inherit'] });
    const said = (async () => {
      let text = '';
      for await (const piece of sum.stdout) text += piece;
      return text;
    })();
    await pipeline(await p.images.layerTar(layers[0] as string), sum.stdin);
    expect(`sha256:${(await said).split(' ')[0]}`).toBe(layers[0]);
  });

  test('can be made after a heal, a recovery and a reboot', async () => {
    const p = await openStore();
    const layout = await layoutOf();
    const { layers } = await p.images.pull(`oci:${layout}`, { name: 'app' });
    await p.provision('c', 'app', { backend: 'overlay' });
    writeFileSync(join(directoryOf(p, layers[0] as string), 'rootfs/etc/motd'), 'changed');
    await expect(digestOf(p, layers[0] as string)).rejects.toMatchObject({ code: 'ERR_STORE_DAMAGED' });
    expect((await p.store.check({ full: true, repair: true })).sound).toBe(true);
    await expectExportable(p, 'app');
    await p.recover();
    await expectExportable(p, 'app');
    const again = await reboot(p);
    await again.recover();
    await expectExportable(again, 'app');
    expect((await again.store.check({ full: true })).findings.filter(({ severity }) => severity !== 'note')).toEqual(
      [],
    );
  });

  test.each([
    ['a bit of it is flipped', (path: string) => flip(path, 30)],
    ['a bit of its checksum is flipped', (path: string) => flip(path, statSync(path).size - 1)],
    ['it is cut short', (path: string) => truncateSync(path, statSync(path).size - 40)],
    ['it is empty', (path: string) => truncateSync(path, 0)],
    ['a named pipe is in its place', (path: string) => put('mkfifo', path)],
    ['a directory is in its place', (path: string) => put('mkdir', path)],
  ])('is not made of a record when %s; a quick check finds that, and a repair mends it', async (_, damage) => {
    const p = await openStore();
    const { layers } = await p.images.pull(`oci:${await layoutOf()}`, { name: 'app' });
    const id = layers[0] as string;
    damage(recordOf(p, id));
    const stream = await p.images.layerTar(id);
    let bytes = 0;
    stream.on('data', (piece: Buffer) => (bytes += piece.length));
    await expect(new Promise((_resolve, reject) => stream.on('error', reject))).rejects.toMatchObject({
      code: 'ERR_STORE_DAMAGED',
    });
    expect(bytes).toBe(0);
    const { findings } = await p.store.check();
    expect(findings.map(({ code, subject }) => [code, subject])).toEqual([['LAYER_DAMAGED', id]]);
    expect(findings[0]?.differences).toMatchObject([{ path: 'tar', what: 'record' }]);
    expect((await p.store.check({ repair: true })).sound).toBe(true);
    await expectExportable(p, 'app');
  });

  test('that another archive would be is found by a full check', async () => {
    const p = await openStore();
    const [one, other] = [await layoutOf('!'), await layoutOf('!!')];
    const first = await p.images.pull(`oci:${one}`, { name: 'one' });
    const second = await p.images.pull(`oci:${other}`, { name: 'other' });
    const [id, stranger] = [first.layers[0] as string, second.layers[0] as string];
    writeFileSync(recordOf(p, id), readFileSync(recordOf(p, stranger)));
    const { findings } = await p.store.check();
    expect(findings).toMatchObject([{ code: 'LAYER_DAMAGED', subject: id }]);
    expect(findings[0]?.differences).toMatchObject([{ path: 'tar', what: 'content' }]);
  });

  test('is kept from a prune while it is read, and from none afterwards', async () => {
    const p = await openStore();
    const { layers } = await p.images.pull(`oci:${await layoutOf()}`, { name: 'app' });
    const id = layers[0] as string;
    const stream = await p.images.layerTar(id);
    stream.read();
    await withStore({ root: p.root }, async (other) => {
      await other.pruneImages();
      await other.store.swept();
    });
    const hash = createHash('sha256');
    for await (const piece of stream) hash.update(piece as Buffer);
    expect(`sha256:${hash.digest('hex')}`).toBe(id);
    const pruned = async () => (await p.pruneImages()).layers.filter(({ reasons }) => reasons.length === 0);
    await expect.poll(pruned).toMatchObject([{ id }]);
    await p.store.swept();
    await expect(p.images.layerTar(id)).rejects.toMatchObject({ code: 'ERR_LAYER_NOT_FOUND' });
  });

  test.each(['destroyed', 'given up by its signal'] as const)(
    'leaves no lease, no open file and no thread at work when the stream is %s in the middle',
    async (how) => {
      const p = await openStore();
      const { layers } = await p.images.pull(`oci:${await layoutOf()}`, { name: 'app' });
      const id = layers[0] as string;
      await digestOf(p, id);
      for (let round = 0; round < 20; round++) {
        const giveUp = new AbortController();
        const stream = await p.images.layerTar(id, { signal: giveUp.signal });
        const failed = new Promise((resolve) => stream.on('error', resolve));
        await new Promise((resolve) => stream.once('readable', resolve));
        expect(openLayerFiles(p)).toBeGreaterThan(0);
        if (how === 'destroyed') stream.destroy();
        else giveUp.abort();
        if (how !== 'destroyed') expect(await failed).toMatchObject({ code: 'ERR_ABORTED' });
      }
      await expect.poll(() => openLayerFiles(p), { timeout: 10_000 }).toBe(0);
      const leases = () =>
        inspect(join(p.root, 'metadata.sqlite'), (database) => database.prepare('SELECT * FROM lease').all());
      await expect.poll(leases, { timeout: 10_000 }).toEqual([]);
      expect(await digestOf(p, id)).toBe(id);
    },
  );

  test('goes at the pace of its reader, while layers are fetched and unpacked beside it', async () => {
    const registry = await startRegistry();
    const fetched = buildImage([buildLayer([{ path: 'fetched', content: 'from a registry' }])]);
    await registry.push('app', 'v1', fetched);
    const p = await openStore({ maxDownloads: 1, workers: 1 });
    const { layers } = await p.images.pull(`oci:${await layoutOf()}`, { name: 'app' });
    const id = layers[0] as string;
    const slow = await Promise.all([p.images.layerTar(id), p.images.layerTar(id)]);
    for (const stream of slow) await new Promise((resolve) => stream.once('readable', resolve));
    expect((await p.images.pull(`${registry.host}/app:v1`)).layers).toHaveLength(1);
    expect((await p.images.pull(`oci:${await layoutOf('more')}`, { name: 'more' })).layers).toHaveLength(2);
    for (const stream of slow) stream.destroy();
    expect(await digestOf(p, id)).toBe(id);
  });

  test('goes on while a fresh copy of the layer is put in its place, and the old one is swept', async () => {
    const p = await openStore();
    const layout = await layoutOf();
    const { layers } = await p.images.pull(`oci:${layout}`, { name: 'app' });
    const id = layers[0] as string;
    const stream = await p.images.layerTar(id);
    const hash = createHash('sha256');
    const pieces = stream[Symbol.asyncIterator]();
    hash.update((await pieces.next()).value as Buffer);
    inspect(join(p.root, 'metadata.sqlite'), (database) => database.exec("UPDATE layer SET tar = 'off'"));
    await withStore({ root: p.root }, async (other) => {
      expect((await other.images.pullAgain(`oci:${layout}`)).renewed.layers).toEqual(layers);
      await other.store.swept();
    });
    for (let next = await pieces.next(); !next.done; next = await pieces.next()) hash.update(next.value as Buffer);
    expect(`sha256:${hash.digest('hex')}`).toBe(id);
  });

  test('takes no thread before it is read, so that any number may be asked for, and be read in any order', async () => {
    const p = await openStore({ maxDownloads: 1 });
    const { layers } = await p.images.pull(`oci:${await layoutOf()}`, { name: 'app' });
    const id = layers[1] as string;
    const streams = await Promise.all(Array.from({ length: 40 }, () => p.images.layerTar(id)));
    for (const stream of streams.reverse()) {
      const hash = createHash('sha256');
      for await (const piece of stream) hash.update(piece as Buffer);
      expect(`sha256:${hash.digest('hex')}`).toBe(id);
    }
  });

  test('is let go of at once when the stream is destroyed before its thread has begun', async () => {
    const p = await openStore();
    const { layers } = await p.images.pull(`oci:${await layoutOf()}`, { name: 'app' });
    await p.close();
    const again = await openStore({ root: p.root });
    const stream = await again.images.layerTar(layers[0] as string);
    stream.read();
    stream.destroy();
    const leases = () =>
      inspect(join(p.root, 'metadata.sqlite'), (database) => database.prepare('SELECT * FROM lease').all());
    // Long before a thread would be ended that does not answer.
    await expect.poll(leases, { timeout: 3000 }).toEqual([]);
  });

  test.each(['its signal', 'the end of the store'] as const)('given up by %s while it is read says so', async (how) => {
    const p = await openStore();
    const { layers } = await p.images.pull(`oci:${await layoutOf()}`, { name: 'app' });
    for (let round = 0; round < (how === 'its signal' ? 8 : 1); round++) {
      const giveUp = new AbortController();
      const read = (async () => {
        for await (const _ of await p.images.layerTar(layers[0] as string, { signal: giveUp.signal })) {
          // As fast as it can.
        }
      })();
      const failed = read.then(
        () => 'nothing',
        (error: { code: string }) => error.code,
      );
      await sleep(round);
      if (how === 'its signal') giveUp.abort();
      else await p.close();
      expect(how === 'its signal' ? ['ERR_ABORTED', 'nothing'] : ['ERR_CLOSED', 'nothing']).toContain(await failed);
    }
  });

  test.each(['', 'nonsense', 'sha256:0', 'A'.repeat(64)])(
    'is of a layer whose id is given in full, and not of %j',
    async (id) => {
      const p = await openStore();
      await expect(p.images.layerTar(id)).rejects.toMatchObject({ code: 'ERR_BAD_DIGEST' });
    },
  );

  test('ends with an error when the store is closed', async () => {
    const p = await openStore();
    const { layers } = await p.images.pull(`oci:${await layoutOf()}`, { name: 'app' });
    const stream = await p.images.layerTar(layers[0] as string);
    const failed = new Promise((resolve) => stream.on('error', resolve));
    await new Promise((resolve) => stream.once('readable', resolve));
    await p.close();
    expect(await failed).toMatchObject({ code: 'ERR_CLOSED' });
  });
});

describeWith(['root', 'overlay'], 'a layer without a tar record', () => {
  test('of a store of format 1 says that it is older, is sound, and gets one when its image is pulled by force; its containers go on', async () => {
    const layout = await layoutOf();
    const before = await openStore({ tarRecords: false });
    const { layers } = await before.images.pull(`oci:${layout}`, { name: 'app' });
    const { rootfs } = await before.provision('c', 'app', { backend: 'overlay' });
    writeFileSync(join(rootfs, 'mine'), 'kept');
    await before.close();
    makeOlder(before.root);
    const p = await openStore({ root: before.root });
    expect(JSON.parse(readFileSync(join(p.root, 'format'), 'utf8'))).toMatchObject({ version: 2 });
    const { layerDetails } = await p.images.get('app');
    for (const { exportable, notExportable, tarBytes } of layerDetails)
      expect({ exportable, notExportable, tarBytes }).toEqual({
        exportable: false,
        notExportable: 'it was pulled before format 2 of the store',
        tarBytes: 0,
      });
    await expect(p.images.layerTar(layers[0] as string)).rejects.toMatchObject({
      code: 'ERR_NOT_EXPORTABLE',
      hint: expect.stringContaining('pull --force'),
    });
    expect((await p.store.check({ full: true })).findings).toEqual([]);
    // An ordinary pull leaves what is stored as it is.
    await p.images.pull(`oci:${layout}`, { name: 'app' });
    expect(existsSync(recordOf(p, layers[0] as string))).toBe(false);
    const { renewed } = await p.images.pullAgain(`oci:${layout}`, { name: 'app' });
    expect(renewed).toEqual({ layers, parkedFor: ['c'], failed: [] });
    await expectExportable(p, 'app');
    expect(readFileSync(join(rootfs, 'etc/motd'), 'utf8')).toBe('bye');
    expect(readFileSync(join(rootfs, 'mine'), 'utf8')).toBe('kept');
    const { rootfs: fresh } = await p.provision('d', 'app', { backend: 'overlay' });
    expect(readFileSync(join(fresh, 'etc/motd'), 'utf8')).toBe('bye');
    expect(readdirSync(join(p.root, 'parked'))).toHaveLength(layers.length);
    await p.destroy('d');
    expect(readdirSync(join(p.root, 'parked'))).toHaveLength(layers.length);
    // Nobody else shows what is parked.
    await p.destroy('c');
    expect(readdirSync(join(p.root, 'parked'))).toEqual([]);
    await p.store.swept();
    expect((await p.store.check({ full: true })).findings).toEqual([]);
  });

  test('of a store of format 1 that is the store’s own says so, before and after its image is pulled by force', async () => {
    const layout = join(temporaryDirectory(), 'layout');
    const below = buildLayer([
      { path: 'etc/', mode: 0o711 },
      { path: 'etc/motd', content: 'welcome' },
    ]);
    // It only implies the directory, which takes a layer between the two.
    const above = buildLayer([{ path: 'etc/hosts', content: 'localhost' }]);
    await writeOciLayout(layout, [{ image: buildImage([below, above]), refName: 'app' }]);
    const before = await openStore({ tarRecords: false });
    await before.images.pull(`oci:${layout}`, { name: 'app' });
    await before.close();
    makeOlder(before.root);
    const p = await openStore({ root: before.root });
    const states = async () => (await p.images.get('app')).layerDetails.map(({ tar }) => tar);
    expect(await states()).toEqual(['older', 'older', 'seam']);
    const { layers } = await p.images.pullAgain(`oci:${layout}`, { name: 'app' });
    expect(await states()).toEqual(['kept', 'kept', 'seam']);
    await expect(p.images.layerTar(layers[2] as string)).rejects.toMatchObject({
      code: 'ERR_NOT_EXPORTABLE',
      details: { state: 'seam' },
    });
  });

  test('was stored so when nobody wanted one, and the disk usage counts those that there are', async () => {
    const p = await openStore({ tarRecords: false });
    const layout = await layoutOf();
    await p.images.pull(`oci:${layout}`, { name: 'app' });
    const { layerDetails, layers } = await p.images.get('app');
    expect(layerDetails.map(({ notExportable }) => notExportable)).toEqual([
      'it was stored without a tar record',
      'it was stored without a tar record',
    ]);
    expect((await p.store.usage()).layers.tarRecords).toEqual({ count: 0, bytes: 0 });
    await p.close();
    const other = await openStore({ root: p.root });
    await other.images.pullAgain(`oci:${layout}`);
    await other.store.swept();
    const sizes = layers.map((id) => statSync(recordOf(other, id)).size);
    const usage = await other.store.usage();
    expect(usage.layers.tarRecords).toEqual({ count: 2, bytes: sizes.reduce((sum, size) => sum + size, 0) });
    const du = execFileSync('du', ['-sx', '--block-size=1', other.root], { encoding: 'utf8' });
    expect(usage.total).toBe(Number(du.split('\t')[0]));
  });

  test('of a store of format 1 can be looked at where nothing can be written, and the format stays as it is', async () => {
    const before = await openStore({ tarRecords: false });
    const { layers } = await before.images.pull(`oci:${await layoutOf()}`, { name: 'app' });
    await before.close();
    makeOlder(before.root);
    const mount = join(temporaryDirectory(), 'store');
    execFileSync('mkdir', [mount]);
    execFileSync('mount', ['--bind', before.root, mount]);
    execFileSync('mount', ['-o', 'remount,bind,ro', mount]);
    try {
      await withStore({ root: mount, create: false }, async (p) => {
        expect((await p.images.get('app')).layerDetails.map(({ exportable }) => exportable)).toEqual([false, false]);
        await expect(p.images.layerTar(layers[0] as string)).rejects.toMatchObject({ code: 'ERR_NOT_EXPORTABLE' });
      });
    } finally {
      execFileSync('umount', [mount]);
    }
    expect(readFileSync(join(before.root, 'format'), 'utf8')).toContain('"version":1');
  });

  test('is told with a correction when its record says that there is one', async () => {
    const p = await openStore({ tarRecords: false });
    const { layers } = await p.images.pull(`oci:${await layoutOf()}`, { name: 'app' });
    inspect(join(p.root, 'metadata.sqlite'), (database) =>
      database.prepare("UPDATE layer SET tar = 'kept', tar_bytes = 99 WHERE id = ?").run(layers[0]),
    );
    expect((await p.store.check()).findings).toMatchObject([{ code: 'LAYER_MISCOUNTED', subject: layers[0] }]);
    expect((await p.store.check({ repair: true })).findings).toMatchObject([{ outcome: { state: 'healed' } }]);
    expect((await p.store.check()).findings).toEqual([]);
    expect((await p.images.get('app')).layerDetails[0]).toMatchObject({ exportable: false, tarBytes: 0 });
  });
});

function put(command: string, path: string): void {
  rmSync(path);
  execFileSync(command, [path]);
}

function flip(path: string, at: number): void {
  const bytes = readFileSync(path);
  bytes.writeUInt8(bytes.readUInt8(at) ^ 4, at);
  writeFileSync(path, bytes);
}
