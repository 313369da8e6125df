import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Provisioner } from '#src/index.js';
import { buildImage, buildLayer } from '../../native-free-tests/helpers/image-builder.js';
import { newStore } from '../cli/run-cli.js';
import { unmountAll } from '../helpers/reboot.js';
import { describeWith } from '../helpers/requirements.js';
import { expectNoContainers, openStore, pullImages } from '../helpers/test-store.js';
import { Driver } from '../metadata/sqlite-files.js';

const base = buildLayer([{ path: 'etc/' }, { path: 'etc/name', content: 'base' }]);
const v1 = buildImage([base, buildLayer([{ path: 'app', content: 'v1' }])]);
const v2 = buildImage([base, buildLayer([{ path: 'app', content: 'v2' }])]);

/** A closed store with a mounted container each, made of `app:v1`. @returns its root, and the rootfses */
async function closedStore(...containers: string[]): Promise<{ root: string; rootfses: string[] }> {
  const p = await openStore();
  await pullImages(p, { 'app:v1': v1 });
  const rootfses: string[] = [];
  for (const id of containers) rootfses.push((await p.provision(id, 'app:v1')).rootfs);
  await p.close();
  return { root: p.root, rootfses };
}

function lose(root: string, how: 'deleted' | 'emptied' = 'deleted'): void {
  const file = join(root, 'metadata.sqlite');
  if (how === 'emptied') writeFileSync(file, '');
  else for (const suffix of ['', '-wal', '-shm']) rmSync(file + suffix, { force: true });
}

describeWith(['root', 'overlay'], 'records that were moved away under a living agent', () => {
  test('are as they were when they are put back, whichever command has been tried meanwhile', async () => {
    const p = await openStore();
    await pullImages(p, { 'app:v1': v1 });
    await p.provision('job', 'app:v1');
    const file = join(p.root, 'metadata.sqlite');
    renameSync(file, `${file}.away`);
    await expect(p.images.list()).rejects.toMatchObject({ code: 'ERR_STORE_DAMAGED' });
    await p.close();
    for (const create of [true, false]) {
      await expect(Provisioner.open({ root: p.root, create })).rejects.toMatchObject({
        code: 'ERR_STORE_DAMAGED',
        details: { path: file, log: `${file}-wal` },
      });
    }
    renameSync(`${file}.away`, file);
    const again = await openStore({ root: p.root });
    expect((await again.containers.list()).map(({ id }) => id)).toEqual(['job']);
    expect(await again.recover()).toMatchObject({ recordsGap: null, retired: [] });
    expect(await again.destroy('job')).toBe(true);
    await expectNoContainers(again);
  });
});

describeWith(['root', 'overlay'], 'records that were lost while containers are mounted', () => {
  test.each(['deleted', 'emptied'] as const)(
    'by being %s: prune refuses and names them, until they are destroyed and the store is recovered',
    async (how) => {
      const { root, rootfses } = await closedStore('job', 'pod/nested');
      lose(root, how);
      const p = await openStore({ root });
      expect(await p.images.list()).toEqual([]);
      for (const attempt of [() => p.pruneImages(), () => p.pruneImages([], { dryRun: true })]) {
        await expect(attempt()).rejects.toMatchObject({
          code: 'ERR_CONTAINER_UNTRUSTED',
          message: expect.stringMatching(/lost.*job, pod\/nested/),
          details: { containers: ['job', 'pod/nested'] },
          hint: expect.stringContaining('recover'),
        });
      }
      const plan = { version: 1 as const, madeAt: 0, images: [], layers: [], bytes: 0 };
      await expect(p.store.applyPlan(plan)).rejects.toMatchObject({ code: 'ERR_CONTAINER_UNTRUSTED' });

      // A recovery does not take them for dead, since they may be in use.
      const first = await p.recover({ knownContainerIds: [] });
      expect(first.untrusted.map(({ containerId }) => containerId).sort()).toEqual(['job', 'pod/nested']);
      expect(first.retired).toEqual([]);
      for (const rootfs of rootfses) expect(readFileSync(join(rootfs, 'app'), 'utf8')).toBe('v1');
      expect(readFileSync(join(rootfses[0] as string, 'etc/name'), 'utf8')).toBe('base');
      await expect(p.pruneImages()).rejects.toMatchObject({ code: 'ERR_CONTAINER_UNTRUSTED' });

      expect(await p.destroy('pod')).toBe(true);
      expect((await p.recover()).untrusted.map(({ containerId }) => containerId)).toEqual(['job']);
      expect(await p.destroy('job')).toBe(true);
      expect(await p.destroy('job')).toBe(false);
      await expectNoContainers(p);
      const last = await p.recover();
      expect(last.untrusted).toEqual([]);
      expect(last.retired).toHaveLength(2);
      expect(await p.pruneImages()).toMatchObject({ layers: [] });
      await p.store.swept();
      expect([...readdirSync(join(root, 'layers')), ...readdirSync(join(root, 'gc'))]).toEqual([]);
    },
  );

  test('a pull of the same image does not take the layers from under them', async () => {
    const { root, rootfses } = await closedStore('job');
    lose(root);
    const p = await openStore({ root });
    await pullImages(p, { 'app:v1': v1, 'app:v2': v2 });
    await p.store.swept();
    const rootfs = rootfses[0] as string;
    expect(readdirSync(join(rootfs, 'etc'))).toEqual(['name']);
    expect(readFileSync(join(rootfs, 'etc/name'), 'utf8')).toBe('base');
    expect(readFileSync(join(rootfs, 'app'), 'utf8')).toBe('v1');
    // What was pulled is as good as ever.
    const made = await p.provision('job-2', 'app:v2');
    expect(readFileSync(join(made.rootfs, 'app'), 'utf8')).toBe('v2');
    expect(readFileSync(join(made.rootfs, 'etc/name'), 'utf8')).toBe('base');
    // Only what no record names is asked to be destroyed.
    await expect(p.pruneImages()).rejects.toMatchObject({ details: { containers: ['job'] } });
    expect((await p.recover({ knownContainerIds: ['job-2'] })).untrusted).toMatchObject([{ containerId: 'job' }]);
    expect(readFileSync(join(rootfs, 'app'), 'utf8')).toBe('v1');
    await p.destroy('job');
    expect((await p.recover({ knownContainerIds: ['job-2'] })).untrusted).toEqual([]);
    await p.pruneImages();
    expect(readFileSync(join(made.rootfs, 'app'), 'utf8')).toBe('v2');
    await p.destroy('job-2');
    await expectNoContainers(p);
  });

  test('a destroy takes both what is recorded and what is not', async () => {
    const { root } = await closedStore('job');
    lose(root);
    const p = await openStore({ root });
    await pullImages(p, { 'app:v1': v1 });
    await p.provision('job', 'app:v1');
    expect(await p.destroy('job')).toBe(true);
    await expectNoContainers(p);
    expect((await p.recover()).untrusted).toEqual([]);
  });

  test('after a reboot nothing is mounted: one recovery clears everything', async () => {
    const { root } = await closedStore('job');
    await unmountAll(root);
    lose(root);
    const p = await openStore({ root });
    await expect(p.pruneImages()).rejects.toMatchObject({
      code: 'ERR_CONTAINER_UNTRUSTED',
      hint: expect.stringContaining('provisioner recover'),
      details: { containers: [] },
    });
    const report = await p.recover();
    expect(report.untrusted).toEqual([]);
    await expectNoContainers(p);
    await p.pruneImages();
    await p.store.swept();
    expect([...readdirSync(join(root, 'layers')), ...readdirSync(join(root, 'gc'))]).toEqual([]);
  });
});

describeWith(['root', 'overlay'], 'records that do not tell everything', () => {
  const LOOKS: Readonly<Record<string, (p: Provisioner) => Promise<unknown>>> = {
    'a list of images': (p) => p.images.list(),
    'an image that is not found': (p) => p.images.get('app:v1').catch(() => undefined),
    'a list of containers': (p) => p.containers.list(),
    'a container that is not found': (p) => p.containers.get('job'),
    'what keeps an image': (p) => p.store.why('app:v1').catch(() => undefined),
    'the disk use': (p) => p.store.usage(),
    'what the store is': (p) => p.store.info(),
  };
  const listen = (p: Provisioner) => {
    const told: unknown[] = [];
    p.events.on('warning', (warning) => told.push(warning));
    return told;
  };

  test.each(Object.keys(LOOKS))('are told once, with what to do, when %s is asked for', async (look) => {
    const { root } = await closedStore('job');
    lose(root);
    const p = await openStore({ root });
    const told = listen(p);
    await Promise.all([LOOKS[look]?.(p), LOOKS[look]?.(p)]);
    for (const again of Object.values(LOOKS)) await again(p);
    expect(told).toEqual([
      {
        code: 'RECORDS_GAP',
        message: expect.stringMatching(/lost.*provisioner recover/),
        details: { path: join(root, 'metadata.sqlite'), gap: 'lost' },
      },
    ]);
    await p.destroy('job');
    await p.recover();
    const after = await openStore({ root });
    const silence = listen(after);
    for (const again of Object.values(LOOKS)) await again(after);
    expect(silence).toEqual([]);
  });

  test('are told by the commands that list what is stored, and these do their work', async () => {
    const { root } = await closedStore('job');
    const { run } = newStore();
    for (const args of [['images'], ['ps']]) {
      expect(await run([...args, '--root', root])).toMatchObject({ status: 0, stderr: '' });
    }
    lose(root);
    for (const args of [['images'], ['ps'], ['df'], ['info']]) {
      const { status, stderr } = await run([...args, '--root', root]);
      expect({ args, status, stderr }).toMatchObject({
        status: 0,
        stderr: expect.stringMatching(/^warning: the records of this store were lost.*provisioner recover.*\n$/),
      });
      expect(await run([...args, '--quiet', '--root', root])).toMatchObject({ status: 0, stderr: '' });
    }
    const p = await openStore({ root });
    expect(await p.destroy('job')).toBe(true);
  });
});

describeWith(['root', 'overlay'], 'records that cannot be read', () => {
  test.each<[string, (file: string) => void, string]>([
    ['are garbage', (file) => writeFileSync(file, 'no records at all\n'.repeat(500)), 'ERR_STORE_DAMAGED'],
    [
      'are half of what they were',
      (file) => writeFileSync(file, readFileSync(file).subarray(0, 5000)),
      'ERR_STORE_DAMAGED',
    ],
    [
      'are of a newer version',
      (file) => {
        const database = new Driver(file);
        database.pragma('user_version = 4711');
        database.close();
      },
      'ERR_STORE_FORMAT',
    ],
  ])('because they %s are refused with their path and a hint, and nothing is touched', async (_, damage, code) => {
    const { root, rootfses } = await closedStore('job');
    const file = join(root, 'metadata.sqlite');
    const sound = readFileSync(file);
    damage(file);
    const damaged = readFileSync(file);
    const use = async () => {
      await using p = await Provisioner.open({ root });
      await p.recover();
    };
    await expect(use()).rejects.toMatchObject({
      code,
      message: expect.stringContaining(file),
      hint: expect.any(String),
    });
    expect(readFileSync(file).equals(damaged)).toBe(true);
    expect(readFileSync(join(rootfses[0] as string, 'app'), 'utf8')).toBe('v1');
    expect(readdirSync(join(root, 'layers'))).toHaveLength(2);
    for (const suffix of ['-wal', '-shm']) rmSync(file + suffix, { force: true });
    writeFileSync(file, sound);
    const p = await openStore({ root });
    expect(await p.destroy('job')).toBe(true);
    expect(existsSync(rootfses[0] as string)).toBe(false);
  });
});
