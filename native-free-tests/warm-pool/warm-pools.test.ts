import { describe, expect, it } from 'vitest';
import { listPools } from '#src/warm-pool/index.js';
import { APP, filled, passed, storeForPools } from './opened-pools.js';

const POOL = { image: APP, size: 2 };

describe('pools of warm containers', () => {
  it('keep containers that are held at their gates, recorded as such, and hand them out running', async () => {
    const { open, containers, waiting } = await storeForPools();
    const { pools } = await open();
    const pool = await pools.keep('web', POOL);
    await filled(pool, 2);
    const records = await waiting();
    expect(records).toHaveLength(2);
    const launch = await containers.get(records[0]?.containerId ?? '');
    expect(launch).toMatchObject({ state: 'created', imageName: APP, command: ['runs'] });
    expect(records[0]).toMatchObject({ pool: 'web', owner: 'default', kind: 'created', isTaken: false });
    const claimed = await pool.get();
    expect(claimed?.launch).toMatchObject({ state: 'running', containerId: claimed?.containerId });
    await filled(pool, 2);
    const ids = (await waiting()).map(({ containerId }) => containerId);
    expect(ids).toHaveLength(2);
    expect(ids).not.toContain(claimed?.containerId);
    expect(await containers.get(claimed?.containerId ?? '')).toMatchObject({ state: 'running' });
  });

  it('keep what runs and waits for work, standing still if that is wanted, and hand it out running', async () => {
    const { open, containers, waiting } = await storeForPools();
    const { pools } = await open();
    for (const frozen of [false, true]) {
      const name = frozen ? 'frozen' : 'running';
      const pool = await pools.keep(name, { ...POOL, kind: 'generic', frozen });
      await filled(pool, 2);
      const record = (await waiting()).find((one) => one.pool === name);
      const state = (await containers.get(record?.containerId ?? ''))?.state;
      expect([record?.kind, state]).toEqual(['generic', frozen ? 'paused' : 'running']);
      const claimed = await pool.get();
      expect(claimed?.launch?.state).toBe('running');
      const { ended } = await containers.exec(claimed?.containerId ?? '', ['ends']);
      expect(await ended).toMatchObject({ code: 0 });
    }
  });

  it('give what its program prints where that is asked for', async () => {
    const { open } = await storeForPools();
    const { pools } = await open();
    const pool = await pools.keep('web', POOL);
    await filled(pool, 2);
    expect((await pool.get())?.launch?.output).toBeUndefined();
    expect((await pool.get({ attach: true }))?.launch?.output).toBeDefined();
  });

  it('refuse what is no pool, and tell which option it is', async () => {
    const { open } = await storeForPools();
    const { pools } = await open();
    const refused: [string, object][] = [
      ['', {}],
      ['with space', {}],
      ['web', { size: 1 }],
      ['web', { size: 2.5 }],
      ['web', { size: { min: 0, max: 1 } }],
      ['web', { size: { min: 3, max: 2 } }],
      ['web', { size: { min: -1, max: 2 } }],
      ['web', { size: { min: 0, max: 2, grow: { by: 0 } } }],
      ['web', { image: '' }],
      ['web', { ttl: 0 }],
      ['web', { frozen: true }],
      ['web', { kind: 'frozen' }],
      ['web', { kind: 'generic', launch: { timeout: 1000 } }],
      ['web', { kind: 'rootfs', launch: { command: ['runs'] } }],
      ['web', { limits: { atATime: 0 } }],
      ['web', { unknown: 1 }],
    ];
    for (const [name, change] of refused) {
      const keeping = pools.keep(name, { ...POOL, ...change });
      await expect(keeping, `${name} ${JSON.stringify(change)}`).rejects.toMatchObject({ code: 'ERR_BAD_OPTION' });
    }
    expect(pools.status()).toEqual([]);
    // And a name that was refused is free.
    await pools.keep('web', { ...POOL, size: { min: 0, max: 2 } });
  });

  it('refuse what nobody can wait for', async () => {
    const { open } = await storeForPools();
    const { pools } = await open();
    const pool = await pools.keep('web', { ...POOL, size: { min: 0, max: 2 } });
    for (const timeout of [-1, Number.NaN, 2 ** 31]) {
      await expect(pool.get({ timeout })).rejects.toMatchObject({ code: 'ERR_BAD_OPTION' });
    }
    expect(pool.status().misses).toBe(0);
    expect(() => pool.resize(1)).toThrow(expect.objectContaining({ code: 'ERR_BAD_OPTION' }));
    expect(pool.capacity).toBe(2);
  });

  it('are known by their names as long as they are kept', async () => {
    const { open } = await storeForPools();
    const { pools } = await open();
    const pool = await pools.keep('web', POOL);
    expect(pools.pool('web')).toBe(pool);
    expect(() => pools.pool('other')).toThrow(expect.objectContaining({ code: 'ERR_POOL_NOT_FOUND' }));
    await pool.stop();
    expect(() => pools.pool('web')).toThrow(expect.objectContaining({ code: 'ERR_POOL_NOT_FOUND' }));
  });

  it('tell what happens, each with its pool, in its order', async () => {
    const { open } = await storeForPools();
    const { pools, events } = await open();
    const pool = await pools.keep('web', POOL);
    await filled(pool, 2);
    const claimed = await pool.get();
    await filled(pool, 2);
    await pool.stop();
    expect(new Set(events.map((event) => event.pool))).toEqual(new Set(['web']));
    const kinds = events.map(({ kind }) => kind);
    expect(kinds).toEqual(['ready', 'ready', 'claimed', 'ready', 'retired', 'retired']);
    expect(events[2]).toMatchObject({ container: claimed?.containerId });
  });

  it('are under one budget', async () => {
    const { open } = await storeForPools();
    const { pools } = await open({ budget: { containers: 3 } });
    const one = await pools.keep('one', POOL);
    await filled(one, 2);
    const other = await pools.keep('other', POOL);
    await filled(other, 1);
    await one.stop();
    const third = await pools.keep('third', { ...POOL, size: { min: 0, max: 2 } });
    expect(third.size).toBe(0);
  });

  it('give up what takes more than there is by now', async () => {
    const { open, containers, look } = await storeForPools();
    const { pools, events } = await open({ budget: { memoryBytes: 2 ** 22 } });
    const pool = await pools.keep('web', { ...POOL, kind: 'generic', size: 3 });
    await filled(pool, 3);
    const stats = containers.stats.bind(containers);
    containers.stats = async (id) => ({ ...(await stats(id)), memory: 2 ** 21 });
    for (let looks = 0; looks < 12; looks++) await look();
    expect([pool.size, pool.status().cost.memory]).toEqual([2, 2 ** 22]);
    expect(events.flatMap((event) => (event.kind === 'retired' ? event.reason : []))).toEqual(['budget']);
  });

  it('have the numbers of each, in the process and beside it', async () => {
    const { open, look, provisioner } = await storeForPools();
    const { pools } = await open();
    const pool = await pools.keep('web', { ...POOL, size: { min: 2, max: 4 } });
    await filled(pool, 2);
    await pool.get();
    await filled(pool, 2);
    const mine = pools.status();
    expect(mine).toMatchObject([
      { pool: 'web', owner: 'default', kind: 'created', image: APP, min: 2, max: 4, target: 2, ready: 2 },
    ]);
    expect(mine[0]).toMatchObject({ creators: 0, hits: 1, misses: 0, created: 3, failed: 0, recentErrors: 0 });
    expect(mine[0]).toMatchObject({ creationTime: { median: 0, most: 0 }, oldestAge: 10, isHeldBack: false });
    await look();
    const [report] = await listPools(provisioner);
    expect(report).toMatchObject({ pool: 'web', owner: 'default', isKept: true });
    expect(report?.status).toMatchObject({ ready: 2, hits: 1, oldestAge: 500 });
    expect(report?.containers).toHaveLength(2);
  });
});

describe('a pool that is stopped', () => {
  it('has nothing left, but for what was had of it, and its name is free at once', async () => {
    const { open, machine, waiting, provisioner } = await storeForPools();
    const { pools } = await open();
    for (let times = 0; times < 3; times++) {
      const pool = await pools.keep('web', POOL);
      await filled(pool, 2);
      const claimed = await pool.get();
      await filled(pool, 2);
      expect(await pool.stop()).toBe(2);
      expect([...machine.containers.keys()]).toEqual([claimed?.containerId]);
      await provisioner.destroy(claimed?.containerId ?? '');
      machine.containers.clear();
      expect(await waiting()).toEqual([]);
    }
    expect(await listPools(provisioner)).toEqual([]);
  });

  it('while something is being made that does not end is kept still until that has, and then leaves nothing', async () => {
    const { open, containers, machine, waiting, clock, provisioner } = await storeForPools();
    const { pools } = await open();
    const create = containers.create.bind(containers);
    let letGo = () => {};
    const held = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    containers.create = async (...own) => {
      await held;
      return create(own[0], own[1]);
    };
    const pool = await pools.keep('web', POOL);
    await expect.poll(() => pool.creators).toBe(2);
    await passed();
    const stop = pool.stop({ timeout: 1000 });
    const outcome = expect(stop).rejects.toMatchObject({ code: 'ERR_POOL_TIMEOUT', details: { destroyed: 0 } });
    await passed();
    await clock.step(1000);
    await outcome;
    await expect(pools.keep('web', POOL)).rejects.toMatchObject({ code: 'ERR_POOL_RUNNING' });
    expect(await pool.stop()).toBe(0);
    letGo();
    await expect.poll(() => listPools(provisioner)).toEqual([]);
    expect([[...machine.containers.keys()], await waiting()]).toEqual([[], []]);
    containers.create = create;
    await filled(await pools.keep('web', POOL), 2);
  });
});

describe('pools that are closed', () => {
  it('leave what is ready to whoever begins them the next time, and give nobody anything', async () => {
    const { open, machine, provisioner } = await storeForPools();
    const { pools } = await open();
    const pool = await pools.keep('web', POOL);
    await filled(pool, 2);
    await pools.close();
    await pools.close();
    expect(machine.containers.size).toBe(2);
    expect(await listPools(provisioner)).toMatchObject([{ pool: 'web', isKept: false }]);
    await expect(pool.get()).rejects.toMatchObject({ code: 'ERR_POOL_STOPPED' });
    await expect(pools.keep('other', POOL)).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    await expect(pools.destroyAbandoned()).rejects.toMatchObject({ code: 'ERR_CLOSED' });
  });

  it('while one of them is being begun keep none', async () => {
    const { open, provisioner } = await storeForPools();
    const { pools } = await open();
    const keeping = pools.keep('web', POOL).catch(({ code }) => code);
    await pools.close();
    expect((await listPools(provisioner)).filter(({ isKept }) => isKept)).toEqual([]);
    expect(await keeping).toBe('ERR_CLOSED');
    await passed();
    expect((await listPools(provisioner)).filter(({ isKept }) => isKept)).toEqual([]);
  });

  it('do not look at anything any more', async () => {
    const { open, containers, look, clock } = await storeForPools();
    const { pools } = await open();
    await filled(await pools.keep('web', POOL), 2);
    let looks = 0;
    let held: Promise<void> | undefined;
    const { fault } = containers.ready;
    Object.assign(containers.ready, {
      fault: async (...own: Parameters<typeof fault>) => {
        looks++;
        await held;
        return fault(...own);
      },
    });
    await look();
    expect(looks).toBe(2);
    // One that is under way comes to its end.
    let letGo = () => {};
    held = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    await clock.step(500);
    await passed();
    const closed = pools.close();
    letGo();
    await closed;
    const before = looks;
    for (let times = 0; times < 3; times++) await look();
    expect([looks, clock.waiting]).toEqual([before, 0]);
  });
});

describe('a pool that cannot be begun', () => {
  it('leaves its name free, and makes nothing', async () => {
    const { open, provisioner, machine, waiting } = await storeForPools();
    const { pools } = await open();
    const { change } = provisioner.holdings;
    const failure = new Error('the disk is full');
    Object.assign(provisioner.holdings, { change: () => Promise.reject(failure) });
    await expect(pools.keep('web', POOL)).rejects.toBe(failure);
    Object.assign(provisioner.holdings, { change });
    await passed();
    expect([machine.containers.size, await waiting(), await listPools(provisioner)]).toEqual([0, [], []]);
    await filled(await pools.keep('web', POOL), 2);
  });
});
