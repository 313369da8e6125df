import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, copyFileSync, cpSync, lstatSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { Provisioner } from '#src/index.js';
import { sqliteDriver } from '#src/metadata/sqlite/drivers/choose-driver.js';
import { buildImage, buildLayer } from '../../native-free-tests/helpers/image-builder.js';
import { APP_V1, newStore } from '../cli/run-cli.js';
import { mountFileSystem, needsOf } from '../helpers/file-systems.js';
import { otherProcess } from '../helpers/other-process.js';
import { describeWith } from '../helpers/requirements.js';
import { openStore, pullImages, temporaryDirectory } from '../helpers/test-store.js';

const image = buildImage([
  buildLayer([{ path: 'app', content: 'v1' }]),
  buildLayer([{ path: 'etc/name', content: 'x' }]),
]);

const READING = [
  ['images'],
  ['images', '--pulling'],
  ['inspect', 'app:v1'],
  ['ps'],
  ['why', 'app:v1'],
  ['df'],
  ['check'],
  ['check', '--full'],
  ['info'],
  ['prune', '--dry-run'],
];
const WRITING = [
  ['pull', APP_V1],
  ['tag', 'app:v1', 'other'],
  ['rmi', 'app:v1'],
  ['pin', 'app:v1'],
  ['provision', 'job-2', 'app:v1'],
  ['destroy', 'job-1'],
  ['prune'],
  ['recover'],
  ['check', '--repair'],
];

/** All that is in a directory, with sizes, modes and times. */
function listing(root: string): string {
  return execFileSync('find', [root, '-printf', '%P %y %m %s %T@ %C@\n'], { encoding: 'utf8' });
}

/** A read-only mount of a directory beside it, until the end of the test. */
function readOnlyMountOf(directory: string): string {
  const { path } = mountFileSystem('tmpfs');
  const place = join(path, 'seen');
  mkdirSync(place, { mode: 0o700 });
  execFileSync('mount', ['--bind', directory, place]);
  execFileSync('mount', ['-o', 'remount,bind,ro', place]);
  unmounts.push(() => execFileSync('umount', ['--lazy', place]));
  return place;
}

const unmounts: (() => void)[] = [];

async function withUnmounting(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } finally {
    for (const unmount of unmounts.splice(0)) unmount();
  }
}

describeWith(['root', 'overlay', 'mount'], 'a store on a read-only mount', () => {
  it('is looked at by every command that reads, as if it could be written, and stays as it is', () =>
    withUnmounting(async () => {
      const p = await openStore();
      await pullImages(p, { 'app:v1': image });
      await p.provision('job-1', 'app:v1', { backend: 'copy' });
      const expected = new Map<string, string>();
      const { run } = newStore();
      const shown = async (args: readonly string[], root: string) => {
        const { status, stdout, stderr } = await run([...args, '--json', '--root', root]);
        expect([args, status, stderr]).toEqual([args, 0, '']);
        return stdout.replaceAll(root, 'ROOT').replace(/"milliseconds": [\d.]+|"(?:total|records)": \d+/g, '');
      };
      await p.close();
      for (const args of READING) expected.set(args.join(), await shown(args, p.root));
      const root = readOnlyMountOf(p.root);
      const before = listing(p.root);
      for (const args of READING.filter(([command]) => command !== 'info')) {
        expect([args, await shown(args, root)]).toEqual([args, expected.get(args.join())]);
      }
      expect(JSON.parse(await shown(['info'], root))).toMatchObject({
        images: 1,
        containers: 1,
        readOnly: { reason: expect.stringContaining('read-only') },
        backends: ['overlay', 'copy', 'bind'].map((name) => ({ name, usable: false, chosen: false })),
      });
      expect(listing(p.root)).toBe(before);
    }));

  it('refuses every command that writes, with what to do, and stays as it is', () =>
    withUnmounting(async () => {
      const p = await openStore();
      await pullImages(p, { 'app:v1': image });
      await p.provision('job-1', 'app:v1', { backend: 'copy' });
      await p.close();
      const root = readOnlyMountOf(p.root);
      const before = listing(p.root);
      const { run } = newStore();
      for (const args of WRITING) {
        const { status, stdout, stderr } = await run([...args, '--json', '--root', root]);
        expect({ args, status, error: JSON.parse(stderr) }).toMatchObject({
          status: 1,
          error: { error: { code: 'ERR_READ_ONLY', hint: expect.stringContaining('remount,rw') } },
        });
        if (args[0] !== 'check') expect(['', '[]\n']).toContain(stdout);
      }
      expect(listing(p.root)).toBe(before);
    }));

  it('shows what another process does that may write, at once', () =>
    withUnmounting(async () => {
      const p = await openStore();
      await pullImages(p, { 'app:v1': image });
      const root = readOnlyMountOf(p.root);
      await using looking = await Provisioner.open({ root });
      expect((await looking.images.get('app:v1')).names).toHaveLength(1);
      await p.images.tag('app:v1', 'more');
      expect((await looking.images.get('app:v1')).names).toHaveLength(2);
      // Its log goes with the last one who may write.
      await p.close();
      expect((await looking.images.list())[0]?.names).toHaveLength(2);
      const again = await openStore({ root: p.root });
      await again.images.remove('more');
      expect((await looking.images.get('app:v1')).names).toHaveLength(1);
      expect(await looking.store.check()).toMatchObject({ sound: true, findings: [] });
    }));

  it.each([
    ['while somebody had it open', true],
    ['while nobody had it open', false],
  ])('shows the records that were put in the place of those which were opened %s', (_, live) =>
    withUnmounting(async () => {
      const p = await openStore();
      await pullImages(p, { 'app:v1': image });
      await p.close();
      const backup = join(temporaryDirectory(), 'metadata.sqlite');
      copyFileSync(join(p.root, 'metadata.sqlite'), backup);
      const writer = await openStore({ root: p.root });
      await writer.images.tag('app:v1', 'more');
      if (!live) await writer.close();
      await using looking = await Provisioner.open({ root: readOnlyMountOf(p.root) });
      expect((await looking.images.list())[0]?.names).toHaveLength(2);
      if (live) await writer.close();
      for (const suffix of ['', '-wal', '-shm']) rmSync(join(p.root, `metadata.sqlite${suffix}`), { force: true });
      copyFileSync(backup, join(p.root, 'metadata.sqlite'));
      const told: unknown[] = [];
      looking.events.on('warning', (warning) => told.push(warning));
      for (const _ of ['first', 'again']) expect((await looking.images.list())[0]?.names).toHaveLength(1);
      expect(told).toMatchObject([{ code: 'RECORDS_GAP', details: { gap: 'older' } }]);
      expect((await looking.store.check()).findings).toMatchObject([{ code: 'RECORDS_INCOMPLETE' }]);
    }),
  );

  it('tells that its records are older than it, and tells nothing of that when there is nothing in it', () =>
    withUnmounting(async () => {
      const p = await openStore();
      await pullImages(p, { 'app:v1': image });
      await p.close();
      rmSync(join(p.root, 'generation'));
      const { run } = newStore();
      const root = readOnlyMountOf(p.root);
      for (const args of [['images'], ['ps']]) {
        const { status, stderr } = await run([...args, '--json', '--root', root]);
        expect({ status, warning: JSON.parse(stderr) }).toMatchObject({
          status: 0,
          warning: { warning: { code: 'RECORDS_GAP', details: { gap: 'older' } } },
        });
      }
      const empty = await openStore();
      await empty.close();
      rmSync(join(empty.root, 'generation'));
      expect(await run(['images', '--root', readOnlyMountOf(empty.root)])).toMatchObject({ status: 0, stderr: '' });
    }));

  it('that was closed when it was opened shows what is written later', () =>
    withUnmounting(async () => {
      const p = await openStore();
      await pullImages(p, { 'app:v1': image });
      await p.close();
      const root = readOnlyMountOf(p.root);
      await using looking = await Provisioner.open({ root });
      expect((await looking.images.get('app:v1')).names).toHaveLength(1);
      const writer = await openStore({ root: p.root });
      for (const name of ['two', 'three', 'four']) {
        await writer.images.tag('app:v1', name);
        expect((await looking.images.get(name)).names).toContain(`docker.io/library/${name}:latest`);
      }
      await writer.close();
      expect((await looking.images.get('app:v1')).names).toHaveLength(4);
      await expect(looking.images.tag('app:v1', 'x')).rejects.toMatchObject({ code: 'ERR_READ_ONLY' });
    }));

  it.each([
    ['with the log and its shared memory', ['', '-wal', '-shm']],
    ['with the log alone', ['', '-wal']],
  ])('shows what a killed process had recorded, %s', (_, kept) =>
    withUnmounting(async () => {
      const p = await openStore();
      await pullImages(p, { 'app:v1': image });
      await p.close();
      const killed = otherProcess(
        p.root,
        "await p.images.tag('app:v1', 'in-the-log'); say('tagged'); await sleep(60000);",
      );
      await killed.says('tagged');
      await killed.kill();
      const copy = join(temporaryDirectory(), 'store');
      cpSync(p.root, copy, { recursive: true, preserveTimestamps: true });
      chmodSync(copy, 0o700);
      for (const suffix of ['-wal', '-shm']) if (!kept.includes(suffix)) rmSync(join(copy, `metadata.sqlite${suffix}`));
      expect(lstatSync(join(copy, 'metadata.sqlite-wal')).size).toBeGreaterThan(0);
      await using looking = await Provisioner.open({ root: readOnlyMountOf(copy) });
      expect((await looking.images.get('in-the-log')).names).toHaveLength(2);
      expect((await looking.store.check()).sound).toBe(true);
    }),
  );

  it('that an older release made is read as if it had been brought up to date', () =>
    withUnmounting(async () => {
      const p = await openStore();
      await pullImages(p, { 'app:v1': image });
      await p.close();
      const file = join(p.root, 'metadata.sqlite');
      const { MIGRATIONS, migrate } = await import('#src/metadata/sqlite/migrations.js');
      rmSync(file);
      const old = sqliteDriver().open(file);
      migrate(old, file, MIGRATIONS.slice(0, 1));
      old.exec('PRAGMA journal_mode = WAL');
      chmodSync(file, 0o600);
      for (const isOpen of [true, false]) {
        if (!isOpen) old.close();
        await using looking = await Provisioner.open({ root: readOnlyMountOf(p.root) });
        expect(await looking.images.list()).toEqual([]);
        expect(await looking.containers.list()).toEqual([]);
      }
    }));
});

describeWith(needsOf('ext4'), 'a store on a disk that is mounted read-only', () => {
  it('is looked at, and the records are told when they are missing', async () => {
    const system = mountFileSystem('ext4', { bytes: 700 * 2 ** 20 });
    const p = await openStore({ root: join(system.path, 'store') });
    await pullImages(p, { 'app:v1': image });
    await p.close();
    execFileSync('mount', ['-o', 'remount,ro', system.path]);
    const looking = await Provisioner.open({ root: p.root });
    expect(await looking.images.list()).toHaveLength(1);
    expect((await looking.store.check({ full: true })).findings).toEqual([]);
    await looking.close();
    execFileSync('mount', ['-o', 'remount,rw', system.path]);
    copyFileSync(join(p.root, 'metadata.sqlite'), join(system.path, 'kept'));
    rmSync(join(p.root, 'metadata.sqlite'));
    execFileSync('mount', ['-o', 'remount,ro', system.path]);
    await expect(Provisioner.open({ root: p.root })).rejects.toMatchObject({ code: 'ERR_READ_ONLY' });
    execFileSync('mount', ['-o', 'remount,rw', system.path]);
    expect(readdirSync(p.root)).not.toContain('metadata.sqlite');
  });

  it('becomes so under an agent, which says so', async () => {
    const system = mountFileSystem('ext4', { bytes: 700 * 2 ** 20 });
    const p = await openStore({ root: join(system.path, 'store') });
    await pullImages(p, { 'app:v1': image });
    // As after an error of the disk, from which files that are open do not keep the kernel.
    execFileSync('mount', ['-o', 'remount,abort', system.path]);
    for (const writing of [
      () => p.provision('job-1', 'app:v1', { backend: 'copy' }),
      () => p.images.tag('app:v1', 'more'),
      () => p.images.pull(APP_V1),
    ]) {
      await expect(writing()).rejects.toMatchObject({ code: 'ERR_READ_ONLY' });
    }
    expect(await p.images.list()).toHaveLength(1);
    expect((await p.images.get('app:v1')).names).toHaveLength(1);
  });
});

describeWith(['root'], 'a store that its user may read, and not write', () => {
  it('is looked at, says ERR_READ_ONLY to the rest, and how that is changed', async () => {
    const user = 65534;
    const { run, root } = newStore();
    chownSync(join(root, '..'), user, user);
    const as = (args: readonly string[]) => run([...args, '--json'], { uid: user, env: { HOME: '/nonexistent' } });
    expect(await as(['pull', APP_V1, '--name', 'app:v1'])).toMatchObject({ status: 0 });
    execFileSync('find', [root, '-maxdepth', '1', '-exec', 'chmod', 'u-w', '{}', '+']);
    const before = listing(root);
    for (const args of READING) expect([args, await as(args)]).toMatchObject([args, { status: 0, stderr: '' }]);
    const { status, stderr } = await as(['prune']);
    expect({ status, stderr }).toMatchObject({ status: 1, stderr: expect.stringMatching(/ERR_READ_ONLY.*chmod u\+w/) });
    expect(listing(root)).toBe(before);
  });

  it('is one that was made immutable, to root too', async () => {
    const system = mountFileSystem('tmpfs');
    const p = await openStore({ root: join(system.path, 'store') });
    await pullImages(p, { 'app:v1': image });
    await p.close();
    execFileSync('chattr', ['+i', p.root]);
    try {
      await using looking = await Provisioner.open({ root: p.root });
      expect(await looking.images.list()).toHaveLength(1);
      await expect(looking.pruneImages()).rejects.toMatchObject({
        code: 'ERR_READ_ONLY',
        hint: expect.stringContaining('lsattr'),
      });
    } finally {
      execFileSync('chattr', ['-i', p.root]);
    }
  });
});
