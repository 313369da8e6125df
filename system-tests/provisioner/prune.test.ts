import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { Provisioner } from '#src/index.js';
import { StorePaths } from '#src/paths.js';
import { buildImage, buildLayer, writeOciLayout } from '../../native-free-tests/helpers/image-builder.js';
import { otherLife } from '../helpers/other-life.js';
import { otherProcess } from '../helpers/other-process.js';
import { describeWith } from '../helpers/requirements.js';
import { expectNoContainers, openStore, pullImages, temporaryDirectory } from '../helpers/test-store.js';
import { Driver } from '../metadata/sqlite-files.js';

const base = buildLayer([{ path: 'etc/' }, { path: 'etc/name', content: 'base' }]);
const v1 = buildImage([base, buildLayer([{ path: 'app', content: 'v1' }])]);
const v2 = buildImage([base, buildLayer([{ path: 'app', content: 'v2' }])]);
const v3 = buildImage([base, buildLayer([{ path: 'app', content: 'v3' }])]);

async function threeImages(owner = 'one'): Promise<Provisioner> {
  const p = await openStore({ owner });
  await pullImages(p, { 'app:v1': v1, 'app:v2': v2, 'app:v3': v3 });
  return p;
}

/** `du -s` of a directory, in bytes. */
async function diskUse(directory: string): Promise<number> {
  const du = spawn('du', ['-s', '--block-size=1', directory], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [text] = (await once(du.stdout, 'data')) as [Buffer];
  return Number.parseInt(text.toString(), 10);
}

describeWith(['root', 'overlay'], 'a prune beside live containers', () => {
  test('takes what no container of any owner uses, frees what du says, and breaks none of them', async () => {
    const one = await threeImages();
    const two = await openStore({ root: one.root, owner: 'two' });
    const rootfses = [
      (await one.provision('mine', 'app:v1')).rootfs,
      (await two.provision('theirs', 'app:v2')).rootfs,
      (await two.provision('mine/theirs', 'app:v2', { backend: 'copy' })).rootfs,
    ];
    for (const name of ['app:v1', 'app:v2', 'app:v3']) await one.images.remove(name);
    const layers = join(one.root, 'layers');
    const before = await diskUse(layers);
    const report = await one.pruneImages();
    await one.store.swept();
    expect(before - (await diskUse(layers))).toBe(report.bytesFreed);
    expect(report.bytesFreed).toBeGreaterThan(0);
    expect(readdirSync(layers)).toHaveLength(3);
    for (const [index, content] of ['v1', 'v2', 'v2'].entries()) {
      expect(readFileSync(join(rootfses[index] as string, 'app'), 'utf8')).toBe(content);
      expect(readFileSync(join(rootfses[index] as string, 'etc/name'), 'utf8')).toBe('base');
    }
    await two.destroy('theirs');
    await two.destroy('mine', { anyOwner: true });
    await two.pruneImages();
    await two.store.swept();
    expect([...readdirSync(layers), ...readdirSync(join(one.root, 'gc'))]).toEqual([]);
    await expectNoContainers(one);
  });

  test('of another process takes nothing from a container that was provisioned since it looked', async () => {
    const p = await threeImages();
    const pruning = otherProcess(
      p.root,
      `say('going'); for (let i = 0; i < 200; i++) { await p.pruneImages(); await sleep(1); } await p.close();`,
    );
    await pruning.says('going');
    const layout = join(temporaryDirectory(), 'layout');
    await writeOciLayout(layout, [{ image: v1 }]);
    for (let round = 0; round < 40; round += 1) {
      const { rootfs } = await p.provision('job', `oci:${layout}`, { backend: round % 4 === 0 ? 'copy' : 'overlay' });
      expect(readFileSync(join(rootfs, 'app'), 'utf8')).toBe('v1');
      expect(readFileSync(join(rootfs, 'etc/name'), 'utf8')).toBe('base');
      expect(await p.destroy('job')).toBe(true);
    }
    await pruning.done;
    await expectNoContainers(p);
    await p.pruneImages();
    await p.store.swept();
    for (const directory of ['layers', 'gc', 'staging']) expect(readdirSync(join(p.root, directory))).toEqual([]);
  });

  test('of an agent that was killed in the middle is done again by the next one', async () => {
    for (const point of ['prune.decided', 'prune.oneMarked', 'prune.marked', 'prune.released']) {
      const p = await threeImages();
      const { rootfs } = await p.provision('job', 'app:v1');
      await otherProcess(p.root, `await p.pruneImages();`, { crashAt: point }).done;
      // A pull of what it was taking away waits for nobody, and gets it whole.
      await pullImages(p, { 'app:v2': v2 });
      const second = await p.provision('job', 'app:v2');
      expect(readFileSync(join(second.rootfs, 'app'), 'utf8')).toBe('v2');
      await p.pruneImages();
      await p.recover();
      await p.store.swept();
      expect(readFileSync(join(rootfs, 'app'), 'utf8')).toBe('v1');
      expect(readFileSync(join(second.rootfs, 'app'), 'utf8')).toBe('v2');
      expect([point, readdirSync(join(p.root, 'layers')).length]).toEqual([point, 3]);
      expect(readdirSync(join(p.root, 'gc'))).toEqual([]);
      await p.destroy('job');
    }
  });

  test('a pull that wants a layer which is just being taken away waits for that, and gets it anew', async () => {
    const p = await threeImages();
    const own = (await p.images.get('app:v2')).layers[1] as string;
    await p.pruneImages(['app:v1']);
    // As it is while another process renames: forgotten, and claimed by a living process.
    const holder = await otherLife(new StorePaths(p.root).alive);
    const database = new Driver(join(p.root, 'metadata.sqlite'));
    database.prepare('INSERT INTO layer_claim VALUES (?, ?)').run(own, holder.identity);
    database.close();
    let done = false;
    const pulling = pullImages(p, { 'app:v2': v2 }).then(() => {
      done = true;
    });
    await sleep(400);
    expect(done).toBe(false);
    // Neither does a prune meanwhile take what the pull needs and has.
    await p.pruneImages();
    expect(existsSync(join(p.root, 'layers', base.diffId.slice(7)))).toBe(true);
    await holder.kill();
    await pulling;
    expect(readFileSync(join((await p.provision('job', 'app:v2')).rootfs, 'app'), 'utf8')).toBe('v2');
    await p.destroy('job');
  });
});

describeWith(['root', 'overlay'], 'a rootfs that is busy', () => {
  test.each(['overlay', 'copy'] as const)(
    'by %s because a process has its working directory in it is destroyed all the same, and its space is swept',
    async (backend) => {
      const p = await threeImages();
      const { rootfs } = await p.provision('job', 'app:v1', { backend });
      writeFileSync(join(rootfs, 'mine'), 'x'.repeat(100_000));
      const busy = spawn('sleep', ['600'], { cwd: join(rootfs, 'etc'), stdio: 'ignore' });
      try {
        await once(busy, 'spawn');
        expect(await p.destroy('job')).toBe(true);
        await p.store.swept();
        expect(busy.exitCode).toBeNull();
        expect(existsSync(rootfs)).toBe(false);
        expect((await p.store.info()).gc).toEqual({ entries: 0, postponed: [] });
        await expectNoContainers(p);
      } finally {
        busy.kill('SIGKILL');
      }
    },
  );
});
