import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { Provisioner } from '#src/index.js';
import { buildImage, buildLayer } from '../helpers/image-builder.js';
import { layoutOf, namesIn, openMemoryStore } from '../helpers/memory-store.js';

const base = buildLayer([{ path: 'etc/' }, { path: 'etc/name', content: 'base' }]);
const v1 = buildImage([base, buildLayer([{ path: 'app', content: 'v1' }])]);
const v2 = buildImage([base, buildLayer([{ path: 'app', content: 'v2' }])]);
const other = buildImage([buildLayer([{ path: 'other', content: 'other' }])]);

async function threeImages(): Promise<Provisioner> {
  const p = await openMemoryStore();
  await p.images.pull(await layoutOf(v1), { name: 'app:v1' });
  await p.images.pull(await layoutOf(v2), { name: 'app:v2' });
  await p.images.pull(await layoutOf(other), { name: 'ghcr.io/me/other:stable' });
  return p;
}

async function names(p: Provisioner): Promise<string[]> {
  return (await p.images.list()).flatMap((image) => image.names).sort();
}

/** What is below the store accounts for the records. */
async function expectTidy(p: Provisioner): Promise<void> {
  await p.store.swept();
  const layers = new Set((await p.images.list()).flatMap((image) => image.layers));
  const active = (await p.containers.list()).flatMap(({ rootfses }) => rootfses.flatMap((rootfs) => rootfs.layers));
  expect(namesIn(p, 'layers').sort()).toEqual([...new Set([...layers, ...active])].map((id) => id.slice(7)).sort());
  expect([...namesIn(p, 'gc'), ...namesIn(p, 'staging')]).toEqual([]);
}

describe('pruneImages', () => {
  test('of an empty store takes nothing', async () => {
    const p = await openMemoryStore();
    expect(await p.pruneImages()).toMatchObject({ images: [], layers: [], bytesFreed: 0, dryRun: false });
  });

  test('keeps excluded, pinned and used images, and frees exactly what it says', async () => {
    const p = await threeImages();
    await p.provision('job', 'app:v1');
    const before = await p.store.info();
    const report = await p.pruneImages(['ghcr.io/me/*', 'none:v9']);
    expect(await names(p)).toEqual(['docker.io/library/app:v1', 'ghcr.io/me/other:stable']);
    expect(report.layers.filter(({ reasons }) => reasons.length === 0)).toHaveLength(1);
    expect((await p.store.info()).layers).toBe(before.layers - 1);
    await expectTidy(p);
    expect(readFileSync(join((await p.provision('job-2', 'app:v1')).rootfs, 'app'), 'utf8')).toBe('v1');

    const id = await p.images.pin('app:v1');
    for (const container of ['job', 'job-2']) await p.destroy(container);
    await p.pruneImages();
    expect((await p.images.list()).map((image) => image.id)).toEqual([id]);
    await p.images.unpin(id);
    await p.pruneImages();
    expect(await p.images.list()).toEqual([]);
    await expectTidy(p);
    expect(namesIn(p, 'layers')).toEqual([]);
  });

  test('keeps what a container uses though its image has lost all names, until the container is destroyed', async () => {
    const p = await threeImages();
    const { rootfs, image } = await p.provision('job/nested', 'app:v1');
    await p.images.remove(image.id);
    await p.pruneImages();
    expect(readFileSync(join(rootfs, 'app'), 'utf8')).toBe('v1');
    expect((await p.provision('another', image.id)).image.id).toBe(image.id);
    await p.destroy('job');
    await p.destroy('another');
    await p.pruneImages();
    await expectTidy(p);
    expect(namesIn(p, 'layers')).toEqual([]);
  });

  test('keeps by age and by size', async () => {
    const p = await threeImages();
    expect(
      (await p.pruneImages([], { keepUsedWithin: 60_000 })).layers.every(({ reasons }) => reasons.length > 0),
    ).toBe(true);
    const newest = await p.images.get('ghcr.io/me/other:stable');
    await p.pruneImages([], { keepBytes: newest.bytes });
    expect(await names(p)).toEqual(['ghcr.io/me/other:stable']);
    await expectTidy(p);
  });

  test('an image that was pruned is pulled anew, whole', async () => {
    const p = await threeImages();
    await p.pruneImages();
    await expect(p.provision('job', 'app:v1', { pullPolicy: 'never' })).rejects.toMatchObject({
      code: 'ERR_IMAGE_NOT_FOUND',
    });
    await p.images.pull(await layoutOf(v1), { name: 'app:v1' });
    expect(readFileSync(join((await p.provision('job', 'app:v1')).rootfs, 'app'), 'utf8')).toBe('v1');
    await expectTidy(p);
  });

  test('returns while a pull is stalled that never ends, and provisions go on meanwhile', async () => {
    const p = await threeImages();
    const abort = new AbortController();
    const stalled = p.images.load(new Readable({ read() {} }), { signal: abort.signal });
    stalled.catch(() => {});
    await sleep(50);
    const started = performance.now();
    const [report] = await Promise.all([p.pruneImages(['app:v1']), p.provision('job', 'app:v1')]);
    expect(performance.now() - started).toBeLessThan(2000);
    expect(report.lockWaited).toBeLessThan(1000);
    expect(await names(p)).toEqual(['docker.io/library/app:v1']);
    abort.abort();
    await expect(stalled).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    await expect.poll(() => [...namesIn(p, 'staging'), ...namesIn(p, 'gc')], { timeout: 10_000 }).toEqual([]);
  });

  test('over and over, beside pulls and provisions of what it takes, breaks none of them', async () => {
    const p = await openMemoryStore();
    const source = await layoutOf(v1);
    let stop = false;
    const pruning = (async () => {
      while (!stop) {
        await p.pruneImages();
        await sleep(1);
      }
    })();
    for (let round = 0; round < 15; round += 1) {
      const made = await Promise.all(['a', 'b'].map((id) => p.provision(`${id}-${round}`, source)));
      for (const { rootfs } of made) expect(readFileSync(join(rootfs, 'app'), 'utf8')).toBe('v1');
      expect(readFileSync(join(made[0]?.rootfs ?? '', 'etc/name'), 'utf8')).toBe('base');
      for (const id of ['a', 'b']) expect(await p.destroy(`${id}-${round}`)).toBe(true);
    }
    stop = true;
    await pruning;
    await expectTidy(p);
  });

  test('of a closed provisioner says so', async () => {
    const p = await openMemoryStore();
    await p.close();
    await expect(p.pruneImages()).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    await expect(p.store.swept()).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    await expect(p.recover()).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    await expect(p.store.why('app')).rejects.toMatchObject({ code: 'ERR_CLOSED' });
  });
});

describe('applying a plan', () => {
  test('takes what the dry run said, after a way through a file', async () => {
    const p = await threeImages();
    const { plan } = await p.pruneImages(['app:v1'], { dryRun: true });
    expect(await p.images.list()).toHaveLength(3);
    const report = await p.store.applyPlan(JSON.parse(JSON.stringify(plan)));
    expect(report.bytesFreed).toBe(plan.bytes);
    expect(await names(p)).toEqual(['docker.io/library/app:v1']);
    await expectTidy(p);
  });

  test.each<[string, (p: Provisioner) => Promise<unknown>]>([
    ['tagged', (p) => p.images.tag('app:v2', 'app:again')],
    ['deprived of its name', (p) => p.images.remove('app:v2')],
    ['provisioned', (p) => p.provision('job', 'app:v2')],
    ['pinned', (p) => p.images.pin('app:v2')],
    ['pulled again', async (p) => p.images.pull(await layoutOf(v2), { name: 'app:v2' })],
    [
      'stacked upon by a new image',
      async (p) =>
        p.images.pull(await layoutOf(buildImage([...v2.layers, buildLayer([{ path: 'new' }])])), { name: 'new' }),
    ],
    ['pruned already', (p) => p.pruneImages(['app:v1'])],
  ])('refuses, and takes nothing, when an image in it has been %s since', async (_, change) => {
    const p = await threeImages();
    const { plan } = await p.pruneImages(['app:v1'], { dryRun: true });
    await sleep(2);
    await change(p);
    const before = [await p.images.list(), namesIn(p, 'layers')];
    await expect(p.store.applyPlan(plan)).rejects.toMatchObject({
      code: 'ERR_PLAN_OUTDATED',
      hint: expect.stringContaining('new plan'),
    });
    expect([await p.images.list(), namesIn(p, 'layers')]).toEqual(before);
    await p.store.swept();
    expect(namesIn(p, 'gc')).toEqual([]);
  });

  test('refuses what is no plan', async () => {
    const p = await openMemoryStore();
    await expect(p.store.applyPlan({} as never)).rejects.toMatchObject({ code: 'ERR_BAD_OPTION' });
  });
});

describe('why', () => {
  test('tells what keeps an image and each of its layers, and what does not', async () => {
    const p = await threeImages();
    await p.provision('job', 'app:v1');
    const container = { kind: 'container', container: 'job', owner: 'default' };
    expect(await p.store.why('app:v1')).toMatchObject({ kind: 'image', reasons: [container] });
    expect(await p.store.why('app:v2')).toMatchObject({ kind: 'image', reasons: [] });
    const shared = (await p.images.get('app:v2')).layers[0] as string;
    const { reasons } = await p.store.why(shared);
    expect(reasons).toHaveLength(3);
    expect(reasons).toContainEqual(container);
    await expect(p.store.why('app:v9')).rejects.toMatchObject({ code: 'ERR_IMAGE_NOT_FOUND' });
    await expect(p.store.why('a b')).rejects.toMatchObject({ code: 'ERR_BAD_REFERENCE' });
  });
});

describe('recover', () => {
  test('of a sound store puts nothing right', async () => {
    const p = await threeImages();
    await p.provision('job', 'app:v1');
    const { recordsGap, ...lists } = await p.recover({ knownContainerIds: ['job'] });
    expect(recordsGap).toBeNull();
    const nothing = Object.values(lists);
    expect(nothing.every((list) => list.length === 0)).toBe(true);
    expect(nothing).toHaveLength(11);
    await expectTidy(p);
  });

  test('destroys the containers that are not known, and keeps those above a known one', async () => {
    const p = await threeImages();
    for (const id of ['a', 'a/b', 'a/b/c', 'a/d', 'e', 'e/f']) await p.provision(id, 'app:v1');
    const { destroyed } = await p.recover({ knownContainerIds: ['a/b', 'not-here'] });
    expect(destroyed).toEqual(['e/f', 'e', 'a/d', 'a/b/c']);
    expect((await p.containers.list()).map(({ id }) => id)).toEqual(['a', 'a/b']);
    expect((await p.recover({ knownContainerIds: [] })).destroyed).toEqual(['a/b', 'a']);
    await p.store.swept();
    expect(namesIn(p, 'containers')).toEqual([]);
  });

  test('refuses an id that is none before it does anything', async () => {
    const p = await threeImages();
    await p.provision('a', 'app:v1');
    await expect(p.recover({ knownContainerIds: ['../a'] })).rejects.toMatchObject({ code: 'ERR_BAD_CONTAINER_ID' });
    expect(await p.containers.list()).toHaveLength(1);
  });

  test('while pulls and provisions go on, takes nothing of theirs', async () => {
    const p = await openMemoryStore();
    const source = await layoutOf(v1);
    let stop = false;
    const recovering = (async () => {
      while (!stop) {
        const { forgottenLayers, finished, untrusted } = await p.recover();
        expect([forgottenLayers, finished, untrusted]).toEqual([[], [], []]);
      }
    })();
    for (let round = 0; round < 20; round += 1) {
      const { rootfs } = await p.provision(`job-${round}`, source);
      expect(readFileSync(join(rootfs, 'app'), 'utf8')).toBe('v1');
      await p.destroy(`job-${round}`);
      await p.pruneImages();
    }
    stop = true;
    await recovering;
    await expectTidy(p);
  });

  test('leaves foreign files alone and names them', async () => {
    const p = await threeImages();
    const foreign = [join(p.root, 'layers', 'notes.txt'), join(p.root, 'layers', 'a'.repeat(64))];
    for (const path of foreign) writeFileSync(path, 'mine');
    expect((await p.recover()).foreign.toSorted()).toEqual(foreign.toSorted());
    for (const path of foreign) expect(existsSync(path)).toBe(true);
    expect(readdirSync(join(p.root, 'layers'))).toHaveLength(6);
  });
});
