import { copyFileSync, existsSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { expect, test } from 'vitest';
import type { Provisioner } from '#src/index.js';
import { buildImage, buildLayer } from '../../native-free-tests/helpers/image-builder.js';
import { otherProcess } from '../helpers/other-process.js';
import { describeWith } from '../helpers/requirements.js';
import { expectNoContainers, openStore, pullImages, temporaryDirectory } from '../helpers/test-store.js';

const base = buildLayer([{ path: 'etc/' }, { path: 'etc/name', content: 'base' }]);
const old = buildImage([base, buildLayer([{ path: 'app', content: 'old' }])]);
const live = buildImage([base, buildLayer([{ path: 'app', content: 'live' }])]);

const records = (root: string) => ['', '-wal', '-shm'].map((suffix) => join(root, `metadata.sqlite${suffix}`));

/** Copies the records of a store that is in use, does something to it, closes it, and puts the copy back. */
async function rollBack(p: Provisioner, later: () => Promise<void>): Promise<void> {
  const backup = temporaryDirectory();
  const copies = records(p.root).filter((path) => existsSync(path) && !path.endsWith('-shm'));
  for (const path of copies) copyFileSync(path, join(backup, basename(path)));
  await later();
  await p.close();
  for (const path of records(p.root)) rmSync(path, { force: true });
  for (const path of copies) copyFileSync(join(backup, basename(path)), path);
}

describeWith(['root', 'overlay'], 'records that were put back from a backup while containers are in use', () => {
  test.each([
    ['overlay', 'is mounted'],
    ['copy', 'is a copy'],
  ] as const)('made by %s: nothing of them is touched, and each command says so', async (backend, use) => {
    const first = await openStore();
    await pullImages(first, { 'old:1': old });
    const { root } = first;
    const agent = await openStore({ root, owner: 'agent2' });
    let rootfs = '';
    await rollBack(first, async () => {
      await pullImages(agent, { 'live:1': live });
      rootfs = (await agent.provision('live', 'live:1', { backend })).rootfs;
      await agent.close();
    });
    const isWhole = () => {
      expect(readFileSync(join(rootfs, 'app'), 'utf8')).toBe('live');
      expect(readFileSync(join(rootfs, 'etc/name'), 'utf8')).toBe('base');
      expect(readdirSync(join(root, 'layers'))).toHaveLength(3);
    };
    const p = await openStore({ root });
    const untrusted = { code: 'ERR_CONTAINER_UNTRUSTED', message: expect.stringMatching(/older than the store.*live/) };
    await expect(p.pruneImages()).rejects.toMatchObject(untrusted);
    isWhole();
    const { findings } = await p.store.check({ repair: true });
    expect(findings).toContainEqual(expect.objectContaining({ code: 'RECORDS_INCOMPLETE', severity: 'note' }));
    const kept = findings.find(({ code }) => code === 'LAYER_UNRECORDED');
    expect(kept?.outcome).toMatchObject({ state: 'failed', message: expect.stringContaining('older than the store') });
    isWhole();
    for (const _ of ['first', 'again']) {
      const report = await p.recover({ knownContainerIds: [] });
      expect(report).toMatchObject({ recordsGap: 'older', retired: [], destroyed: [] });
      expect(report.untrusted).toEqual([{ containerId: 'live', reason: expect.stringContaining(use) }]);
      expect(report.kept).toMatchObject([{ reason: expect.stringContaining('older than the store') }]);
      await p.store.swept();
      isWhole();
    }
    // What is pulled again takes no layer from under it.
    await pullImages(p, { 'live:2': live });
    await p.store.swept();
    expect(readFileSync(join(rootfs, 'app'), 'utf8')).toBe('live');
    expect(await p.destroy('live')).toBe(true);
    await expectNoContainers(p);
    expect(await p.recover()).toMatchObject({ recordsGap: 'older', untrusted: [] });
    expect(await p.recover()).toMatchObject({ recordsGap: null, untrusted: [] });
    await p.pruneImages();
    await p.store.swept();
    expect([...readdirSync(join(root, 'layers')), ...readdirSync(join(root, 'gc'))]).toEqual([]);
  });

  test('of before a pull: one recovery tells that, and takes the layers that no record names', async () => {
    const first = await openStore();
    await pullImages(first, { 'old:1': old });
    await rollBack(first, () => pullImages(first, { 'live:1': live }));
    const p = await openStore({ root: first.root });
    await expect(p.pruneImages()).rejects.toMatchObject({ hint: expect.stringContaining('provisioner recover') });
    const report = await p.recover();
    expect(report).toMatchObject({ recordsGap: 'older', untrusted: [], kept: [] });
    expect(report.retired).toHaveLength(1);
    expect(await p.pruneImages(['old:1'])).toMatchObject({ bytesFreed: 0 });
  });

  test('a crash between a mount and its record is none of that: recovery takes it away', async () => {
    const p = await openStore();
    await pullImages(p, { 'old:1': old });
    const dying = otherProcess(p.root, `await p.provision('half', 'old:1');`, { crashAt: 'provision.made' });
    await dying.done;
    expect(readdirSync(join(p.root, 'containers'))).toEqual(['half']);
    const report = await p.recover();
    expect(report).toMatchObject({ recordsGap: null, untrusted: [] });
    expect(report.retired).toHaveLength(1);
    await expectNoContainers(p);
  });
});

describeWith(['root', 'overlay'], 'an agent whose records or lock go while it lives', () => {
  const damaged = (path: string) => ({
    code: 'ERR_STORE_DAMAGED',
    message: expect.stringContaining(path),
    hint: expect.stringContaining('end every process'),
  });

  test('does nothing to what others have made since with records of their own', async () => {
    const agent = await openStore();
    await pullImages(agent, { 'old:1': old });
    const { root } = agent;
    const mine = (await agent.provision('mine', 'old:1')).rootfs;
    for (const path of records(root)) rmSync(path, { force: true });
    const p = await openStore({ root });
    await pullImages(p, { 'live:1': live });
    const theirs = (await p.provision('mine', 'live:1')).rootfs;
    for (const call of [
      () => agent.recover({ knownContainerIds: [] }),
      () => agent.pruneImages(),
      () => agent.pruneImages([], { dryRun: true }),
      () => agent.store.check({ repair: true }),
      () => agent.destroy('mine'),
      () => agent.images.remove('old:1'),
      () => agent.provision('new', 'old:1'),
      () => agent.recover(),
    ]) {
      await expect(call(), String(call)).rejects.toMatchObject(damaged('metadata.sqlite'));
      expect(readFileSync(join(theirs, 'app'), 'utf8')).toBe('live');
    }
    expect(readdirSync(join(root, 'containers'))).toEqual(['mine']);
    await agent.close();
    expect(existsSync(mine)).toBe(true);
    expect(readFileSync(join(theirs, 'etc/name'), 'utf8')).toBe('base');
    expect(await p.destroy('mine')).toBe(true);
    await expectNoContainers(p);
  });

  test.each([
    ['deleted', (lock: string) => rmSync(lock)],
    [
      'replaced',
      (lock: string) => {
        copyFileSync(lock, `${lock}.other`);
        renameSync(`${lock}.other`, lock);
      },
    ],
  ] as const)('removes nothing when it was the lock that was %s', async (_, go) => {
    const agent = await openStore();
    await pullImages(agent, { 'old:1': old });
    const { rootfs } = await agent.provision('job', 'old:1');
    go(join(agent.root, 'lock'));
    await expect(agent.recover({ knownContainerIds: [] })).rejects.toMatchObject(damaged('lock'));
    await expect(agent.pruneImages()).rejects.toMatchObject(damaged('lock'));
    expect(readFileSync(join(rootfs, 'app'), 'utf8')).toBe('old');
    expect(await agent.images.list()).toHaveLength(1);
    await agent.close();
    const p = await openStore({ root: agent.root });
    expect(await p.destroy('job')).toBe(true);
    await expectNoContainers(p);
  });
});
