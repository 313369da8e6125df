import type { ServerResponse } from 'node:http';
import { expect, it, onTestFinished, vi } from 'vitest';
import { ProvisionerError } from '#src/base/errors.js';
import { CommitBatch } from '#src/layer-store/commit-batch.js';
import { MemoryMetadataManager } from '#src/metadata/memory/memory-metadata-manager.js';
import { buildImage, buildLayer } from '../helpers/image-builder.js';
import { layoutOf, namesIn, openMemoryStore, temporaryDirectory } from '../helpers/memory-store.js';
import { gate, type ScriptedRegistry, serveImages } from '../helpers/scripted-registry.js';

const layerOf = (path: string) => buildLayer([{ path, content: path.repeat(1000) }]);
const [shared, own, other, third] = [layerOf('shared'), layerOf('own'), layerOf('other'), layerOf('third')];
type L = ReturnType<typeof layerOf>;
const IMAGES = {
  a: buildImage([shared, own]),
  b: buildImage([shared, other]),
  c: buildImage([shared, third]),
  d: buildImage([shared]),
};
/** Others have the machine, too. */
const PATIENTLY = { timeout: 15_000, interval: 5 };

const openStore = (options = {}) =>
  openMemoryStore({ workers: 4, registry: { hostsDir: temporaryDirectory(), retries: 0 }, ...options });
type Store = Awaited<ReturnType<typeof openStore>>;

const asksFor = (registry: ScriptedRegistry, layer: L) =>
  registry.asked.filter((line) => line.endsWith(layer.digest)).map((line) => line.slice(0, 1));

/** Resolves when so many pulls wait for a layer that another one unpacks. */
function waiters(p: Store, count: number): Promise<void> {
  const waiting = new Set<string>();
  return new Promise((resolve) => {
    p.events.on('layerProgress', ({ phase, pullId, layer }) => {
      if (phase === 'shared' && layer === shared.diffId) waiting.add(pullId);
      if (waiting.size === count) resolve();
    });
  });
}

const wrong = (response: ServerResponse) => {
  response.writeHead(200, { 'content-length': shared.blob.length }).end(Buffer.alloc(shared.blob.length));
};
const status = (code: number) => (response: ServerResponse) => {
  response.writeHead(code, {}).end();
};

it.each([
  ['is damaged there', wrong, 'ERR_DIGEST_MISMATCH'],
  ['is not there', status(404), 'ERR_BLOB_NOT_FOUND'],
  ['is not for whoever asks', status(403), 'ERR_REGISTRY_DENIED'],
  ['cannot be had there', status(500), 'ERR_REGISTRY_FAILED'],
])(
  'pulls that wait for a layer of another one get it from their own sources, one after the other, when it %s',
  async (_, fail, code) => {
    const registry = await serveImages(IMAGES);
    const p = await openStore();
    const failing = gate();
    registry.instead = (repository, digest, response) => {
      if (repository !== 'a' || digest !== shared.digest) return undefined;
      void failing.opened.then(() => fail(response));
      return 'done';
    };
    const wait = waiters(p, 2);
    const first = p.images.pull(`${registry.host}/a:v1`);
    const outcome = Promise.allSettled([first]);
    await expect.poll(() => asksFor(registry, shared), PATIENTLY).toEqual(['a']);
    const others = ['b', 'c'].map((name) => p.images.pull(`${registry.host}/${name}:v1`, { name }));
    await wait;
    failing.open();
    expect(await outcome).toMatchObject([{ reason: { code } }]);
    await Promise.all(others);
    const [, next, ...more] = asksFor(registry, shared);
    expect(['b', 'c']).toContain(next);
    expect(more).toEqual([]);
    expect(namesIn(p, 'staging')).toEqual([]);
  },
);

it('a pull goes on with its own source when the one that it waits for fails again and again', async () => {
  const registry = await serveImages(IMAGES);
  const p = await openStore();
  const failing = gate();
  registry.instead = (repository, digest, response) => {
    if (digest !== shared.digest || repository === 'd') return undefined;
    void failing.opened.then(() => wrong(response));
    return 'done';
  };
  const wait = waiters(p, 3);
  const pulls = [p.images.pull(`${registry.host}/a:v1`)];
  await expect.poll(() => asksFor(registry, shared), PATIENTLY).toEqual(['a']);
  pulls.push(...['b', 'c', 'd'].map((name) => p.images.pull(`${registry.host}/${name}:v1`)));
  const outcomes = Promise.allSettled(pulls);
  await wait;
  failing.open();
  const states = (await outcomes).map(({ status: state }) => state);
  expect(states[0]).toBe('rejected');
  expect(states[3]).toBe('fulfilled');
  // Each asks its own source once at most.
  expect(new Set(asksFor(registry, shared)).size).toBe(asksFor(registry, shared).length);
});

it('the first failure of a pull is told at once, ends what it has under way, and leaves what is complete', async () => {
  const registry = await serveImages({ ...IMAGES, a: buildImage([shared, own, other, third]) });
  const p = await openStore();
  let closed = 0;
  let hung = 0;
  const failing = gate();
  registry.instead = (_, digest, response) => {
    if (digest === shared.digest) void failing.opened.then(() => wrong(response));
    else if (digest === other.digest || digest === third.digest) {
      // Never more than a part of it.
      const { blob } = digest === other.digest ? other : third;
      response.writeHead(200, { 'content-length': blob.length }).write(blob.subarray(0, 1));
      hung++;
      response.on('close', () => closed++);
    } else return undefined;
    return 'done';
  };
  // One whose bytes have all been read is not yet complete: its checksum may be wrong.
  const complete = vi.spyOn(CommitBatch.prototype, 'arrive');
  onTestFinished(() => complete.mockRestore());
  const pull = p.images.pull(`${registry.host}/a:v1`, { registry: { stallTimeout: 60_000 } });
  const outcome = Promise.allSettled([pull]);
  await expect.poll(() => hung, PATIENTLY).toBe(2);
  await expect.poll(() => complete.mock.calls.length, PATIENTLY).toBe(1);
  failing.open();
  expect(await outcome).toMatchObject([{ reason: { code: 'ERR_DIGEST_MISMATCH' } }]);
  await expect.poll(() => closed, PATIENTLY).toBe(2);
  expect(namesIn(p, 'staging')).toEqual([]);
  expect(await p.images.pulls()).toEqual([]);
  // The one that was complete is not asked for again.
  registry.instead = () => undefined;
  await p.images.pull(`${registry.host}/a:v1`);
  expect(asksFor(registry, own)).toEqual(['a']);
});

it('a pull that fails is told at once, while its layer that another pull waits for goes on for that one', async () => {
  const registry = await serveImages(IMAGES);
  const p = await openStore();
  const [failing, slow] = [gate(), gate()];
  registry.instead = (repository, digest, response) => {
    if (repository === 'a' && digest === shared.digest) return slow.opened;
    if (repository !== 'a' || digest !== own.digest) return undefined;
    void failing.opened.then(() => status(404)(response));
    return 'done';
  };
  const wait = waiters(p, 1);
  const first = p.images.pull(`${registry.host}/a:v1`);
  const outcome = Promise.allSettled([first]);
  await expect.poll(() => asksFor(registry, shared), PATIENTLY).toEqual(['a']);
  const second = p.images.pull(`${registry.host}/b:v1`);
  await wait;
  failing.open();
  expect(await outcome).toMatchObject([{ reason: { code: 'ERR_BLOB_NOT_FOUND' } }]);
  // Who tries again does not get the failure of before.
  registry.instead = (repository, digest) => (repository === 'a' && digest === shared.digest ? slow.opened : undefined);
  const again = p.images.pull(`${registry.host}/a:v1`);
  slow.open();
  await Promise.all([second, again]);
  expect(asksFor(registry, shared)).toEqual(['a']);
  await expect.poll(() => namesIn(p, 'staging'), PATIENTLY).toEqual([]);
  expect(await p.images.pulls()).toEqual([]);
});

it('closing waits for what a pull that has failed does for another one', async () => {
  const registry = await serveImages(IMAGES);
  const p = await openStore();
  const [failing, slow] = [gate(), gate()];
  registry.instead = (repository, digest, response) => {
    if (repository === 'a' && digest === shared.digest) return slow.opened;
    if (repository !== 'a' || digest !== own.digest) return undefined;
    void failing.opened.then(() => status(404)(response));
    return 'done';
  };
  const wait = waiters(p, 1);
  const first = Promise.allSettled([p.images.pull(`${registry.host}/a:v1`)]);
  await expect.poll(() => asksFor(registry, shared), PATIENTLY).toEqual(['a']);
  const second = p.images.pull(`${registry.host}/b:v1`);
  await wait;
  failing.open();
  await first;
  const closed = p.close();
  slow.open();
  await second;
  await closed;
  expect(namesIn(p, 'staging')).toEqual([]);
});

it('what goes wrong when a pull is over makes no failure of a success, and is not the reason of a failure', async () => {
  const p = await openMemoryStore();
  const warnings: string[] = [];
  p.events.on('warning', ({ code, message }) => warnings.push(`${code} ${message}`));
  const broken = () =>
    vi
      .spyOn(MemoryMetadataManager.prototype, 'finishPull')
      .mockRejectedValueOnce(new ProvisionerError('ERR_IO', 'the records cannot be written'));
  broken();
  const source = await layoutOf(IMAGES.a);
  expect(await p.images.pull(source, { name: 'a' })).toMatchObject({ id: IMAGES.a.manifest.descriptor.digest });
  expect(warnings).toEqual([expect.stringMatching(/^PULL_NOT_CLEARED .*the records cannot be written$/)]);
  // Nobody waits for what is over, though its records are still there and its process lives.
  expect(await p.images.pulls()).toEqual([]);
  await p.images.pull(source, { name: 'again' });
  broken();
  const missing = 'oci:/does/not/exist';
  await expect(p.images.pull(missing)).rejects.toMatchObject({ code: 'ERR_SOURCE_NOT_FOUND' });
  expect(warnings).toHaveLength(2);
  await expect(p.images.pull(missing)).rejects.toMatchObject({ code: 'ERR_SOURCE_NOT_FOUND' });
  expect(await p.images.pulls()).toEqual([]);
  vi.restoreAllMocks();
});
