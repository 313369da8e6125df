import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type ContainerHolder, Provisioner, type Service } from '#src/index.js';
import { buildImage, buildLayer } from '../helpers/image-builder.js';
import { layoutOf, openMemoryStore, temporaryDirectory } from '../helpers/memory-store.js';

/** A store with an image of one layer. */
async function storeWithApp(): Promise<Provisioner> {
  const p = await openMemoryStore();
  const image = buildImage([buildLayer([{ path: 'app', content: 'v1' }])]);
  await p.images.pull(await layoutOf(image), { name: 'app' });
  return p;
}

describe('what stands on a provisioner', () => {
  it('is opened when it is first asked for, may use the store until it has ended, and ends before the store does', async () => {
    const p = await openMemoryStore();
    const closed: unknown[] = [];
    let opened = 0;
    const wing: Service<Provisioner, { readonly number: number }> = {
      open: () => ({ number: ++opened }),
      close: async () => closed.push((await p.store.info()).root),
    };
    const above: Service<Provisioner, Promise<string>> = {
      open: async (_, get) => `on ${get(wing).number}`,
      close: (name) => closed.push(name),
    };
    expect(await p.use(above)).toBe('on 1');
    expect(p.use(wing)).toBe(p.use(wing));
    await Promise.all([p.close(), p.close()]);
    expect(closed).toEqual(['on 1', p.root]);
    expect(() => p.use(wing)).toThrow(expect.objectContaining({ code: 'ERR_CLOSED' }));
  });

  it('that fails to end keeps the store from nothing', async () => {
    const p = await Provisioner.open({ root: join(temporaryDirectory(), 'store'), records: 'memory' });
    p.use({
      open: () => 'wing',
      close: () => {
        throw new Error('it would not end');
      },
    });
    await expect(p.close()).rejects.toThrow('it would not end');
    await expect(p.images.list()).rejects.toMatchObject({ code: 'ERR_CLOSED' });
  });
});

describe('what is kept by something that stands on a provisioner', () => {
  const because = { kind: 'wing', wing: 'runs', reason: 'run 7 may be begun again' } as const;

  it('stays, and why tells of it, until it is let go', async () => {
    const p = await storeWithApp();
    const letGo = p.store.addKeeper({
      keepers: ({ images }, now, keep) => {
        expect(now).toBeGreaterThan(1_700_000_000_000);
        for (const { id } of images) keep.image(id, because);
      },
    });
    expect((await p.store.why('app')).reasons).toEqual([because]);
    const [layer = ''] = (await p.images.list())[0]?.layers ?? [];
    expect((await p.store.why(layer)).reasons).toEqual([
      expect.objectContaining({ kind: 'image', because: [because] }),
    ]);
    expect((await p.pruneImages([], { dryRun: true })).plan.images).toEqual([]);
    expect((await p.pruneImages()).images[0]?.reasons).toEqual([because]);
    letGo();
    expect((await p.store.why('app')).reasons).toEqual([]);
    expect((await p.pruneImages()).images[0]?.reasons).toEqual([]);
    expect(await p.images.list()).toEqual([]);
  });

  it('is in no plan that was made before', async () => {
    const p = await storeWithApp();
    const { plan } = await p.pruneImages([], { dryRun: true });
    expect(plan.images).toHaveLength(1);
    const letGo = p.store.addKeeper({
      keepers: ({ images }, _now, keep) => {
        for (const { id } of images) keep.image(id, because);
      },
    });
    await expect(p.store.applyPlan(plan)).rejects.toMatchObject({ code: 'ERR_PLAN_OUTDATED' });
    expect(await p.images.list()).toHaveLength(1);
    letGo();
    expect((await p.store.applyPlan(plan)).images[0]?.reasons).toEqual([]);
  });

  it('is kept from a prune that was begun before what keeps it is closed', async () => {
    const p = await storeWithApp();
    p.use({
      open: () =>
        p.store.addKeeper({
          keepers: async ({ images }, _now, keep) => {
            for (const { id } of images) keep.image(id, because);
          },
        }),
      close: (letGo) => letGo(),
    });
    const pruning = p.pruneImages();
    await p.close();
    expect((await pruning).images[0]?.reasons).toEqual([because]);
  });

  it('is lost to no prune when its rule fails', async () => {
    const p = await storeWithApp();
    p.store.addKeeper({
      keepers: () => {
        throw new Error('it does not know');
      },
    });
    await expect(p.pruneImages()).rejects.toThrow('it does not know');
    expect(await p.images.list()).toHaveLength(1);
  });

  it('is kept by a rule, and by nothing else', async () => {
    const p = await storeWithApp();
    expect(() => p.store.addKeeper({} as never)).toThrow(expect.objectContaining({ code: 'ERR_BAD_OPTION' }));
    expect(() => p.store.addKeeper(undefined as never)).toThrow(expect.objectContaining({ code: 'ERR_BAD_OPTION' }));
  });
});

describe('a container in which something runs', () => {
  function runningIn(...ids: string[]): ContainerHolder & { readonly ended: string[] } {
    const ended: string[] = [];
    const runs = (id: string) => ids.includes(id) && !ended.includes(id);
    return {
      ended,
      running: (id) => (runs(id) ? `process 7 runs in it` : undefined),
      end: async (id) => void ended.push(id),
      held: () => ids.filter(runs),
    };
  }

  it('is not destroyed, nor what it is nested in, unless what runs is to be killed', async () => {
    const p = await storeWithApp();
    for (const id of ['job', 'job/side', 'other']) await p.provision(id, 'app');
    const runs = runningIn('job/side');
    p.containers.addHolder(runs);
    for (const id of ['job', 'job/side'])
      await expect(p.destroy(id)).rejects.toMatchObject({
        code: 'ERR_CONTAINER_RUNNING',
        details: { containerId: 'job/side' },
        hint: expect.stringContaining('kill'),
      });
    expect(await p.destroy('other')).toBe(true);
    expect((await p.containers.list()).map(({ id }) => id)).toEqual(['job', 'job/side']);
    expect(await p.destroy('job', { running: 'kill' })).toBe(true);
    expect([runs.ended, await p.containers.list()]).toEqual([['job/side'], []]);
  });

  it('is known to a recovery that knows of others', async () => {
    const p = await storeWithApp();
    for (const id of ['known', 'forgotten', 'job', 'job/side']) await p.provision(id, 'app');
    p.containers.addHolder(runningIn('job/side'));
    expect((await p.recover({ knownContainerIds: ['known'] })).destroyed).toEqual(['forgotten']);
    expect((await p.containers.list()).map(({ id }) => id)).toEqual(['job', 'job/side', 'known']);
  });

  it('is left alone by a recovery also when it began after the recovery did', async () => {
    const p = await storeWithApp();
    for (const id of ['late', 'known']) await p.provision(id, 'app');
    let asked = 0;
    p.containers.addHolder({ ...runningIn('late'), held: () => (asked++ === 0 ? [] : ['late']) });
    const report = await p.recover({ knownContainerIds: ['known'] });
    expect([report.destroyed, report.untrusted]).toEqual([
      [],
      [{ containerId: 'late', reason: expect.stringContaining('process 7 runs in it') }],
    ]);
    expect((await p.containers.list()).map(({ id }) => id)).toEqual(['known', 'late']);
  });

  it('is taken for any by a recovery when nobody can say what runs, and the rest is put right', async () => {
    const p = await storeWithApp();
    for (const id of ['known', 'job']) await p.provision(id, 'app');
    const held = () => {
      throw new Error('it does not know');
    };
    p.containers.addHolder({ ...runningIn(), held });
    const report = await p.recover({ knownContainerIds: ['known'] });
    expect([report.destroyed, report.failed.map(({ message }) => message)]).toEqual([
      [],
      [expect.stringContaining('it does not know')],
    ]);
    expect(await p.containers.list()).toHaveLength(2);
  });

  it('is begun in its turn, so that no destroy comes in between', async () => {
    const p = await storeWithApp();
    await p.provision('job', 'app');
    const order: string[] = [];
    let begin = () => {};
    const began = new Promise<void>((resolve) => {
      begin = resolve;
    });
    const turn = p.containers.inTurn('job', async () => {
      order.push('begins');
      await began;
      order.push('runs');
      p.containers.addHolder(runningIn('job'));
    });
    const destroyed = p.destroy('job').finally(() => order.push('destroy answers'));
    begin();
    await turn;
    await expect(destroyed).rejects.toMatchObject({ code: 'ERR_CONTAINER_RUNNING' });
    expect(order).toEqual(['begins', 'runs', 'destroy answers']);
    expect(await p.containers.inTurn('job', async () => 7)).toBe(7);
    const aborted = { signal: AbortSignal.abort() };
    await expect(p.containers.inTurn('job', async () => 7, aborted)).rejects.toMatchObject({ code: 'ERR_ABORTED' });
  });

  it('is held by what can say so, and by nothing else', async () => {
    const p = await storeWithApp();
    const half = { running: () => undefined } as never;
    expect(() => p.containers.addHolder(half)).toThrow(expect.objectContaining({ code: 'ERR_BAD_OPTION' }));
  });
});
