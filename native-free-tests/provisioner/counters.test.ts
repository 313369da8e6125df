import { mkdirSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type Counters, isProvisionerError, type Provisioner } from '#src/index.js';
import { buildImage, buildLayer } from '../helpers/image-builder.js';
import { layoutOf, openMemoryStore } from '../helpers/memory-store.js';

const base = buildLayer([{ path: 'etc/' }, { path: 'etc/name', content: 'base' }]);
const app = buildImage([base, buildLayer([{ path: 'app', content: 'v1' }])]);
const small = buildImage([base]);
const lying = buildImage([{ ...base, diffId: `sha256:${'0'.repeat(64)}` }]);

/** By how much the counters move while something is done; those that do not are left out. */
async function moved(p: Provisioner, work: () => Promise<unknown>): Promise<Partial<Counters>> {
  const before = p.counters();
  await work();
  const after = Object.entries(p.counters());
  return Object.fromEntries(
    after.map(([name, count]) => [name, count - before[name as keyof Counters]]).filter(([, by]) => by !== 0),
  );
}

test('all counters begin with 0, in a frozen plain object that stays as it is', async () => {
  const p = await openMemoryStore();
  const counters = p.counters();
  expect(Object.values(counters).length).toBeGreaterThan(15);
  expect(Object.values(counters).every((count) => count === 0)).toBe(true);
  expect(Object.isFrozen(counters)).toBe(true);
  expect(Object.getPrototypeOf(counters)).toBe(Object.prototype);
  await p.images.pull(await layoutOf(app), { name: 'app' });
  expect(counters.pullsBegun).toBe(0);
  expect(p.counters().pullsBegun).toBe(1);
});

test('counters can be read when the provisioner is closed, so that nothing is lost between the last look and the end', async () => {
  const p = await openMemoryStore();
  await p.images.pull(await layoutOf(app), { name: 'app' });
  const provisioning = p.provision('job', 'app');
  await p.close();
  await provisioning;
  expect(p.counters()).toMatchObject({ pullsFinished: 1, provisions: 1 });
});

test('a pull counts, with the layers and the bytes that it read; what is stored already is not read again', async () => {
  const p = await openMemoryStore();
  const bytes = (image: typeof app) => image.layers.reduce((sum, layer) => sum + layer.blob.length, 0);
  expect(await moved(p, async () => p.images.pull(await layoutOf(app), { name: 'app' }))).toMatchObject({
    pullsBegun: 1,
    pullsFinished: 1,
    layersUnpacked: 2,
    layerBytesRead: bytes(app),
  });
  expect(await moved(p, async () => p.images.pull(await layoutOf(small), { name: 'small' }))).toEqual({
    pullsBegun: 1,
    pullsFinished: 1,
  });
});

test('a pull that fails counts as failed, and the bytes that it read count', async () => {
  const p = await openMemoryStore();
  const pulling = async () => expect(p.images.pull(await layoutOf(lying))).rejects.toThrow();
  expect(await moved(p, pulling)).toMatchObject({
    pullsBegun: 1,
    pullsFailed: 1,
    layerBytesRead: expect.any(Number),
  });
  expect(p.counters()).toMatchObject({ pullsFinished: 0, layersUnpacked: 0 });
});

test('calls that share one pull count as one', async () => {
  const p = await openMemoryStore();
  const source = await layoutOf(app);
  const pulling = () => Promise.all(['a', 'b', 'c'].map((name) => p.images.pull(source, { name })));
  expect(await moved(p, pulling)).toMatchObject({ pullsBegun: 1, pullsFinished: 1 });
});

test('provisions and destroys count, and those that fail', async () => {
  const p = await openMemoryStore();
  await p.images.pull(await layoutOf(app), { name: 'app' });
  expect(await moved(p, () => p.provision('job', 'app'))).toEqual({ provisions: 1 });
  expect(await moved(p, () => p.provision('job', 'app'))).toEqual({ provisions: 1 });
  const missing = () => expect(p.provision('job', 'none:1', { pullPolicy: 'never' })).rejects.toThrow();
  expect(await moved(p, missing)).toEqual({ provisionErrors: 1 });
  expect(await moved(p, () => p.destroy('no-such'))).toEqual({});
  const destroying = async () => {
    await p.destroy('job');
    await p.store.swept();
  };
  expect(await moved(p, destroying)).toEqual({
    destroys: 1,
    sweptEntries: expect.any(Number),
    sweptBytes: expect.any(Number),
  });
  expect(p.counters().sweptEntries).toBeGreaterThanOrEqual(6);
});

test('a container that cannot be removed counts as `removeContainerErrors`, and as destroyed once it can', async () => {
  const p = await openMemoryStore();
  await p.images.pull(await layoutOf(app), { name: 'app' });
  await p.store.swept();
  await p.provision('job', 'app');
  const gc = join(p.root, 'gc');
  rmdirSync(gc);
  writeFileSync(gc, 'in the way');
  const failing = () => expect(p.destroy('job')).rejects.toSatisfy((error) => isProvisionerError(error));
  expect(await moved(p, failing)).toEqual({ removeContainerErrors: 1 });
  expect(await moved(p, failing)).toEqual({ removeContainerErrors: 1 });
  rmSync(gc);
  mkdirSync(gc, { mode: 0o700 });
  expect(await moved(p, () => p.destroy('job'))).toMatchObject({ destroys: 1 });
});

test('a destroy that was given up is no error of removing', async () => {
  const p = await openMemoryStore();
  await p.images.pull(await layoutOf(app), { name: 'app' });
  await p.provision('job', 'app');
  const givenUp = () => expect(p.destroy('job', { signal: AbortSignal.abort() })).rejects.toThrow();
  expect(await moved(p, givenUp)).toEqual({});
});

test('prunes count with what they removed, and dry runs do not', async () => {
  const p = await openMemoryStore();
  await p.images.pull(await layoutOf(app), { name: 'app' });
  await p.images.pull(await layoutOf(small), { name: 'small' });
  expect(await moved(p, () => p.pruneImages([], { dryRun: true }))).toEqual({});
  const pruning = async () => {
    await p.pruneImages(['small']);
    await p.store.swept();
  };
  expect(await moved(p, pruning)).toEqual({
    prunes: 1,
    prunedImages: 1,
    prunedLayers: 1,
    sweptEntries: expect.any(Number),
    sweptBytes: expect.any(Number),
  });
  const { plan } = await p.pruneImages([], { dryRun: true });
  expect(await moved(p, () => p.store.applyPlan(plan))).toMatchObject({ prunes: 1, prunedImages: 1, prunedLayers: 1 });
});

test('recoveries and warnings count', async () => {
  const p = await openMemoryStore();
  expect(await moved(p, () => p.recover())).toEqual({ recoveries: 1 });
  const foreign = buildImage([base], { platform: { os: 'linux', architecture: 's390x' } });
  await p.images.pull(await layoutOf(foreign), { name: 'foreign', platform: 'linux/s390x' });
  const told: string[] = [];
  p.events.on('warning', ({ code }) => void told.push(code));
  const { warnings = 0 } = await moved(p, () => p.provision('job', 'foreign'));
  expect(told).toContain('FOREIGN_PLATFORM');
  expect(warnings).toBe(told.length);
  p.events.removeAllListeners();
  expect(await moved(p, () => p.provision('job', 'foreign'))).toMatchObject({ warnings: 1 });
});
