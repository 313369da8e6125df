import { describe, expect, it } from 'vitest';
import { deferred, poolOf, settled } from './scripted-source.js';

const FOR_EVER = Number.POSITIVE_INFINITY;

describe('a pool that is stopped', () => {
  it('destroys what is left, and says how many that were', async () => {
    const { pool, source, told, clock } = poolOf({ size: { min: 3, max: 3 } });
    pool.refill();
    await settled();
    await pool.get('me');
    await clock.step(10);
    told();
    expect(await pool.stop()).toBe(3);
    expect(source.deeds).toEqual(['handed out a1 to me', 'destroyed a2', 'destroyed a3', 'destroyed a4']);
    expect(told()).toEqual(['retired a2: stopped', 'retired a3: stopped', 'retired a4: stopped']);
    expect([pool.size, pool.counts.containersCleanedUp]).toEqual([0, 3]);
  });

  it('has destroyed it when that is told, and is stopped once, however often', async () => {
    const { pool, source } = poolOf();
    pool.refill();
    await settled();
    const destroyed = deferred<void>();
    source.destroying = () => destroyed.promise;
    let ended: number[] | undefined;
    const stops = Promise.all([pool.stop(), pool.stop()]).then((counts) => (ended = counts));
    await settled();
    expect(ended).toBeUndefined();
    destroyed.resolve();
    expect(await stops).toEqual([2, 0]);
    expect(await pool.stop()).toBe(0);
    expect(pool.counts.containersCleanedUp).toBe(2);
    expect(source.deeds).toHaveLength(2);
  });

  it('gives nobody anything any more: those who wait get nothing, and those who come are told', async () => {
    const { pool, source, clock } = poolOf();
    source.isQuick = false;
    const waits = [pool.get('me', { timeout: 1000 }), pool.get('me', { timeout: FOR_EVER })];
    await settled();
    await pool.stop();
    expect(await Promise.all(waits)).toEqual([null, null]);
    await expect(pool.get('me')).rejects.toMatchObject({ code: 'ERR_POOL_STOPPED' });
    await clock.step(1000);
    expect(pool.counts.misses).toBe(2);
  });

  it('does not wait for creators unless it is asked to: what they still make is destroyed, and they fail for nobody', async () => {
    const { pool, source, told } = poolOf();
    source.isQuick = false;
    pool.refill();
    expect(await pool.stop()).toBe(0);
    expect([pool.creators, source.begun.map(({ signal }) => signal.aborted)]).toEqual([0, [true, true]]);
    source.begun[0]?.succeed();
    source.begun[1]?.fail();
    await settled();
    expect([source.deeds, told(), pool.takeErrors(), pool.size]).toEqual([['destroyed a1'], [], [], 0]);
    await pool.idle();
  });

  it('waits for creators if it is asked to', async () => {
    const { pool, source, clock } = poolOf();
    pool.refill();
    await settled();
    source.isQuick = false;
    await pool.get('me');
    await clock.step(10);
    let count: number | undefined;
    const stop = pool.stop(1000).then((destroyed) => (count = destroyed));
    await clock.step(999);
    expect(count).toBeUndefined();
    source.begun[2]?.succeed();
    await stop;
    expect(count).toBe(1);
    expect(source.deeds.slice(1)).toEqual(['destroyed a2', 'destroyed a3']);
  });

  it('fails when a creator outlives that time, with all the rest done, and what comes later is destroyed', async () => {
    const { pool, source, clock } = poolOf({ size: { min: 3, max: 3 }, limits: { atATime: 1 } });
    pool.refill();
    await settled();
    source.isQuick = false;
    await pool.get('me');
    await clock.step(10);
    const stop = pool.stop(1000);
    const outcome = expect(stop).rejects.toMatchObject({
      code: 'ERR_POOL_TIMEOUT',
      details: { milliseconds: 1000, destroyed: 2 },
    });
    await clock.step(1000);
    await outcome;
    expect(source.deeds).toEqual(['handed out a1 to me', 'destroyed a2', 'destroyed a3']);
    expect(pool.counts.containersCleanedUp).toBe(2);
    let isIdle = false;
    const idle = pool.idle().then(() => (isIdle = true));
    await settled();
    expect(isIdle).toBe(false);
    source.begun[3]?.succeed();
    await idle;
    expect(source.deeds).toContain('destroyed a4');
  });

  it('does not count for those that were given up for their time before, but waits for them too', async () => {
    const { pool, source, clock } = poolOf({ limits: { timeLimit: 100, errors: 2 } });
    source.isQuick = false;
    pool.refill();
    await clock.step(100);
    const stop = pool.stop(1000);
    const outcome = expect(stop).rejects.toMatchObject({ code: 'ERR_POOL_TIMEOUT' });
    await clock.step(1000);
    await outcome;
  });

  it('tries nothing again after an error', async () => {
    const { pool, source, clock } = poolOf();
    source.isQuick = false;
    pool.refill();
    for (const each of source.begun) each.fail();
    await settled();
    await pool.stop();
    await clock.step(1_000_000);
    pool.refill();
    pool.resize({ min: 5, max: 5 });
    await pool.look(() => false);
    expect(source.begun).toHaveLength(2);
  });

  it('while one is handed out leaves that one to whoever gets it', async () => {
    for (const timeout of [0, FOR_EVER]) {
      const { pool, source } = poolOf();
      source.isQuick = timeout === 0;
      pool.refill();
      await settled();
      const handed = deferred<boolean>();
      source.handingOut = () => handed.promise;
      const got = pool.get('me', { timeout });
      await settled();
      if (timeout > 0) source.begun[0]?.succeed();
      await settled();
      const stop = pool.stop();
      await settled();
      handed.resolve(true);
      expect(await got).toBe('a1');
      expect(await stop).toBe(timeout === 0 ? 1 : 0);
      expect(source.deeds).not.toContain('destroyed a1');
    }
  });

  it('while one is handed out that cannot be had destroys that one, and whoever wanted it gets nothing', async () => {
    for (const timeout of [0, FOR_EVER]) {
      const { pool, source } = poolOf({ size: { min: 1, max: 2 } });
      source.isQuick = timeout === 0;
      pool.refill();
      await settled();
      const handed = deferred<boolean>();
      source.handingOut = () => handed.promise;
      const got = pool.get('me', { timeout });
      await settled();
      if (timeout > 0) source.begun[0]?.succeed();
      await settled();
      const stop = pool.stop();
      handed.resolve(false);
      expect(await got).toBeNull();
      await stop;
      await settled();
      expect(source.deeds.filter((deed) => deed === 'destroyed a1')).toHaveLength(1);
    }
  });

  it('and closed keeps what is ready, for whoever begins it the next time', async () => {
    const { pool, source, told } = poolOf();
    pool.refill();
    await settled();
    told();
    pool.halt();
    await pool.idle();
    expect([source.deeds, told(), pool.size]).toEqual([[], [], 2]);
    await expect(pool.get('me')).rejects.toMatchObject({ code: 'ERR_POOL_STOPPED' });
  });
});
