import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { Provisioner } from '#src/index.js';
import { mountsBelow } from '#src/system/syscalls/mounts/mount-table.js';
import { buildImage, buildLayer, writeOciLayout } from '../../native-free-tests/helpers/image-builder.js';
import { otherProcess } from '../helpers/other-process.js';
import { describeWith } from '../helpers/requirements.js';
import { openStore, pullImages, temporaryDirectory } from '../helpers/test-store.js';

const app = buildImage([buildLayer([{ path: 'app', content: 'v1' }])]);
const BACKENDS = ['overlay', 'copy'] as const;

async function two(): Promise<readonly [Provisioner, Provisioner]> {
  const one = await openStore({ owner: 'one' });
  await pullImages(one, { app });
  return [one, await openStore({ root: one.root, owner: 'two' })];
}

const foreign = (containerId: string, owner: string) => ({
  code: 'ERR_CONTAINER_FOREIGN',
  message: expect.stringContaining(containerId),
  details: { containerId, owner },
});

/** What stands on disk and in the records of a store, and what is mounted. */
async function everything(p: Provisioner) {
  const files = readdirSync(join(p.root, 'containers'), { recursive: true, encoding: 'utf8' }).sort();
  return { files, mounts: mountsBelow(p.root), containers: await p.containers.list(), images: await p.images.list() };
}

describeWith(['root', 'overlay'], 'a container of another owner', () => {
  test.each(BACKENDS)(
    'gets no rootfs and is not destroyed, nothing is left of the attempt, and its owner recovers as before (%s)',
    async (backend) => {
      const [one, other] = await two();
      const { rootfs } = await one.provision('job', 'app', { backend });
      const before = await everything(one);
      const layout = join(temporaryDirectory(), 'layout');
      await writeOciLayout(layout, [{ image: buildImage([buildLayer([{ path: 'new' }])]), refName: 'new' }]);
      // Nothing is pulled for it either.
      for (const image of ['app', `oci:${layout}`]) {
        await expect(other.provision('job', image, { backend })).rejects.toMatchObject(foreign('job', 'one'));
      }
      await expect(other.destroy('job')).rejects.toMatchObject(foreign('job', 'one'));
      expect(await everything(one)).toEqual(before);
      expect((await other.containers.list()).map(({ id, owner }) => [id, owner])).toEqual([['job', 'one']]);
      expect((await other.recover({ knownContainerIds: [] })).destroyed).toEqual([]);
      expect(readFileSync(join(rootfs, 'app'), 'utf8')).toBe('v1');
      expect(await one.destroy('job')).toBe(true);
      // The name is free now.
      await other.provision('job', 'app', { backend });
      await expect(one.destroy('job')).rejects.toMatchObject(foreign('job', 'two'));
    },
  );

  test.each(BACKENDS)(
    'is changed by who says that the owner does not matter, and stays that one’s (%s)',
    async (backend) => {
      const [one, other] = await two();
      await one.provision('job', 'app', { backend });
      await other.provision('job', 'app', { backend, anyOwner: true });
      expect((await one.containers.list()).map(({ id, owner, rootfses }) => [id, owner, rootfses.length])).toEqual([
        ['job', 'one', 2],
      ]);
      expect(await other.destroy('job', { anyOwner: true })).toBe(true);
      expect(await one.containers.list()).toEqual([]);
    },
  );

  test('in it keeps a container from being destroyed, and nothing of either has gone', async () => {
    const [one, other] = await two();
    for (const id of ['pod', 'pod/mine']) await one.provision(id, 'app');
    await other.provision('pod/theirs', 'app');
    const before = await everything(one);
    await expect(one.destroy('pod')).rejects.toMatchObject(foreign('pod/theirs', 'two'));
    await expect(other.destroy('pod')).rejects.toMatchObject(foreign('pod', 'one'));
    expect(await everything(one)).toEqual(before);
    expect(await one.destroy('pod/mine')).toBe(true);
    expect(await other.destroy('pod/theirs')).toBe(true);
    expect(await one.destroy('pod')).toBe(true);
    for (const id of ['pod', 'pod/mine']) await one.provision(id, 'app');
    await other.provision('pod/theirs', 'app');
    expect(await one.destroy('pod', { anyOwner: true })).toBe(true);
    expect(await one.containers.list()).toEqual([]);
  });

  test('goes to one of two owners in two processes that want a new one of the same name at the same time', async () => {
    const [one] = await two();
    const at = Date.now() + 1500;
    const body = (backend: string) => `
      const made = [], errors = new Set();
      await sleep(${at} - Date.now());
      for (let n = 0; n < 40; n++) {
        try { await p.provision('job-' + n, 'app', { backend: n % 2 ? '${backend}' : 'overlay' }); made.push(n); }
        catch (error) { errors.add(error.code); }
      }
      say(JSON.stringify([made, [...errors]])); await p.close();`;
    const others = ['one', 'two'].map((owner) => otherProcess(one.root, body('copy'), { owner }));
    const outcomes = await Promise.all(
      others.map(async ({ done }) => JSON.parse((await done)[0] ?? '') as [number[], string[]]),
    );
    const made = outcomes.flatMap(([numbers]) => numbers);
    expect(made.sort((a, b) => a - b)).toEqual(Array.from({ length: 40 }, (_, n) => n));
    for (const [, errors] of outcomes) expect(errors.every((code) => code === 'ERR_CONTAINER_FOREIGN')).toBe(true);
    const containers = await one.containers.list();
    expect(containers.map(({ rootfses }) => rootfses.length)).toEqual(Array(40).fill(1));
    const rootfses = containers.flatMap((container) => container.rootfses.map(({ rootfs }) => rootfs));
    expect(rootfses.filter((rootfs) => !existsSync(join(rootfs, 'app')))).toEqual([]);
    // Of the refused ones nothing is left, neither directory nor mount.
    expect((await one.store.check()).findings).toEqual([]);
    expect((await one.recover()).retired).toEqual([]);
  });
});
