import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { Provisioner, type ProvisionerError } from '#src/index.js';
import { MemoryMetadataManager } from '#src/metadata/memory/memory-metadata-manager.js';
import { SectionedMetadataManager } from '#src/metadata/sectioned-metadata-manager.js';
import { ContainerCalls } from '#src/provisioner/calls/container-calls.js';
import { HoldingCalls } from '#src/provisioner/calls/holding-calls.js';
import { ImageCalls } from '#src/provisioner/calls/image-calls.js';
import { LaunchCalls } from '#src/provisioner/calls/launch-calls.js';
import { StoreCalls } from '#src/provisioner/calls/store-calls.js';
import { VolumeCalls } from '#src/provisioner/calls/volume-calls.js';
import { StoreLock } from '#src/system/locks/store-lock.js';
import { WorkerPool } from '#src/workers/worker-pool.js';
import { buildImage, buildLayer, writeDockerArchive } from '../helpers/image-builder.js';
import { layoutOf, openMemoryStore, temporaryDirectory } from '../helpers/memory-store.js';
import { serveImages } from '../helpers/scripted-registry.js';

const app = buildImage([buildLayer([{ path: 'app', content: 'v1' }])]);
const other = buildImage([buildLayer([{ path: 'other', content: 'v1' }])]);

const LAUNCH = { id: 'a'.repeat(32), containerId: 'launched', bootId: 'boot', spec: '{}', removal: 'keep' } as const;

interface Prepared {
  readonly p: Provisioner;
  readonly source: string;
  readonly archive: string;
  /** A stored one. */
  readonly layer: string;
  /** Of the container `old`. */
  readonly rootfs: { readonly containerId: string; readonly id: string };
}

/** Every public method that is a call of the store, so all but `close`, `counters` and `use`, each with arguments that it succeeds with. */
const CALLS: Readonly<Record<string, (prepared: Prepared) => Promise<unknown>>> = {
  'images.pull': ({ p, source }) => p.images.pull(source, { name: 'other' }),
  'images.pullAgain': ({ p, source }) => p.images.pullAgain(source, { name: 'other' }),
  'images.layerTar': ({ p, layer }) => p.images.layerTar(layer),
  'images.availability': ({ p, source }) => p.images.availability(source),
  'images.request': ({ p, source }) => p.images.request(source),
  'images.pulls': ({ p }) => p.images.pulls(),
  'images.load': ({ p, archive }) => p.images.load(archive),
  'images.list': ({ p }) => p.images.list(),
  'images.get': ({ p }) => p.images.get('app'),
  'images.tag': ({ p }) => p.images.tag('app', 'second'),
  'images.remove': ({ p }) => p.images.remove('app'),
  provision: ({ p }) => p.provision('new', 'app'),
  fork: ({ p }) => p.fork('old', 'forked'),
  destroy: ({ p }) => p.destroy('old'),
  'images.pin': ({ p }) => p.images.pin('app'),
  'images.unpin': ({ p }) => p.images.unpin('app'),
  pruneImages: ({ p }) => p.pruneImages([], { dryRun: true }),
  'store.applyPlan': ({ p }) => p.store.applyPlan({ version: 1, madeAt: 1, images: [], layers: [], bytes: 0 }),
  'store.swept': ({ p }) => p.store.swept(),
  'store.why': ({ p }) => p.store.why('app'),
  recover: ({ p }) => p.recover(),
  'containers.list': ({ p }) => p.containers.list(),
  'containers.get': ({ p }) => p.containers.get('old'),
  'containers.written': ({ p, rootfs }) => p.containers.written(rootfs),
  'containers.measure': ({ p, rootfs }) => p.containers.measure(rootfs),
  'containers.memory': ({ p, rootfs }) => p.containers.memory(rootfs),
  'containers.resizeMemory': ({ p, rootfs }) => p.containers.resizeMemory(rootfs, 2 ** 20),
  'containers.inTurn': ({ p }) => p.containers.inTurn('old', () => sleep(5)),
  'launches.put': ({ p }) => p.launches.put({ ...LAUNCH, id: 'b'.repeat(32), containerId: 'old' }),
  'launches.change': ({ p }) => p.launches.change(LAUNCH.id, { from: ['starting'], to: 'running' }),
  'launches.get': ({ p }) => p.launches.get('launched'),
  'launches.list': ({ p }) => p.launches.list(),
  'launches.forget': ({ p }) => p.launches.forget('launched'),
  'launches.note': ({ p }) => p.launches.note({ kind: 'oom', containerId: 'launched', owner: 'me' }),
  'launches.events': ({ p }) => p.launches.events(),
  'holdings.take': ({ p }) => p.holdings.take({ bootId: 'boot' }, [{ kind: 'cpu', names: ['0'] }]),
  'holdings.change': ({ p }) => p.holdings.change({ kind: 'cpu', name: '0' }, { from: null, holder: 'a' }),
  'holdings.release': ({ p }) => p.holdings.release([{ kind: 'cpu', name: '0', holder: undefined }]),
  'holdings.list': ({ p }) => p.holdings.list(),
  'volumes.create': ({ p }) => p.volumes.create('data'),
  'volumes.list': ({ p }) => p.volumes.list(),
  'volumes.get': ({ p }) => p.volumes.get('kept'),
  'volumes.measure': ({ p }) => p.volumes.measure('kept'),
  'volumes.remove': ({ p }) => p.volumes.remove('kept'),
  'volumes.use': async ({ p, rootfs }) => p.volumes.use(rootfs, [{ name: 'kept', readOnly: false }]),
  'volumes.anonymous': async ({ p, rootfs }) => p.volumes.anonymous(rootfs, '/data'),
  'store.check': ({ p }) => p.store.check(),
  'store.usage': ({ p }) => p.store.usage(),
  'store.info': ({ p }) => p.store.info(),
};

/** What answers at once, or as it goes, or is what these tests are about. */
const AT_ONCE = [
  'close',
  'counters',
  'use',
  'containers.addHolder',
  'store.addKeeper',
  'launches.directory',
  'holdings.isAlive',
  'launches.follow',
];

async function prepare(): Promise<Prepared> {
  const p = await openMemoryStore();
  const { layers } = await p.images.pull(await layoutOf(app), { name: 'app' });
  const { rootfsId } = await p.provision('old', 'app');
  await p.volumes.create('kept');
  await p.launches.put(LAUNCH);
  mkdirSync(join(p.root, 'gc/left.1'));
  const archive = join(temporaryDirectory(), 'archive.tar');
  await writeDockerArchive(archive, [{ image: other, tags: ['other:v1'] }]);
  const rootfs = { containerId: 'old', id: rootfsId };
  return { p, source: await layoutOf(other), archive, layer: layers[0] as string, rootfs };
}

/** Lets every answer of the records take a while, so that nothing is over before it is waited for. What answers at once goes on to. */
function slowRecords(): void {
  const records = SectionedMetadataManager.prototype;
  for (const name of Object.getOwnPropertyNames(records)) {
    const original: unknown = Reflect.get(records, name);
    if (name === 'constructor' || typeof original !== 'function') continue;
    function slow(this: SectionedMetadataManager, ...args: unknown[]): unknown {
      const answer: unknown = Reflect.apply(original as CallableFunction, this, args);
      return answer instanceof Promise ? answer.then((value) => sleep(5, value)) : answer;
    }
    Reflect.set(records, name, slow);
    onTestFinished(() => void Reflect.set(records, name, original));
  }
}

afterEach(() => vi.restoreAllMocks());

describe('a provisioner', () => {
  it('has no public method that these tests do not know', () => {
    const methodsOf = ({ prototype }: { readonly prototype: object }, noun = '') =>
      Object.getOwnPropertyNames(prototype).flatMap((name) => (name === 'constructor' ? [] : [`${noun}${name}`]));
    const methods = [
      ...methodsOf(Provisioner),
      ...methodsOf(ImageCalls, 'images.'),
      ...methodsOf(ContainerCalls, 'containers.'),
      ...methodsOf(LaunchCalls, 'launches.'),
      ...methodsOf(HoldingCalls, 'holdings.'),
      ...methodsOf(VolumeCalls, 'volumes.'),
      ...methodsOf(StoreCalls, 'store.'),
    ];
    expect(methods.sort()).toEqual([...Object.keys(CALLS), ...AT_ONCE].sort());
  });

  it.each(Object.entries(CALLS))('waits in close for a call of %s that came before it', async (_, call) => {
    const prepared = await prepare();
    slowRecords();
    const order: string[] = [];
    const called = call(prepared).finally(() => order.push('call'));
    const closed = prepared.p.close().then(() => order.push('close'));
    await called;
    await closed;
    expect(order).toEqual(['call', 'close']);
  });

  it('gives up in close a request that has not had its turn, and asks its registry nothing', async () => {
    const registry = await serveImages({ app });
    registry.instead = () => 'done';
    const p = await openMemoryStore();
    const before = Array.from({ length: 40 }, () => p.images.list());
    const requested = p.images.request(`${registry.host}/app:v1`);
    const closed = p.close();
    await Promise.all([...before, closed]);
    expect(registry.asked).toEqual([]);
    expect(await requested).toEqual({ state: 'missing' });
  });

  it('turns down whatever is called after close, while it closes and when it has', async () => {
    const prepared = await prepare();
    const outcomes = async () => {
      const called = Object.values(CALLS).map((call) => call(prepared).catch((error: ProvisionerError) => error.code));
      return new Set(await Promise.all(called));
    };
    const closed = prepared.p.close();
    expect(await outcomes()).toEqual(new Set(['ERR_CLOSED']));
    await closed;
    expect(await outcomes()).toEqual(new Set(['ERR_CLOSED']));
  });

  it('lets go of everything when one thing cannot be let go, says what that was, and stays closed', async () => {
    const p = await Provisioner.open({ root: join(temporaryDirectory(), 'store'), records: 'memory' });
    // Opens them all.
    await p.store.info();
    const fault = new Error('the records cannot be closed');
    vi.spyOn(WorkerPool.prototype, 'close').mockRejectedValue(new Error('nor can the threads'));
    vi.spyOn(MemoryMetadataManager.prototype, 'close').mockRejectedValueOnce(fault);
    const lock = vi.spyOn(StoreLock.prototype, 'close');
    const threads = vi.mocked(WorkerPool.prototype.close);
    const first = await p.close().catch((error: unknown) => error);
    expect(first).toMatchObject({ message: 'nor can the threads' });
    // The sweeper's and the provisioner's own.
    expect(threads).toHaveBeenCalledTimes(2);
    expect(MemoryMetadataManager.prototype.close).toHaveBeenCalledTimes(1);
    expect(lock).toHaveBeenCalledTimes(1);
    expect(await p.close().catch((error: unknown) => error)).toBe(first);
    await expect(p.images.list()).rejects.toMatchObject({ code: 'ERR_CLOSED' });
  });
});
