import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { Provisioner } from '#src/index.js';
import { buildImage, buildLayer } from '../../native-free-tests/helpers/image-builder.js';
import { newStore } from '../cli/run-cli.js';
import { type Fault, type FaultProxy, type SeenRequest, startFaultProxy } from '../helpers/fault-proxy.js';
import { startRegistry } from '../helpers/registry.js';
import { describeWith } from '../helpers/requirements.js';
import { openStore, temporaryDirectory } from '../helpers/test-store.js';
import { expectNothingLeft } from './pulling.js';

const MIB = 2 ** 20;
/** The machine may be busy. */
const PATIENTLY = { timeout: 20_000, interval: 20 };
const layers = ['one', 'two', 'three'].map((path) => buildLayer([{ path, content: randomBytes(MIB) }]));
const image = buildImage(layers);
const id = image.manifest.descriptor.digest;

/** A registry with the image, behind a proxy that holds its layers back until it is told. */
async function heldImage() {
  const registry = await startRegistry();
  await registry.push('app', 'v1', image);
  const proxy = await startFaultProxy(registry);
  let release = () => {};
  const until = new Promise<void>((resolve) => {
    release = resolve;
  });
  proxy.fault = onLayers({ kind: 'hold', until });
  return { proxy, release, reference: `${proxy.host}/app:v1` };
}

function onLayers(fault: Fault): FaultProxy['fault'] {
  return ({ url }) => (isLayer(url) ? fault : undefined);
}

function isLayer(url: string): boolean {
  return layers.some(({ digest }) => url.endsWith(digest));
}

async function aLayerIsAsked({ seen }: FaultProxy): Promise<void> {
  await expect.poll(() => seen.filter(({ url }) => isLayer(url)).length, PATIENTLY).toBeGreaterThan(0);
}

/** Each request once, as `GET /v2/…`. */
function asked(seen: readonly SeenRequest[]): string[] {
  return seen.map(({ method, url }) => `${method} ${url}`).sort();
}

const ONE_PULL = [
  `GET /v2/app/blobs/${image.config.descriptor.digest}`,
  ...layers.map(({ digest }) => `GET /v2/app/blobs/${digest}`),
  `GET /v2/app/manifests/${id}`,
  'HEAD /v2/app/manifests/v1',
].sort();

describeWith(['root', 'docker-registry'], 'one pull for all who ask', () => {
  it('is what ten callers in one process cost, each given its name', async () => {
    const { proxy, release, reference } = await heldImage();
    const p = await openStore();
    const pulls = Array.from({ length: 10 }, (_, n) => p.images.pull(reference, { name: `mine:v${n}` }));
    await aLayerIsAsked(proxy);
    release();
    const pulled = await Promise.all(pulls);
    expect(new Set(pulled.map((one) => one.id))).toEqual(new Set([id]));
    expect(asked(proxy.seen)).toEqual(ONE_PULL);
    expect((await p.images.get(id)).names).toEqual(
      Array.from({ length: 10 }, (_, n) => `docker.io/library/mine:v${n}`),
    );
  });

  it('is what ten processes cost, each given its name', async () => {
    const { proxy, release, reference } = await heldImage();
    const { start, lines } = newStore();
    const pulls = Array.from({ length: 10 }, (_, n) => start(['pull', reference, '--name', `mine:v${n}`]));
    // One pulls, the nine others wait for it.
    const states = await Promise.all(
      pulls.map((pull) =>
        Promise.any([pull.says('waiting for that').then(() => 'waits'), pull.says('3 layers').then(() => 'pulls')]),
      ),
    );
    expect(states.filter((state) => state === 'pulls')).toHaveLength(1);
    release();
    for (const pull of pulls) expect(await pull.done).toMatchObject({ status: 0, stdout: `${id}\n` });
    expect(asked(proxy.seen)).toEqual(ONE_PULL);
    expect((await lines('images')).slice(1)).toHaveLength(10);
  });

  it('stops when the last caller gives up, and not before; each is free at once', async () => {
    const { proxy, reference } = await heldImage();
    proxy.fault = onLayers({ kind: 'slow', bytesPerSecond: 50_000 });
    const p = await openStore();
    const callers = Array.from({ length: 3 }, () => new AbortController());
    const pulls = callers.map(({ signal }) => p.images.pull(reference, { signal }));
    const outcomes = Promise.allSettled(pulls);
    await aLayerIsAsked(proxy);
    for (const [index, caller] of callers.entries()) {
      expect(await p.images.pulls()).toHaveLength(1);
      expect(proxy.answering()).toBeGreaterThan(0);
      const started = performance.now();
      caller.abort();
      await expect(pulls[index]).rejects.toMatchObject({ code: 'ERR_ABORTED' });
      expect(performance.now() - started).toBeLessThan(100);
    }
    await outcomes;
    await expect.poll(() => p.images.pulls(), PATIENTLY).toEqual([]);
    await expectNothingLeft(p);
    await expect.poll(() => proxy.answering(), PATIENTLY).toBe(0);
    expect(await p.images.availability(reference)).toEqual({ state: 'missing' });
  });

  it('goes on for the others when one caller gives up', async () => {
    const { proxy, release, reference } = await heldImage();
    const p = await openStore();
    const abort = new AbortController();
    const gone = p.images.pull(reference, { signal: abort.signal });
    const stays = p.images.pull(reference);
    await aLayerIsAsked(proxy);
    abort.abort();
    await expect(gone).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    release();
    expect(await stays).toMatchObject({ id });
    expect(asked(proxy.seen)).toEqual(ONE_PULL);
  });

  it('is taken over at once by a process that waits, when the one that pulls is killed', async () => {
    const { proxy, reference } = await heldImage();
    const { start, root } = newStore();
    const first = start(['pull', reference]);
    await first.says('3 layers');
    const second = start(['pull', reference]);
    await second.says('waiting for that');
    await aLayerIsAsked(proxy);
    proxy.seen.length = 0;
    proxy.fault = () => undefined;
    const killed = performance.now();
    first.process.kill('SIGKILL');
    await expect.poll(() => proxy.seen.length, { timeout: 5000, interval: 10 }).toBeGreaterThan(0);
    expect(performance.now() - killed).toBeLessThan(2000);
    expect(await second.done).toMatchObject({ status: 0, stdout: `${id}\n` });
    const p = await openStore({ root });
    // Nothing of the dead one is left either.
    await p.store.swept();
    expect(execFileSync('ls', [join(root, 'staging')], { encoding: 'utf8' })).toBe('');
  });

  it('fails for all who wait for it, and is not tried by each of them in turn', async () => {
    const { proxy, reference } = await heldImage();
    let fail = () => {};
    const until = new Promise<void>((resolve) => {
      fail = resolve;
    });
    proxy.fault = ({ url }) => (url.includes('/manifests/') ? { kind: 'hold', until } : undefined);
    const root = join(temporaryDirectory(), 'store');
    const options = { root, registry: { retries: 0 } };
    const [one, other] = [await openStore(options), await openStore(options)];
    const first = one.images.pull(reference);
    const outcome = Promise.allSettled([first]);
    await expect.poll(() => proxy.seen.length, PATIENTLY).toBe(1);
    const waits = new Promise((resolve) => other.events.once('pullWaiting', resolve));
    const second = other.images.pull(reference);
    const both = Promise.allSettled([first, second]);
    expect(await waits).toMatchObject({ pid: process.pid });
    proxy.fault = ({ url }) => (url.includes('/blobs/') ? { kind: 'answer', status: 500 } : undefined);
    fail();
    await outcome;
    expect(await both).toMatchObject([
      { status: 'rejected', reason: { code: 'ERR_REGISTRY_FAILED' } },
      { status: 'rejected', reason: { code: 'ERR_REGISTRY_FAILED' } },
    ]);
    expect(proxy.seen.filter(({ method }) => method === 'HEAD')).toHaveLength(1);
    // Others who do not insist are held back; one who does, is not.
    const before = proxy.seen.length;
    expect(await other.images.request(reference)).toMatchObject({ state: 'failed', code: 'ERR_REGISTRY_FAILED' });
    expect(proxy.seen).toHaveLength(before);
    proxy.fault = () => undefined;
    expect(await other.images.pull(reference)).toMatchObject({ id });
  });
});

describeWith(['root', 'docker-registry'], 'what is known of a pull', () => {
  it('is the same in all processes, and grows while it goes on', async () => {
    const { proxy, reference } = await heldImage();
    const slow = { kind: 'slow', bytesPerSecond: 150_000 } as { kind: 'slow'; bytesPerSecond: number };
    proxy.fault = onLayers(slow);
    const { start, json, lines, root } = newStore();
    const pull = start(['pull', reference]);
    await pull.says('3 layers');
    type Pull = {
      source: string;
      pid: number;
      phase: string;
      bytes: number;
      total: number;
      layers: { phase: string }[];
    };
    const look = async () => ((await json('images', '--pulling')) as Pull[])[0];
    await expect.poll(async () => (await look())?.bytes ?? 0, PATIENTLY).toBeGreaterThan(0);
    const first = (await look()) as Pull;
    expect(first).toMatchObject({
      source: `docker://${reference}`,
      pid: pull.process.pid,
      phase: 'fetching',
      image: id,
    });
    expect(first.layers).toHaveLength(3);
    expect(first.total).toBe(layers.reduce((sum, { blob }) => sum + blob.length, 0));
    await expect.poll(async () => (await look())?.bytes ?? 0, PATIENTLY).toBeGreaterThan(first.bytes);
    expect((await lines('images', '--pulling'))[1]).toMatch(/ fetching +\d\/3 +[\d.]+[kM]?B\/3\.1MB .* \d+$/);
    const p = await Provisioner.open({ root });
    expect(await p.images.availability(reference)).toMatchObject({ state: 'pulling', pull: { pid: pull.process.pid } });
    slow.bytesPerSecond = 100 * MIB;
    expect(await pull.done).toMatchObject({ status: 0 });
    expect(await p.images.availability(reference)).toEqual({ state: 'ready', image: id });
    expect(await p.images.pulls()).toEqual([]);
    await p.close();
  });

  it('is told at least once a second for each layer, also when nothing arrives', async () => {
    const { proxy, release, reference } = await heldImage();
    proxy.fault = onLayers({ kind: 'stall', after: 1000 });
    const p = await openStore();
    const told = new Map<string, number[]>();
    p.events.on('layerProgress', ({ layer }) => told.set(layer, [...(told.get(layer) ?? []), performance.now()]));
    const abort = new AbortController();
    const pull = p.images.pull(reference, { signal: abort.signal });
    const outcome = Promise.allSettled([pull]);
    await new Promise((resolve) => setTimeout(resolve, 3500));
    abort.abort();
    release();
    await outcome;
    expect(told.size).toBe(3);
    for (const times of told.values()) {
      expect(times.length).toBeGreaterThanOrEqual(3);
      const gaps = times.slice(1).map((time, index) => time - (times[index] as number));
      expect(Math.max(...gaps)).toBeLessThan(1600);
    }
  });

  it('costs no request for a stored image with the policy missing, by name or by digest', async () => {
    const { proxy, release, reference } = await heldImage();
    release();
    const { lines } = newStore();
    expect(await lines('pull', reference)).toEqual([id]);
    proxy.seen.length = 0;
    expect(await lines('pull', '--policy', 'missing', reference)).toEqual([id]);
    expect(await lines('pull', '--policy', 'never', `${proxy.host}/app@${id}`)).toEqual([id]);
    expect(proxy.seen).toEqual([]);
    expect(await lines('pull', '--policy', 'always', reference)).toEqual([id]);
    expect(proxy.seen).toHaveLength(1);
  });
});

describeWith(['root', 'docker-registry'], 'a full disk', () => {
  it('fails the pull that fills it and no other, leaves nothing of it, and is remembered', async () => {
    const mountPoint = join(tmpdir(), `full-${process.pid}`);
    mkdirSync(mountPoint);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64m', 'tmpfs', mountPoint]);
    try {
      const registry = await startRegistry();
      // Small as they come, and much too large as they are.
      const bombs = ['one', 'two'].map((path) => buildLayer([{ path, content: Buffer.alloc(80 * MIB, path) }]));
      await registry.push('large', 'v1', buildImage(bombs));
      await registry.push('app', 'v1', image);
      const proxy = await startFaultProxy(registry);
      // A thread for each layer: those of the pull that is held up keep theirs.
      const limits = { freeSpaceReserve: 2 * MIB };
      const p = await Provisioner.open({ root: join(mountPoint, 'store'), limits, workers: 8 });
      const large = `${registry.host}/large:v1`;
      let release = () => {};
      const until = new Promise<void>((resolve) => {
        release = resolve;
      });
      proxy.fault = onLayers({ kind: 'hold', until });
      const other = p.images.pull(`${proxy.host}/app:v1`);
      await expect(p.images.pull(large)).rejects.toMatchObject({ code: 'ERR_NO_SPACE' });
      expect(await p.images.availability(large)).toMatchObject({ state: 'failed', code: 'ERR_NO_SPACE' });
      await p.store.swept();
      release();
      expect(await other).toMatchObject({ id });
      await p.store.swept();
      expect(execFileSync('ls', [join(p.root, 'staging'), join(p.root, 'gc')], { encoding: 'utf8' })).not.toMatch(
        /[0-9a-f]{8}/,
      );
      expect((await p.images.list()).map((one) => one.id)).toEqual([id]);
      expect(await p.images.pulls()).toEqual([]);
      await p.close();
    } finally {
      execFileSync('umount', ['--lazy', mountPoint]);
      rmdirSync(mountPoint);
    }
  });
});
