import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { ProvisionerError } from '#src/base/errors.js';
import { MemoryMetadataManager } from '#src/metadata/memory/memory-metadata-manager.js';
import { buildImage, buildLayer, writeOciLayout } from '../helpers/image-builder.js';
import { layoutOf, namesIn, openMemoryStore, temporaryDirectory } from '../helpers/memory-store.js';

const image = buildImage([buildLayer([{ path: 'a', content: 'a' }]), buildLayer([{ path: 'b', content: 'b' }])]);

/** The machine may be busy. */
const PATIENTLY = { timeout: 10_000, interval: 10 };

/** A source that fails until it is mended. */
function brokenLayout() {
  const layout = join(temporaryDirectory(), 'layout');
  mkdirSync(layout);
  return { source: `oci:${layout}`, mend: () => writeOciLayout(layout, [{ image, refName: 'it' }]) };
}

describe('availability', () => {
  it('of an image that nobody has asked for is missing, and asks nobody', async () => {
    const p = await openMemoryStore();
    expect(await p.images.availability('registry.invalid/app:v1')).toEqual({ state: 'missing' });
    expect(await p.images.pulls()).toEqual([]);
  });

  it('of a stored image is ready, by name, by digest, and by the layout that it came from', async () => {
    const p = await openMemoryStore();
    const source = await layoutOf(image);
    const { id } = await p.images.pull(source, { name: 'app:v1' });
    const ready = { state: 'ready', image: id };
    expect(await p.images.availability('app:v1')).toEqual(ready);
    expect(await p.images.availability(`app@${id}`)).toEqual(ready);
    expect(await p.images.availability(source)).toEqual(ready);
  });

  it('of an image that is stored for another platform is missing', async () => {
    const p = await openMemoryStore();
    await p.images.pull(await layoutOf(image), { name: 'app:v1', platform: 'linux/amd64' });
    expect(await p.images.availability('app:v1', { platform: 'linux/amd64' })).toMatchObject({ state: 'ready' });
    expect(await p.images.availability('app:v1', { platform: 'linux/arm64' })).toEqual({ state: 'missing' });
  });

  it('of an image whose pull failed tells why, and when it may be tried again', async () => {
    const p = await openMemoryStore({ pullCoolDown: 60_000 });
    const { source } = brokenLayout();
    await expect(p.images.pull(source)).rejects.toThrow();
    const state = await p.images.availability(source);
    expect(state).toMatchObject({ state: 'failed', reason: expect.any(String), code: expect.stringMatching(/^ERR_/) });
    if (state.state === 'failed') expect(state.retryAt - state.failedAt).toBe(60_000);
  });

  it('of an image whose pull was given up is missing', async () => {
    const p = await openMemoryStore();
    const source = await layoutOf(image);
    const signal = AbortSignal.abort();
    await expect(p.images.pull(source, { signal })).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    expect(await p.images.availability(source)).toEqual({ state: 'missing' });
  });
});

describe('a request', () => {
  it('answers at once, pulls in the background, and is ready in the end', async () => {
    const p = await openMemoryStore();
    const source = await layoutOf(image);
    const finished = once(p.events, 'pullFinished');
    const state = await p.images.request(source, { name: 'app:v1' });
    expect(state).toMatchObject({ state: 'pulling', pull: { source, pid: process.pid, platform: expect.any(String) } });
    expect(await p.images.pulls()).toHaveLength(1);
    await finished;
    await expect.poll(() => p.images.availability('app:v1'), PATIENTLY).toMatchObject({ state: 'ready' });
    expect(await p.images.request(source)).toMatchObject({ state: 'ready' });
    expect(await p.images.request(source, { name: 'app:v2' })).toMatchObject({ state: 'ready' });
    expect((await p.images.get('app:v2')).names).toEqual(['docker.io/library/app:v1', 'docker.io/library/app:v2']);
  });

  it('made ten times is one pull', async () => {
    const p = await openMemoryStore();
    const source = await layoutOf(image);
    let started = 0;
    p.events.on('pullStarted', () => started++);
    const states = await Promise.all(Array.from({ length: 10 }, () => p.images.request(source)));
    expect(states.every(({ state }) => state === 'pulling' || state === 'ready')).toBe(true);
    await expect.poll(() => p.images.availability(source), PATIENTLY).toMatchObject({ state: 'ready' });
    expect(started).toBe(1);
  });

  it('does not repeat a pull that has just failed, unless it is forced or the cool-down is over', async () => {
    const p = await openMemoryStore({ pullCoolDown: 400 });
    let failures = 0;
    p.events.on('pullFailed', () => failures++);
    const { source, mend } = brokenLayout();
    await p.images.request(source);
    await expect.poll(() => p.images.availability(source), PATIENTLY).toMatchObject({ state: 'failed' });
    const first = await p.images.request(source);
    expect(first).toMatchObject({ state: 'failed' });
    expect(failures).toBe(1);
    await p.images.request(source, { force: true });
    await expect.poll(() => failures, PATIENTLY).toBe(2);
    await new Promise((resolve) => setTimeout(resolve, 450));
    await p.images.request(source);
    await expect.poll(() => failures, PATIENTLY).toBe(3);
    // Written anew it is another source, which has not failed.
    await mend();
    await p.images.request(source);
    await expect.poll(() => p.images.availability(source), PATIENTLY).toMatchObject({ state: 'ready' });
  });

  it('is given up when the provisioner is closed', async () => {
    const p = await openMemoryStore();
    const source = await layoutOf(image);
    await p.images.request(source);
    await p.close();
    expect(namesIn(p, 'staging')).toEqual([]);
  });

  it('of a source that makes no sense is refused', async () => {
    const p = await openMemoryStore();
    await expect(p.images.request('http://x')).rejects.toMatchObject({ code: 'ERR_BAD_SOURCE' });
    await expect(p.images.availability('UPPER')).rejects.toMatchObject({ code: 'ERR_BAD_REFERENCE' });
  });
});

describe('the last use of an image', () => {
  it('is told by a pull that finds it stored and by a request that finds it ready, and not by a look at it', async () => {
    const p = await openMemoryStore();
    const source = 'r.example/app:v1';
    vi.useFakeTimers({ toFake: ['Date'], now: 1_700_000_000_000 });
    try {
      await p.images.pull(await layoutOf(image), { name: source });
      const lastUse = async () => ((await p.images.get(source)).lastUsedAt - 1_700_000_000_000) / 1000;
      const uses: (() => Promise<unknown>)[] = [
        () => p.images.pull(source, { pullPolicy: 'missing' }),
        () => p.images.pull(source, { pullPolicy: 'never' }),
        () => p.images.request(source),
        () => p.provision('job', source, { pullPolicy: 'missing' }),
      ];
      for (const [index, use] of uses.entries()) {
        vi.setSystemTime(1_700_000_000_000 + (index + 1) * 60_000);
        await p.images.availability(source);
        expect(await lastUse(), String(use)).toBe(index * 60);
        await use();
        expect(await lastUse(), String(use)).toBe((index + 1) * 60);
      }
    } finally {
      vi.useRealTimers();
    }
  });

  it('is not written when there is no room, and nobody is refused the image for that', async () => {
    const p = await openMemoryStore();
    await p.images.pull(await layoutOf(image), { name: 'app:v1' });
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 60_000 });
    const full = new ProvisionerError('ERR_NO_SPACE', 'no space left');
    const mark = vi.spyOn(MemoryMetadataManager.prototype, 'markUsed').mockRejectedValue(full);
    try {
      expect(await p.images.request('app:v1')).toMatchObject({ state: 'ready' });
      expect(await p.images.pull('app:v1', { pullPolicy: 'missing' })).toMatchObject({ id: expect.any(String) });
      expect(mark).toHaveBeenCalledTimes(2);
    } finally {
      vi.useRealTimers();
      vi.restoreAllMocks();
    }
  });
});

describe('one pull', () => {
  it('serves all who ask for it at the same time, each with the name it wants', async () => {
    const p = await openMemoryStore();
    const source = await layoutOf(image);
    let started = 0;
    p.events.on('pullStarted', () => started++);
    const names = Array.from({ length: 10 }, (_, n) => `app:v${n}`);
    const pulled = await Promise.all(names.map((name) => p.images.pull(source, { name })));
    expect(started).toBe(1);
    expect(pulled.map(({ namesGiven }) => namesGiven)).toEqual(names.map((name) => [`docker.io/library/${name}`]));
    expect((await p.images.get('app:v7')).names).toHaveLength(10);
  });

  it('frees a caller that gives up at once, gives its name to nobody, and goes on for the others', async () => {
    const p = await openMemoryStore();
    const source = await layoutOf(image);
    const abort = new AbortController();
    p.events.once('pullStarted', () => abort.abort());
    const [gone, stays] = await Promise.allSettled([
      p.images.pull(source, { name: 'gone', signal: abort.signal }),
      p.images.pull(source, { name: 'stays' }),
    ]);
    expect(gone).toMatchObject({ status: 'rejected', reason: { code: 'ERR_ABORTED' } });
    expect(stays).toMatchObject({ status: 'fulfilled', value: { names: ['docker.io/library/stays:latest'] } });
  });

  it('is refused before a layer is read when the image is larger than allowed, and that is its state', async () => {
    const p = await openMemoryStore({ limits: { maxImageBytes: 10 } });
    const source = await layoutOf(image);
    await expect(p.images.pull(source)).rejects.toMatchObject({ code: 'ERR_LIMIT_EXCEEDED', details: { limit: 10 } });
    expect(await p.images.availability(source)).toMatchObject({ state: 'failed', code: 'ERR_LIMIT_EXCEEDED' });
    expect(namesIn(p, 'layers')).toEqual([]);
    expect(await p.images.pull(source, { maxImageBytes: 1e6 })).toMatchObject({ id: image.manifest.descriptor.digest });
  });

  it('is refused before a layer is read when the reserve would not be left', async () => {
    const p = await openMemoryStore({ limits: { freeSpaceReserve: Number.MAX_SAFE_INTEGER } });
    await expect(p.images.pull(await layoutOf(image))).rejects.toMatchObject({
      code: 'ERR_NO_SPACE',
      details: { needed: expect.any(Number), free: expect.any(Number), reserve: Number.MAX_SAFE_INTEGER },
    });
  });
});

describe('the pull policy', () => {
  it('missing asks nobody for a stored image, and gives it the name', async () => {
    const p = await openMemoryStore();
    const { id } = await p.images.pull(await layoutOf(image), { name: 'registry.invalid/app:v1' });
    const pulled = await p.images.pull('registry.invalid/app:v1', { pullPolicy: 'missing', name: 'other' });
    expect(pulled).toMatchObject({ id, namesGiven: ['docker.io/library/other:latest'] });
    expect((await p.images.get('other')).id).toBe(id);
    expect((await p.images.pull(`registry.invalid/app@${id}`, { pullPolicy: 'missing' })).id).toBe(id);
  });

  it('never finds what is stored and pulls nothing', async () => {
    const p = await openMemoryStore();
    const source = await layoutOf(image);
    await expect(p.images.pull('app', { pullPolicy: 'never' })).rejects.toMatchObject({ code: 'ERR_IMAGE_NOT_FOUND' });
    await expect(p.images.pull(source, { pullPolicy: 'never' })).rejects.toMatchObject({ code: 'ERR_BAD_OPTION' });
    await p.images.pull(source, { name: 'app', platform: 'linux/amd64' });
    await expect(p.provision('job', 'app', { pullPolicy: 'never', platform: 'linux/arm64' })).rejects.toMatchObject({
      code: 'ERR_IMAGE_NOT_FOUND',
    });
    expect(await p.provision('job', 'app', { pullPolicy: 'never', platform: 'linux/amd64' })).toBeDefined();
  });
});
