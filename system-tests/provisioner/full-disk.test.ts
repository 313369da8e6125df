import { execFileSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { ProvisionerEmitter } from '#src/events.js';
import { Provisioner, type ProvisionerOptions } from '#src/index.js';
import { Reserve } from '#src/layer-store/reserve.js';
import { Sweeper } from '#src/layer-store/sweeper.js';
import { StorePaths } from '#src/paths.js';
import { mountsBelow } from '#src/system/syscalls/mounts/mount-table.js';
import { buildImage, buildLayer, writeOciLayout } from '../../native-free-tests/helpers/image-builder.js';
import { mountFileSystem } from '../helpers/file-systems.js';
import { unmountAll } from '../helpers/reboot.js';
import { describeWith } from '../helpers/requirements.js';
import { temporaryDirectory } from '../helpers/test-store.js';
import { Driver } from '../metadata/sqlite-files.js';

const base = buildLayer([{ path: 'etc/' }, { path: 'etc/name', content: 'base' }]);
const v1 = buildImage([
  base,
  buildLayer([
    { path: 'app', content: 'v1' },
    { path: 'data', content: 'x'.repeat(500_000) },
  ]),
]);
const v2 = buildImage([base, buildLayer([{ path: 'app', content: 'v2' }])]);
const big = buildImage([base, buildLayer([{ path: 'big', content: 'b'.repeat(20_000_000) }])]);
const many = buildImage([base, buildLayer(Array.from({ length: 3000 }, (_, index) => ({ path: `f${index}` })))]);

const mounts: string[] = [];
const opened: Provisioner[] = [];
afterEach(async () => {
  for (const p of opened.splice(0)) await p.close();
  for (const mount of mounts.splice(0)) {
    await unmountAll(mount);
    execFileSync('umount', [mount]);
  }
});

/** Has a file take each byte that is free. */
function fillWith(filler: string): void {
  const file = openSync(filler, 'a');
  for (const size of [1 << 20, 4096, 1]) {
    try {
      for (;;) writeSync(file, Buffer.alloc(size, 1));
    } catch {
      // Full for pieces of this size.
    }
  }
  closeSync(file);
}

/** A small file system of its own, with a directory beside it for sources. */
function smallDisk() {
  const disk = join(temporaryDirectory(), 'disk');
  mkdirSync(disk);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=16m,nr_inodes=600', 'none', disk]);
  mounts.push(disk);
  const filler = join(disk, 'filler');
  return {
    root: join(disk, 'store'),
    /** Leaves no byte free. */
    fillBytes: () => fillWith(filler),
    /** Leaves some bytes free, after `fillBytes`. */
    spare(bytes: number) {
      truncateSync(filler, statSync(filler).size - bytes);
    },
    /** Leaves no inode free. */
    fillInodes() {
      mkdirSync(`${filler}s`, { recursive: true });
      try {
        for (let index = 0; ; index += 1) closeSync(openSync(join(`${filler}s`, String(index)), 'wx'));
      } catch {
        // Full.
      }
    },
    empty() {
      rmSync(filler, { force: true });
      rmSync(`${filler}s`, { recursive: true, force: true });
    },
  };
}

const LIMITS = { limits: { freeSpaceReserve: 0 } };

async function open(root: string, options: ProvisionerOptions = {}): Promise<Provisioner> {
  const p = await Provisioner.open({ root, ...LIMITS, ...options });
  opened.push(p);
  return p;
}

async function sourceOf(image: typeof v1): Promise<string> {
  const layout = join(temporaryDirectory(), 'layout');
  await writeOciLayout(layout, [{ image }]);
  return `oci:${layout}`;
}

function rows(root: string, table: string): number {
  const database = new Driver(join(root, 'metadata.sqlite'));
  try {
    return database.prepare(`SELECT count(*) FROM ${table}`).pluck().get() as number;
  } finally {
    database.close();
  }
}

const hasReserve = (root: string) => existsSync(join(root, 'reserve')) && readdirSync(join(root, 'reserve')).length > 0;

describeWith(['root', 'overlay'], 'a full disk', () => {
  describe.each(['fillBytes', 'fillInodes'] as const)('by %s', (fill) => {
    test.each(['while it is open', 'when it is opened'])(
      'a store %s can be pruned, containers destroyed, and it recovers; then its reserve comes back',
      async (when) => {
        const disk = smallDisk();
        let p = await open(disk.root);
        await p.images.pull(await sourceOf(v1), { name: 'app:v1' });
        await p.images.pull(await sourceOf(v2), { name: 'app:v2' });
        const { rootfs } = await p.provision('job', 'app:v2');
        const copied = await p.provision('copied', 'app:v2', { backend: 'copy' });
        writeFileSync(join(rootfs, 'mine'), 'mine');
        expect(hasReserve(disk.root)).toBe(true);
        if (when === 'when it is opened') await p.close();
        disk[fill]();
        if (when === 'when it is opened') p = await open(disk.root);

        expect((await p.containers.list()).map(({ id }) => id)).toEqual(['copied', 'job']);
        expect((await p.store.info()).images).toBe(2);
        expect((await p.recover()).untrusted).toEqual([]);
        const report = await p.pruneImages();
        expect(report.images.filter(({ reasons }) => reasons.length === 0)).toHaveLength(1);
        expect(report.bytesFreed).toBeGreaterThan(500_000);
        expect(await p.destroy('copied')).toBe(true);
        expect(existsSync(copied.rootfs)).toBe(false);
        await p.store.swept();
        expect(readdirSync(join(disk.root, 'gc'))).toEqual([]);
        expect(readFileSync(join(rootfs, 'mine'), 'utf8')).toBe('mine');
        expect(await p.destroy('job')).toBe(true);
        expect(mountsBelow(disk.root)).toEqual([]);
        expect(readdirSync(join(disk.root, 'containers'))).toEqual([]);

        disk.empty();
        await p.store.swept();
        expect(hasReserve(disk.root)).toBe(true);
        await p.images.pull(await sourceOf(v1), { name: 'app:v1' });
        expect(readFileSync(join((await p.provision('job', 'app:v1')).rootfs, 'app'), 'utf8')).toBe('v1');
        await p.destroy('job');
      },
    );

    test('a pull fails with ERR_NO_SPACE, leaves nothing, and works when there is room', async () => {
      const disk = smallDisk();
      const p = await open(disk.root);
      await p.images.pull(await sourceOf(v2), { name: 'app:v2' });
      const before = readdirSync(join(disk.root, 'layers'));
      disk[fill]();
      await expect(p.images.pull(await sourceOf(v1), { name: 'app:v1' })).rejects.toMatchObject({
        code: 'ERR_NO_SPACE',
        hint: expect.any(String),
      });
      disk.empty();
      await p.store.swept();
      expect(readdirSync(join(disk.root, 'layers'))).toEqual(before);
      expect([...readdirSync(join(disk.root, 'staging')), ...readdirSync(join(disk.root, 'gc'))]).toEqual([]);
      for (const table of ['lease', 'layer_claim']) expect([table, rows(disk.root, table)]).toEqual([table, 0]);
      await p.images.pull(await sourceOf(v1), { name: 'app:v1' });
    });
  });

  test('a copy that runs out of bytes on the way fails, is forgotten, and keeps no destroy waiting', async () => {
    const disk = smallDisk();
    const p = await open(disk.root);
    await p.images.pull(await sourceOf(v1), { name: 'app:v1' });
    disk.fillBytes();
    disk.spare(200_000);
    await expect(p.provision('job', 'app:v1', { backend: 'copy' })).rejects.toMatchObject({ code: 'ERR_NO_SPACE' });
    expect(await p.containers.list()).toEqual([]);
    expect(await p.destroy('job')).toBe(false);
    await p.store.swept();
    expect(readdirSync(join(disk.root, 'containers'))).toEqual([]);
  });

  test('a recovery tells all that it did, also what it did before it had to make room', async () => {
    const disk = smallDisk();
    const p = await open(disk.root);
    await p.images.pull(await sourceOf(v2), { name: 'app:v2' });
    const ids = Array.from({ length: 8 }, (_, index) => `job-${index}`);
    for (const id of ids) await p.provision(id, 'app:v2');
    await p.close();
    const again = await open(disk.root);
    disk.fillBytes();
    // For the records of some of them.
    disk.spare(60_000);
    const report = await again.recover({ knownContainerIds: [] });
    expect(report).toMatchObject({ destroyed: ids.toReversed(), failed: [] });
    expect(readdirSync(join(disk.root, 'reserve')).length).toBeLessThan(4);
    expect(await again.containers.list()).toEqual([]);
    expect(readdirSync(join(disk.root, 'containers'))).toEqual([]);
  });

  test('that is read again and again keeps its reserve, and can be pruned after that', async () => {
    const disk = smallDisk();
    const p = await open(disk.root);
    await p.images.pull(await sourceOf(v1), { name: 'app:v1' });
    await p.close();
    const pieces = () =>
      readdirSync(join(disk.root, 'reserve')).map((name) => [name, statSync(join(disk.root, 'reserve', name)).size]);
    const whole = pieces();
    expect(whole).toHaveLength(4);
    disk.fillBytes();
    for (let round = 0; round < 10; round++) {
      const reader = await open(disk.root);
      expect(await reader.images.list()).toHaveLength(1);
      expect(await reader.containers.list()).toEqual([]);
      expect((await reader.store.info()).images).toBe(1);
      await reader.close();
      expect(pieces()).toEqual(whole);
    }
    const pruning = await open(disk.root);
    expect((await pruning.pruneImages()).bytesFreed).toBeGreaterThan(500_000);
    expect(await pruning.images.list()).toEqual([]);
  });

  test.each([
    ['bytes', big],
    ['inodes', many],
  ])(
    'a pull that runs out of %s on the way fails alone, holds nothing, and stored images can be used',
    async (_, image) => {
      const disk = smallDisk();
      const p = await open(disk.root);
      await p.images.pull(await sourceOf(v2), { name: 'app:v2' });
      const before = readdirSync(join(disk.root, 'layers'));
      const source = await sourceOf(image);
      const other = await open(disk.root);
      const outcomes = await Promise.allSettled([p.images.pull(source), other.images.pull(source)]);
      for (const outcome of outcomes)
        expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'ERR_NO_SPACE' } });
      await other.store.swept();
      // Each took the reserve from the other; what they could not give back goes with the next thing they do.
      for (const one of [p, other]) await one.pruneImages(['app:*']);
      await p.store.swept();
      await other.store.swept();
      expect(readdirSync(join(disk.root, 'layers'))).toEqual(before);
      expect([...readdirSync(join(disk.root, 'staging')), ...readdirSync(join(disk.root, 'gc'))]).toEqual([]);
      for (const table of ['lease', 'layer_claim']) expect([table, rows(disk.root, table)]).toEqual([table, 0]);
      expect(readFileSync(join((await p.provision('job', 'app:v2')).rootfs, 'app'), 'utf8')).toBe('v2');
      await p.destroy('job');
      expect(hasReserve(disk.root)).toBe(true);
    },
  );

  test.each(['overlay', 'copy'] as const)(
    'a provision by %s fails with ERR_NO_SPACE and leaves nothing',
    async (backend) => {
      const disk = smallDisk();
      const p = await open(disk.root);
      await p.images.pull(await sourceOf(v1), { name: 'app:v1' });
      await p.store.info();
      disk.fillInodes();
      await expect(p.provision('job', 'app:v1', { backend })).rejects.toMatchObject({ code: 'ERR_NO_SPACE' });
      expect(await p.containers.list()).toEqual([]);
      expect(mountsBelow(disk.root)).toEqual([]);
      expect(readdirSync(join(disk.root, 'containers'))).toEqual([]);
      disk.empty();
      await p.provision('job', 'app:v1', { backend });
      expect(await p.destroy('job')).toBe(true);
    },
  );
});

describeWith(['root', 'loop'], 'on a full ext4', () => {
  test('what is to be deleted is taken out of sight, though gc/ has to grow for its name', async () => {
    const { path } = mountFileSystem('ext4', { bytes: 48 * 2 ** 20, mkfs: ['-b', '1024'] });
    const paths = new StorePaths(path);
    const reserve = new Reserve(paths);
    for (const directory of [paths.gc, paths.layers]) mkdirSync(directory);
    const doomed = Array.from({ length: 100 }, (_, index) => join(paths.layers, `layer-${index}`));
    for (const directory of doomed) mkdirSync(directory);
    reserve.ensure();
    fillWith(join(path, 'filler'));
    const sweeper = new Sweeper(paths, new ProvisionerEmitter(), () => reserve.release());
    for (const directory of doomed) sweeper.mark(directory, 'layer');
    expect(readdirSync(paths.layers)).toEqual([]);
    expect(readdirSync(paths.gc)).toHaveLength(100);
    expect(readdirSync(paths.reserve)).toHaveLength(3);
    await sweeper.close();
  });
});
