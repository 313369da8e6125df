import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Provisioner, type ProvisionerError } from '#src/index.js';
import { MemoryMetadataManager } from '#src/metadata/memory/memory-metadata-manager.js';
import { StoreLock } from '#src/system/locks/store-lock.js';
import { WorkerPool } from '#src/workers/worker-pool.js';
import { buildImage, buildLayer, writeDockerArchive } from '../helpers/image-builder.js';
import { layoutOf, openMemoryStore, temporaryDirectory } from '../helpers/memory-store.js';
import { serveImages } from '../helpers/scripted-registry.js';

const app = buildImage([buildLayer([{ path: 'app', content: 'v1' }])]);
const other = buildImage([buildLayer([{ path: 'other', content: 'v1' }])]);

interface Prepared {
  readonly p: Provisioner;
  readonly source: string;
  readonly archive: string;
}

/** Every public method but `close`, and `counters`, which begins nothing; each with arguments that it succeeds with. */
const CALLS: Readonly<Record<string, (prepared: Prepared) => Promise<unknown>>> = {
  pull: ({ p, source }) => p.pull(source, { name: 'other' }),
  availability: ({ p, source }) => p.availability(source),
  request: ({ p, source }) => p.request(source),
  pulls: ({ p }) => p.pulls(),
  load: ({ p, archive }) => p.load(archive),
  images: ({ p }) => p.images(),
  image: ({ p }) => p.image('app'),
  tag: ({ p }) => p.tag('app', 'second'),
  removeNames: ({ p }) => p.removeNames('app'),
  provision: ({ p }) => p.provision('new', 'app'),
  destroy: ({ p }) => p.destroy('old'),
  setPinned: ({ p }) => p.setPinned('app', true),
  pruneImages: ({ p }) => p.pruneImages([], { dryRun: true }),
  applyPrunePlan: ({ p }) => p.applyPrunePlan({ version: 1, madeAt: 1, images: [], layers: [], bytes: 0 }),
  swept: ({ p }) => p.swept(),
  why: ({ p }) => p.why('app'),
  recover: ({ p }) => p.recover(),
  containers: ({ p }) => p.containers(),
  check: ({ p }) => p.check(),
  diskUsage: ({ p }) => p.diskUsage(),
  info: ({ p }) => p.info(),
};

async function prepare(): Promise<Prepared> {
  const p = await openMemoryStore();
  await p.pull(await layoutOf(app), { name: 'app' });
  await p.provision('old', 'app');
  mkdirSync(join(p.root, 'gc/left.1'));
  const archive = join(temporaryDirectory(), 'archive.tar');
  await writeDockerArchive(archive, [{ image: other, tags: ['other:v1'] }]);
  return { p, source: await layoutOf(other), archive };
}

/** Lets every answer of the records take a while, so that nothing is over before it is waited for. */
function slowRecords(): void {
  const records = MemoryMetadataManager.prototype as unknown as Record<string, (...args: unknown[]) => unknown>;
  for (const name of Object.getOwnPropertyNames(records)) {
    if (name === 'constructor' || name === 'close') continue;
    const original = records[name] as (...args: unknown[]) => unknown;
    vi.spyOn(records, name).mockImplementation(async function (this: unknown, ...args) {
      await sleep(5);
      return original.apply(this, args);
    });
  }
}

afterEach(() => vi.restoreAllMocks());

describe('a provisioner', () => {
  it('has no public method that these tests do not know', () => {
    const methods = Object.getOwnPropertyNames(Provisioner.prototype).filter((name) => name !== 'constructor');
    expect(methods.sort()).toEqual([...Object.keys(CALLS), 'close', 'counters'].sort());
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
    const before = Array.from({ length: 40 }, () => p.images());
    const requested = p.request(`${registry.host}/app:v1`);
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
    await expect(p.images()).rejects.toMatchObject({ code: 'ERR_CLOSED' });
  });
});
