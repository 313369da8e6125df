import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Provisioner } from '#src/index.js';
import { buildImage, buildLayer } from '../../helpers/image-builder.js';
import { layoutOf, namesIn, openMemoryStore, temporaryDirectory } from '../../helpers/memory-store.js';

const IMAGE = buildImage([buildLayer([{ path: 'data/' }, { path: 'data/file', content: 'of the image' }])]);

/** A container, and what it has at `/data`. */
async function container(p: Provisioner, id = 'job') {
  const made = await p.provision(id, await layoutOf(IMAGE));
  return { user: { containerId: id, id: made.rootfsId }, from: join(made.rootfs, 'data') };
}

describe('a volume', () => {
  it('is made empty, told with its directory, and removed with what is in it', async () => {
    const p = await openMemoryStore({ owner: 'me' });
    const made = await p.volumes.create('data', { a: 'b' });
    const mountpoint = join(p.root, 'volumes', 'data');
    expect(made).toMatchObject({
      name: 'data',
      owner: 'me',
      mountpoint,
      labels: { a: 'b' },
      containers: [],
      state: 'new',
    });
    expect(readdirSync(mountpoint)).toEqual([]);
    expect(await p.volumes.create('data')).toEqual(made);
    expect(await p.volumes.list()).toEqual([made]);
    expect(await p.volumes.get('data')).toEqual(made);
    mkdirSync(join(mountpoint, 'directory'));
    await p.volumes.remove('data');
    expect(existsSync(mountpoint)).toBe(false);
    expect(await p.volumes.list()).toEqual([]);
    await expect(p.volumes.measure('data')).rejects.toMatchObject({ code: 'ERR_VOLUME_NOT_FOUND' });
  });

  it('that is new is filled with what the image has, once', async () => {
    const p = await openMemoryStore();
    const { user, from } = await container(p);
    const wish = { name: 'data', readOnly: false, from };
    const [directory = ''] = await p.volumes.use(user, [wish]);
    expect(readFileSync(join(directory, 'file'), 'utf8')).toBe('of the image');
    expect(await p.volumes.get('data')).toMatchObject({ state: 'ready', containers: ['job'] });
    expect(namesIn(p, 'staging')).toEqual([]);
    rmSync(join(directory, 'file'));
    await p.volumes.use(user, [wish]);
    expect(readdirSync(directory)).toEqual([]);
  });

  it('in which somebody has put something stays as it is', async () => {
    const p = await openMemoryStore();
    const { user, from } = await container(p);
    const { mountpoint } = await p.volumes.create('data');
    writeFileSync(join(mountpoint, 'mine'), '');
    await p.volumes.use(user, [{ name: 'data', readOnly: false, from }]);
    expect(readdirSync(mountpoint)).toEqual(['mine']);
    expect(await p.volumes.get('data')).toMatchObject({ state: 'ready' });
  });

  it('that cannot be filled is as it was, and the next one fills it', async () => {
    const p = await openMemoryStore();
    const { user, from } = await container(p);
    const broken = join(temporaryDirectory(), 'file');
    writeFileSync(broken, '');
    const wish = { name: 'data', readOnly: false };
    await expect(p.volumes.use(user, [{ ...wish, from: broken }])).rejects.toThrow();
    expect(await p.volumes.get('data')).toMatchObject({ state: 'new' });
    expect(namesIn(p, 'staging')).toEqual([]);
    const [directory = ''] = await p.volumes.use(user, [{ ...wish, from }]);
    expect(readdirSync(directory)).toEqual(['file']);
  });

  it('that a container has is not removed, whether anything runs there or not, until it is destroyed', async () => {
    const p = await openMemoryStore();
    const { user } = await container(p);
    await p.volumes.use(user, [{ name: 'data', readOnly: false }]);
    await expect(p.volumes.remove('data')).rejects.toMatchObject({
      code: 'ERR_VOLUME_IN_USE',
      details: { containers: ['job'] },
    });
    await p.destroy('job');
    await p.volumes.remove('data');
  });

  it('is made and filled by one of several who want it at once', async () => {
    const p = await openMemoryStore();
    const users = await Promise.all(['a', 'b', 'c', 'd'].map((id) => container(p, id)));
    const directories = await Promise.all(
      users.map(({ user, from }) => p.volumes.use(user, [{ name: 'data', readOnly: false, from }])),
    );
    expect(new Set(directories.flat()).size).toBe(1);
    expect(readdirSync(directories[0]?.[0] ?? '')).toEqual(['file']);
    expect(await p.volumes.get('data')).toMatchObject({ containers: ['a', 'b', 'c', 'd'], state: 'ready' });
  });

  for (const state of ['new', 'ready'] as const) {
    it(`that is ${state} and has something else in the place of its directory is told, and neither mounted nor written`, async () => {
      const p = await openMemoryStore();
      const { user, from } = await container(p);
      const { mountpoint } = await p.volumes.create('data');
      const wish = { name: 'data', readOnly: false, from };
      if (state === 'ready') await p.volumes.use(user, [wish]);
      const elsewhere = temporaryDirectory();
      const puts = [
        () => symlinkSync(elsewhere, mountpoint),
        () => symlinkSync(join(elsewhere, 'nowhere'), mountpoint),
        () => writeFileSync(mountpoint, ''),
      ];
      for (const put of puts) {
        rmSync(mountpoint, { recursive: true, force: true });
        put();
        const damaged = { code: 'ERR_STORE_DAMAGED', message: expect.stringContaining('the volume data') };
        await expect(p.volumes.use(user, [wish])).rejects.toMatchObject(damaged);
        await expect(p.volumes.create('data')).rejects.toMatchObject(damaged);
        expect((await p.store.check()).findings).toMatchObject([{ code: 'VOLUME_REPLACED', severity: 'damage' }]);
      }
      expect(readdirSync(elsewhere)).toEqual([]);
      expect(await p.volumes.get('data')).toMatchObject({ state });
      await p.destroy('job');
      await p.volumes.remove('data');
      await p.store.swept();
      expect((await p.store.check()).findings).toEqual([]);
      expect(existsSync(elsewhere)).toBe(true);
    });
  }

  it('is not made where something else has the place of its directory', async () => {
    const p = await openMemoryStore();
    const { mountpoint } = await p.volumes.create('other');
    symlinkSync('/', join(mountpoint, '..', 'data'));
    await expect(p.volumes.create('data')).rejects.toMatchObject({ code: 'ERR_STORE_DAMAGED' });
    expect((await p.volumes.list()).map(({ name }) => name)).toEqual(['other']);
  });

  it('whose directory has gone is told, and not made anew with nothing in it', async () => {
    const p = await openMemoryStore();
    const { user } = await container(p);
    const wish = { name: 'data', readOnly: false };
    const [directory = ''] = await p.volumes.use(user, [wish]);
    rmSync(directory, { recursive: true });
    await expect(p.volumes.use(user, [wish])).rejects.toMatchObject({ code: 'ERR_STORE_DAMAGED' });
    expect(await p.store.check()).toMatchObject({
      findings: [{ code: 'VOLUME_MISSING', severity: 'damage' }],
      sound: false,
    });
    await p.destroy('job');
    await p.volumes.remove('data');
    expect((await p.store.check()).findings).toEqual([]);
  });

  it('that no record names is told, and taken over as it is by whoever makes one of that name', async () => {
    const p = await openMemoryStore();
    const { mountpoint } = await p.volumes.create('data');
    writeFileSync(join(mountpoint, '..', 'file'), '');
    mkdirSync(join(mountpoint, '..', 'old', 'kept'), { recursive: true });
    symlinkSync('/', join(mountpoint, '..', '.link'));
    const { findings } = await p.store.check();
    expect(findings.map(({ code, subject }) => [code, subject.slice(p.root.length)]).sort()).toEqual([
      ['FOREIGN_FILE', '/volumes/.link'],
      ['FOREIGN_FILE', '/volumes/file'],
      ['VOLUME_UNRECORDED', '/volumes/old'],
    ]);
    await p.recover();
    await p.pruneImages();
    await p.volumes.create('old');
    const { user } = await container(p);
    const [directory = ''] = await p.volumes.use(user, [{ name: 'old', readOnly: false }]);
    expect(readdirSync(directory)).toEqual(['kept']);
  });

  it('without a name is the same for a root filesystem and target each time, and goes with it', async () => {
    const p = await openMemoryStore();
    const { user, from } = await container(p);
    const first = await p.volumes.anonymous(user, '/data', from);
    const other = await p.volumes.anonymous(user, '/other');
    expect(other).not.toBe(first);
    writeFileSync(join(first, 'mine'), '');
    expect(await p.volumes.anonymous(user, '/data', from)).toBe(first);
    expect(readdirSync(first).sort()).toEqual(['file', 'mine']);
    expect(await p.volumes.list()).toEqual([]);
    expect((await p.store.check()).findings).toEqual([]);
    await p.destroy('job');
    expect(namesIn(p, 'containers')).toEqual([]);
    await expect(p.volumes.anonymous(user, '/data')).rejects.toMatchObject({ code: 'ERR_CONTAINER_GONE' });
  });

  it.each(['', '.hidden', 'a/b', 'a b', '-a', '_a', 'ä', 'a'.repeat(256), '..'])(
    'cannot be called %j',
    async (name) => {
      const p = await openMemoryStore();
      const refused = { code: 'ERR_BAD_OPTION' };
      await expect(p.volumes.create(name)).rejects.toMatchObject(refused);
      await expect(p.volumes.remove(name)).rejects.toMatchObject(refused);
      const user = { containerId: 'job', id: 'r1' };
      await expect(p.volumes.use(user, [{ name, readOnly: false }])).rejects.toMatchObject(refused);
      expect(await p.volumes.list()).toEqual([]);
    },
  );

  it.each(['a', '0', 'A_.-', 'a'.repeat(255)])('may be called %s', async (name) => {
    const p = await openMemoryStore();
    const { mountpoint } = await p.volumes.create(name);
    writeFileSync(join(mountpoint, 'file'), '');
    await p.volumes.remove(name);
    expect(existsSync(mountpoint)).toBe(false);
  });
});
