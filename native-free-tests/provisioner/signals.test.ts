import { getEventListeners } from 'node:events';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Provisioner } from '#src/index.js';
import * as o from '#src/provisioner/options.js';
import { PRUNE_OPTIONS } from '#src/prune/prune-options.js';
import { buildImage, buildLayer, writeDockerArchive } from '../helpers/image-builder.js';
import { layoutOf, openMemoryStore, temporaryDirectory } from '../helpers/memory-store.js';

const image = buildImage([buildLayer([{ path: 'app', content: 'v1' }]), buildLayer([{ path: 'b', content: 'b' }])]);

interface Given {
  readonly p: Provisioner;
  readonly source: string;
  readonly archive: string;
  /** A stored one. */
  readonly layer: string;
  readonly n: number;
  readonly signal: AbortSignal;
}

/** Every method that takes a signal. */
const CALLS: Readonly<Record<string, (given: Given) => Promise<unknown>>> = {
  'images.pull': ({ p, source, n, signal }) => p.images.pull(source, { name: `app:v${n}`, signal }),
  'images.pullAgain': ({ p, source, n, signal }) => p.images.pullAgain(source, { name: `app:v${n}`, signal }),
  'images.layerTar': ({ p, layer, signal }) => p.images.layerTar(layer, { signal }),
  'images.load': ({ p, archive, signal }) => p.images.load(archive, { signal }),
  provision: ({ p, n, signal }) => p.provision(`new-${n}`, 'app', { signal }),
  fork: ({ p, n, signal }) => p.fork(`old-${n}`, `forked-${n}`, { signal }),
  destroy: ({ p, n, signal }) => p.destroy(`old-${n}`, { signal }),
  pruneImages: ({ p, signal }) => p.pruneImages(['*'], { signal }),
  'store.applyPlan': ({ p, signal }) =>
    p.store.applyPlan({ version: 1, madeAt: 1, images: [], layers: [], bytes: 0 }, { signal }),
  recover: ({ p, signal }) => p.recover({ signal }),
  'containers.measure': async ({ p, n, signal }) => {
    const [rootfs] = (await p.containers.get(`old-${n}`))?.rootfses ?? [];
    return p.containers.measure({ containerId: `old-${n}`, id: rootfs?.id ?? '' }, { signal });
  },
  'containers.inTurn': ({ p, n, signal }) => p.containers.inTurn(`old-${n}`, async () => n, { signal }),
  'launches.put': ({ p, n, signal }) =>
    p.launches.put(
      { id: String(n).padStart(32, '0'), containerId: `old-${n}`, bootId: 'boot', spec: '{}', removal: 'keep' },
      { signal },
    ),
  'volumes.remove': ({ p, n, signal }) => p.volumes.create(`v${n}`).then(() => p.volumes.remove(`v${n}`, { signal })),
  'launches.follow': ({ p, signal }) => p.launches.follow({ until: 1, signal }).next(),
  'store.check': ({ p, signal }) => p.store.check({ signal }),
  'store.usage': ({ p, signal }) => p.store.usage({ signal }),
};

/** More than Node lets pass without a warning. */
const MANY = 15;

const warnings: string[] = [];
const note = (warning: Error) => void warnings.push(`${warning.name}: ${warning.message}`);
beforeEach(() => void process.on('warning', note));
afterEach(() => {
  process.off('warning', note);
  warnings.length = 0;
});

describe('one signal for many calls', () => {
  it('is tried with every method that takes one', () => {
    const tables: readonly object[] = [...Object.values(o), PRUNE_OPTIONS];
    expect(tables.filter((table) => 'signal' in table)).toHaveLength(Object.keys(CALLS).length);
  });

  it.each(Object.entries(CALLS))('makes Node print nothing, and is not listened to by %s', async (_, call) => {
    const p = await openMemoryStore();
    const { layers } = await p.images.pull(await layoutOf(image), { name: 'app' });
    const archive = join(temporaryDirectory(), 'archive.tar');
    await writeDockerArchive(archive, [{ image, tags: ['other:v1'] }]);
    const layer = layers[0] as string;
    const source = await layoutOf(image);
    for (let n = 0; n < MANY; n++) await p.provision(`old-${n}`, 'app');
    const { signal } = new AbortController();
    const listen = vi.spyOn(signal, 'addEventListener');
    // Some fail because they are many at a time, which is another matter.
    await Promise.allSettled(Array.from({ length: MANY }, (_, n) => call({ p, source, archive, layer, n, signal })));
    await setImmediate();
    expect(warnings).toEqual([]);
    expect(listen).not.toHaveBeenCalled();
    expect(getEventListeners(signal, 'abort')).toEqual([]);
  });

  it.each(Object.entries(CALLS))('still ends %s when it aborts, with its reason', async (_, call) => {
    const p = await openMemoryStore();
    const { layers } = await p.images.pull(await layoutOf(image), { name: 'app' });
    await p.provision('old-0', 'app');
    const archive = join(temporaryDirectory(), 'archive.tar');
    await writeDockerArchive(archive, [{ image, tags: ['other:v1'] }]);
    const reason = new Error('no longer wanted');
    const layer = layers[0] as string;
    const given = { p, source: await layoutOf(image), archive, layer, n: 0, signal: AbortSignal.abort(reason) };
    await expect(call(given)).rejects.toMatchObject({ code: 'ERR_ABORTED', cause: reason });
  });

  it('is not what requests in the background have, of which there may be as many', async () => {
    const p = await openMemoryStore();
    const sources = await Promise.all(Array.from({ length: MANY }, () => layoutOf(image)));
    await Promise.all(sources.map((source) => p.images.request(source)));
    await p.close();
    expect(warnings).toEqual([]);
  });
});
