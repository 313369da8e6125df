import { describe, expect, it } from 'vitest';
import { askToHoldBack, takeWarm } from '#src/containerizer/ready/warm-records.js';
import { listPools } from '#src/warm-pool/index.js';
import { buildImage, buildLayer } from '../helpers/image-builder.js';
import { layoutOf } from '../helpers/memory-store.js';
import { APP, filled, passed, storeForPools } from './opened-pools.js';

const POOL = { image: APP, size: 2 };
const DEAD_KEEPER = 'web default';

/** One whose process has died right after its pool was filled. */
async function abandonedPool(spec: object = POOL) {
  const store = await storeForPools();
  const { pools, die } = await store.open();
  const pool = await pools.keep('web', { ...POOL, ...spec });
  await filled(pool, 2);
  await passed();
  die();
  store.dead.add(DEAD_KEEPER);
  const ids = (await store.waiting()).map(({ containerId }) => containerId);
  const { pools: next, events } = await store.open();
  /** As the next process begins it. */
  const again = async (change: object = {}) => {
    const begun = await next.keep('web', { ...POOL, ...spec, ...change });
    store.dead.clear();
    return begun;
  };
  return { ...store, first: pool, ids, next, events, again };
}

describe('of two processes', () => {
  it('one keeps a pool of that name, and the other is told so until it has been closed', async () => {
    const { open, machine } = await storeForPools();
    const [one, other] = [await open(), await open()];
    const pool = await one.pools.keep('web', POOL);
    await filled(pool, 2);
    await expect(other.pools.keep('web', POOL)).rejects.toMatchObject({
      code: 'ERR_POOL_RUNNING',
      details: { pool: 'web', pid: process.pid },
    });
    const before = [...machine.containers.keys()].sort();
    await one.pools.close();
    const next = await other.pools.keep('web', POOL);
    expect(next.size).toBe(2);
    await passed();
    expect([...machine.containers.keys()].sort()).toEqual(before);
    expect(other.events).toEqual([]);
  });

  it('that begin it at once one gets it', async () => {
    const { open, dead, machine } = await storeForPools();
    const three = [await open(), await open(), await open()];
    for (const isFirst of [true, false]) {
      const outcomes = await Promise.allSettled(three.map(({ pools }) => pools.keep('web', POOL)));
      const kept = outcomes.filter(({ status }) => status === 'fulfilled');
      expect(kept).toHaveLength(1);
      const [winner] = three.flatMap(({ pools }) => (pools.status().length > 0 ? [pools.pool('web')] : []));
      if (winner !== undefined) await filled(winner, 2);
      expect(machine.containers.size).toBe(2);
      if (isFirst) await winner?.stop();
    }
    expect(dead.size).toBe(0);
  });

  it('none is handed the same container, though both believe that they have it', async () => {
    const { first, again, ids, machine } = await abandonedPool();
    const pool = await again();
    const other = await Promise.all([pool.get(), pool.get()]);
    expect(other.map((one) => one?.containerId).sort()).toEqual(ids);
    // The first one, which was thought to be dead, has them ready still.
    expect([first.size, await first.get()]).toEqual([2, null]);
    await passed();
    for (const id of ids) expect(machine.containers.get(id)?.launch.state).toBe('running');
  });
});

describe('what a process that died has left of a pool', () => {
  it('is taken over by whoever begins it with the same, and handed out first', async () => {
    const { again, ids, machine, events } = await abandonedPool();
    const pool = await again();
    expect([pool.size, machine.containers.size, events]).toEqual([2, 2, []]);
    expect(ids).toContain((await pool.get())?.containerId);
    expect(ids).toContain((await pool.get())?.containerId);
    await filled(pool, 2);
  });

  it('is destroyed where something else is wanted now', async () => {
    const launch = { env: { A: 'b' } };
    for (const change of [{ launch }, { kind: 'generic' }, { image: 'app:2' }]) {
      const { again, machine, waiting, move } = await abandonedPool();
      move('app:2', `sha256:${'2'.repeat(64)}`);
      const first = [...machine.containers.keys()];
      const pool = await again(change);
      await filled(pool, 2);
      expect(first.filter((id) => machine.containers.has(id))).toEqual([]);
      expect(await waiting()).toHaveLength(2);
    }
  });

  it('is taken over as far as there are to be so many, and the rest is destroyed', async () => {
    const { again, machine } = await abandonedPool();
    const pool = await again({ size: { min: 1, max: 2 } });
    expect([pool.size, machine.containers.size]).toEqual([1, 1]);
  });

  it('is destroyed where it cannot be handed out: it was ended, or the machine was started anew', async () => {
    const { again, machine, containers, ids } = await abandonedPool();
    await containers.stop(ids[0] ?? '');
    const pool = await again();
    await filled(pool, 2);
    expect(ids.filter((id) => machine.containers.has(id))).toEqual([ids[1]]);
  });

  it('is destroyed where it is of another boot of the machine', async () => {
    const { again, provisioner, machine, ids } = await abandonedPool();
    const records = await provisioner.holdings.list({ kind: 'warm' });
    await provisioner.holdings.release(records);
    for (const { name, details } of records) {
      await provisioner.holdings.take({ bootId: 'another' }, [{ kind: 'warm', names: [name], details }]);
    }
    const pool = await again();
    await filled(pool, 2);
    expect(ids.filter((id) => machine.containers.has(id))).toEqual([]);
  });

  it('is not taken over by a pool that is stopped while it looks for it', async () => {
    const { again, containers, provisioner, look, clock, machine } = await abandonedPool();
    const pool = await again();
    const [record] = await provisioner.holdings.list({ kind: 'warm' });
    for (let looks = 0; looks < 9; looks++) await look();
    await containers.create('late', APP);
    await provisioner.holdings.take({ bootId: record?.bootId ?? '' }, [
      { kind: 'warm', names: ['late'], details: record?.details },
    ]);
    // There is room for it.
    containers.create = () => Promise.reject(new Error('not now'));
    pool.resize(3);
    const get = containers.get.bind(containers);
    let letGo = () => {};
    const held = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    let isHeld = false;
    containers.get = async (id) => {
      if (id === 'late') {
        isHeld = true;
        await held;
      }
      return get(id);
    };
    await clock.step(500);
    await passed();
    const ended = pool.stop();
    await passed();
    letGo();
    await ended;
    await passed();
    expect([isHeld, pool.size, machine.containers.get('late')?.launch.state]).toEqual([true, 0, 'created']);
  });

  it('is forgotten where nothing had been made of it yet', async () => {
    const { again, machine, ids, waiting } = await abandonedPool();
    machine.containers.delete(ids[0] ?? '');
    const pool = await again();
    await filled(pool, 2);
    const now = (await waiting()).map(({ containerId }) => containerId);
    expect([now.length, now.includes(ids[0] ?? ''), now.includes(ids[1] ?? '')]).toEqual([2, false, true]);
  });

  it('and was just being handed out is destroyed where it waits still, and somebody’s where it runs', async () => {
    const { again, machine, containers, provisioner, ids, waiting } = await abandonedPool();
    for (const id of ids) expect(await takeWarm(provisioner, id)).toBe(true);
    await containers.ready.letGo(ids[1] ?? '');
    const pool = await again();
    await filled(pool, 2);
    expect([machine.containers.has(ids[0] ?? ''), machine.containers.get(ids[1] ?? '')?.launch.state]).toEqual([
      false,
      'running',
    ]);
    expect((await waiting()).filter(({ containerId }) => ids.includes(containerId))).toEqual([]);
  });

  it('and was started by its id is somebody’s', async () => {
    const { again, containers, machine, ids, waiting } = await abandonedPool();
    await containers.start(ids[0] ?? '');
    const pool = await again();
    await filled(pool, 2);
    expect(machine.containers.get(ids[0] ?? '')?.launch.state).toBe('running');
    expect((await waiting()).some(({ containerId }) => containerId === ids[0])).toBe(false);
  });

  it('and cannot be looked at just now is taken over or destroyed later', async () => {
    const { again, containers, machine, ids, look, waiting } = await abandonedPool();
    const { fault } = containers.ready;
    let isBroken = true;
    Object.assign(containers.ready, {
      fault: (...own: Parameters<typeof fault>) =>
        isBroken && own[0] === ids[0] ? Promise.reject(new Error('unreadable')) : fault(...own),
    });
    const pool = await again();
    await filled(pool, 2);
    expect((await waiting()).length).toBe(3);
    isBroken = false;
    for (let looks = 0; looks < 12; looks++) await look();
    expect([pool.size, (await waiting()).length, machine.containers.size]).toEqual([2, 2, 2]);
  });

  it('of other pools is left alone, until somebody destroys what nobody keeps', async () => {
    const { next, ids, machine, waiting, dead } = await abandonedPool();
    const other = await next.keep('other', POOL);
    await filled(other, 2);
    expect(machine.containers.size).toBe(4);
    expect((await next.destroyAbandoned()).sort()).toEqual(ids);
    expect((await waiting()).map(({ pool }) => pool)).toEqual(['other', 'other']);
    expect(dead.size).toBe(1);
    expect(machine.containers.size).toBe(2);
    expect(await next.destroyAbandoned()).toEqual([]);
  });

  it('is nothing that another owner may touch', async () => {
    const { provisioner, machine, next, waiting, ids } = await abandonedPool();
    // As another owner's are recorded.
    const note = { pool: 'web', owner: 'somebody', kind: 'created', key: '0'.repeat(64) };
    const his = machine.containerizer('somebody');
    await his.create('his', APP);
    await provisioner.holdings.take({ bootId: 'boot' }, [
      { kind: 'warm', names: ['his'], details: JSON.stringify(note) },
    ]);
    expect((await next.destroyAbandoned()).sort()).toEqual(ids);
    await filled(await next.keep('web', POOL), 2);
    expect(machine.containers.get('his')?.launch.state).toBe('created');
    expect((await waiting()).filter(({ owner }) => owner === 'somebody')).toHaveLength(1);
  });
});

describe('a name that comes to lead to another image', () => {
  const images = ['v1', 'v2'].map((content) => buildImage([buildLayer([{ path: 'app', content }])]));

  it('has the pool refilled from that, and what was made of the old one destroyed', async () => {
    const { open, provisioner, look, move, waiting, containers } = await storeForPools();
    const [v1, v2] = images;
    if (v1 === undefined || v2 === undefined) throw new Error('there are no images');
    const first = (await provisioner.images.pull(await layoutOf(v1), { name: APP })).id;
    move(APP, first);
    const { pools, events } = await open();
    const pool = await pools.keep('web', POOL);
    await filled(pool, 2);
    await look();
    expect(events.map(({ kind }) => kind)).toEqual(['ready', 'ready']);
    const second = (await provisioner.images.pull(await layoutOf(v2), { name: APP })).id;
    move(APP, second);
    await look();
    await filled(pool, 2);
    expect(events.map((event) => (event.kind === 'retired' ? event.reason : event.kind)).sort()).toEqual(
      ['outdated', 'outdated', 'ready', 'ready', 'ready', 'ready'].sort(),
    );
    const made = await Promise.all((await waiting()).map(({ containerId }) => containers.get(containerId)));
    expect(made.map((launch) => launch?.image)).toEqual([second, second]);
    // Its name has gone: what was made of it stays.
    await provisioner.images.remove(APP);
    await look();
    expect(pool.size).toBe(2);
  });

  it('while nobody kept the pool has what is left of it destroyed', async () => {
    const { again, provisioner, move, machine, ids } = await abandonedPool();
    const [v1] = images;
    if (v1 === undefined) throw new Error('there are no images');
    move(APP, (await provisioner.images.pull(await layoutOf(v1), { name: APP })).id);
    const pool = await again();
    await filled(pool, 2);
    expect(ids.filter((id) => machine.containers.has(id))).toEqual([]);
  });
});

describe('a pool in use', () => {
  it('makes nothing more when a prune had to take its containers, until somebody finds none', async () => {
    const { open, provisioner, containers, look, waiting } = await storeForPools();
    const { pools } = await open();
    const pool = await pools.keep('web', POOL);
    await filled(pool, 2);
    for (const record of await waiting()) {
      expect(await takeWarm(provisioner, record.containerId)).toBe(true);
      await askToHoldBack(provisioner, record);
      await containers.destroy(record.containerId);
    }
    await look();
    await look();
    expect([pool.size, pool.creators, pool.status().isHeldBack]).toEqual([0, 0, true]);
    expect(await pool.get()).toBeNull();
    await filled(pool, 2);
    expect(pool.status().isHeldBack).toBe(false);
  });

  it('replaces what was started by its id, and leaves that to whoever did', async () => {
    const { open, containers, machine, look, waiting } = await storeForPools();
    const { pools } = await open();
    const pool = await pools.keep('web', POOL);
    await filled(pool, 2);
    const id = (await waiting())[0]?.containerId ?? '';
    await containers.start(id);
    await look();
    await filled(pool, 2);
    expect(machine.containers.get(id)?.launch.state).toBe('running');
    expect((await waiting()).some(({ containerId }) => containerId === id)).toBe(false);
    for (let times = 0; times < 4; times++) {
      expect((await pool.get())?.containerId).not.toBe(id);
      await filled(pool, 2);
    }
  });

  it('hands out another one when a claim fails, and destroys the one that failed', async () => {
    const { open, containers, machine, waiting } = await storeForPools();
    const { pools, events } = await open();
    const pool = await pools.keep('web', POOL);
    await filled(pool, 2);
    const { letGo } = containers.ready;
    let failed: string | undefined;
    Object.assign(containers.ready, {
      letGo: (...own: Parameters<typeof letGo>) => {
        if (failed !== undefined) return letGo(...own);
        failed = own[0];
        return Promise.reject(new Error('the runtime was killed'));
      },
    });
    const claimed = await pool.get();
    expect(claimed?.launch?.state).toBe('running');
    await filled(pool, 2);
    expect([failed === claimed?.containerId, machine.containers.has(failed ?? '')]).toEqual([false, false]);
    expect(await waiting()).toHaveLength(2);
    expect(pool.status()).toMatchObject({ hits: 1, misses: 0, broken: 1 });
    expect(events).toContainEqual({ kind: 'retired', pool: 'web', container: failed, reason: 'broken' });
  });

  it('hands out nothing that has ended since it was looked at', async () => {
    for (const spec of [{}, { kind: 'generic' }, { kind: 'generic', frozen: true }] as const) {
      const { open, containers, waiting } = await storeForPools();
      const { pools } = await open();
      const pool = await pools.keep('web', { ...POOL, ...spec });
      await filled(pool, 2);
      const ids = (await waiting()).map(({ containerId }) => containerId);
      const end = 'kind' in spec ? 'kill' : 'stop';
      await containers[end](ids[0] ?? '');
      await containers.wait(ids[0] ?? '');
      const claimed = [await pool.get(), await pool.get()].map((one) => one?.launch?.state);
      expect(claimed[0], JSON.stringify(spec)).toBe('running');
      expect(claimed[1] ?? 'running').toBe('running');
    }
  });

  it('keeps the errors of what cannot be made, and leaves nothing of it', async () => {
    const { open, machine, waiting } = await storeForPools();
    const { pools, events } = await open();
    const pool = await pools.keep('web', { ...POOL, image: 'nowhere:1' });
    await expect.poll(() => pool.status().failed).toBe(2);
    await passed();
    const errors = pool.takeErrors();
    expect(errors).toMatchObject([{ code: 'ERR_IMAGE_NOT_FOUND' }, { code: 'ERR_IMAGE_NOT_FOUND' }]);
    expect(pool.status()).toMatchObject({ recentErrors: 2, lastError: expect.stringContaining('nowhere:1') });
    expect([machine.containers.size, await waiting()]).toEqual([0, []]);
    expect(events.map(({ kind }) => kind)).toEqual(['failed', 'failed']);
  });

  it('is resized, and says so', async () => {
    const { open, machine } = await storeForPools();
    const { pools } = await open();
    const pool = await pools.keep('web', POOL);
    await filled(pool, 2);
    pool.resize(4);
    await filled(pool, 4);
    pool.resize({ min: 1, max: 3 });
    await filled(pool, 1);
    expect([pool.capacity, pool.status().min, pool.status().max]).toEqual([3, 1, 3]);
    await expect.poll(() => machine.containers.size).toBe(1);
  });
});

describe('pools as they are listed', () => {
  it('are those of all owners, kept or not, with what waits in them', async () => {
    const { next, provisioner, ids } = await abandonedPool();
    const other = await next.keep('another', POOL);
    await filled(other, 2);
    const reports = await listPools(provisioner);
    expect(reports.map(({ pool, owner, isKept }) => [pool, owner, isKept])).toEqual([
      ['another', 'default', true],
      ['web', 'default', false],
    ]);
    expect(reports[1]?.containers.map(({ containerId }) => containerId)).toEqual(ids);
  });
});
