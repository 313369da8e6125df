import { describe, expect, it } from 'vitest';
import { deferred, poolOf, ScriptedSource, settled } from './scripted-source.js';

const FOR_EVER = Number.POSITIVE_INFINITY;

/** One whose creators wait for the test. */
function slowPool(options: Parameters<typeof poolOf>[0] = {}) {
  const source = new ScriptedSource();
  source.isQuick = false;
  return poolOf(options, source);
}

describe('who gets something from a pool in which none is ready', () => {
  it('gets nothing at once if he does not wait', async () => {
    const { pool, told } = slowPool();
    expect(await pool.get('me')).toBeNull();
    expect(await pool.get('me', { timeout: 0 })).toBeNull();
    expect([told(), pool.counts.misses]).toEqual([['miss', 'miss'], 2]);
  });

  it('gets the next one within his time, which is one miss and no hit', async () => {
    const { pool, source, clock, told } = slowPool();
    const got = pool.get('me', { timeout: 1000 });
    await settled();
    await clock.step(999);
    source.begun[0]?.succeed();
    expect(await got).toBe('a1');
    expect(told()).toEqual(['miss', 'ready a1', 'claimed a1']);
    expect(pool.counts).toMatchObject({ hits: 0, misses: 1 });
  });

  it('gets nothing when his time is over, and what comes after that is for others', async () => {
    const { pool, source, clock } = slowPool();
    const got = pool.get('me', { timeout: 1000 });
    await settled();
    await clock.step(1000);
    expect(await got).toBeNull();
    source.begun[0]?.succeed();
    await settled();
    expect(pool.size).toBe(1);
    expect(await pool.get('other')).toBe('a1');
    expect(pool.counts).toMatchObject({ hits: 1, misses: 1 });
  });

  it('waits for ever if he wants to, over errors and their pauses', async () => {
    const { pool, source, clock } = slowPool({ size: { min: 0, max: 2 } });
    const got = pool.get('me', { timeout: FOR_EVER });
    for (let times = 0; times < 20; times++) {
      await settled();
      source.begun.at(-1)?.fail();
      await settled();
      await clock.step(10_000);
    }
    source.begun.at(-1)?.succeed();
    expect(await got).toBe('a1');
    expect(pool.counts).toMatchObject({ misses: 1, failed: 20 });
  });

  it('has one made for him beyond those that are kept', async () => {
    const { pool, source } = slowPool();
    pool.refill();
    const gets = [1, 2, 3].map(() => pool.get('me', { timeout: FOR_EVER }));
    await settled();
    expect(pool.creators).toBe(5);
    for (const each of [...source.begun]) each.succeed();
    expect(await Promise.all(gets)).toEqual(['a1', 'a2', 'a3']);
    await settled();
    expect([pool.size, pool.creators]).toEqual([2, 0]);
  });

  it('waits for less when another who waited has given up', async () => {
    const { pool, source } = slowPool();
    const given = new AbortController();
    const first = pool.get('first', { timeout: FOR_EVER, signal: given.signal });
    const second = pool.get('second', { timeout: FOR_EVER });
    await settled();
    given.abort();
    await expect(first).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    source.begun[0]?.succeed();
    expect(await second).toBe('a1');
    expect(source.deeds).toEqual(['handed out a1 to second']);
  });

  it('takes nothing if he had given up before he came', async () => {
    const { pool, source } = slowPool();
    source.isQuick = true;
    pool.refill();
    await settled();
    const signal = AbortSignal.abort();
    await expect(pool.get('me', { signal })).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    expect([pool.size, source.deeds, pool.counts.misses]).toEqual([2, [], 0]);
  });

  it('and gives up while one is handed to him leaves none behind, at whatever moment', async () => {
    for (let moment = 0; moment < 40; moment++) {
      const { pool, source, told } = slowPool({ size: { min: 0, max: 2 } });
      const handed = deferred<boolean>();
      source.handingOut = () => handed.promise;
      const given = new AbortController();
      const outcome = pool.get('me', { timeout: FOR_EVER, signal: given.signal }).catch(() => 'gave up');
      await settled();
      source.begun[0]?.succeed();
      await settled();
      // Either comes first, by so many turns of the queue.
      const [first, then] = [() => given.abort(), () => handed.resolve(true)].sort(() => (moment < 20 ? 0 : -1));
      first?.();
      for (let turns = 0; turns < moment % 20; turns++) await Promise.resolve();
      then?.();
      const got = await outcome;
      await settled();
      const isHis = got === 'a1';
      expect(source.deeds, `moment ${moment}`).toEqual(
        isHis ? ['handed out a1 to me'] : ['handed out a1 to me', 'discarded a1'],
      );
      const last = isHis ? 'claimed a1' : 'retired a1: surplus';
      expect(told(), `moment ${moment}`).toEqual(['miss', 'ready a1', last]);
    }
  });

  it('whose time ends while one is handed to him gets nothing, and that one is nobody’s any more', async () => {
    const { pool, source, clock, told } = slowPool({ size: { min: 0, max: 2 } });
    const handed = deferred<boolean>();
    source.handingOut = () => handed.promise;
    const got = pool.get('me', { timeout: 1000 });
    await settled();
    source.begun[0]?.succeed();
    await settled();
    await clock.step(1000);
    expect(await got).toBeNull();
    handed.resolve(true);
    await settled();
    expect(source.deeds).toEqual(['handed out a1 to me', 'discarded a1']);
    expect(told()).toEqual(['miss', 'ready a1', 'retired a1: surplus']);
    expect(pool.counts).toMatchObject({ created: 1, retired: 1, broken: 0 });
  });

  it('gets another one when the one that came for him cannot be had, as the first in the queue', async () => {
    const { pool, source } = slowPool({ size: { min: 0, max: 2 } });
    const answers = [false, true, true];
    source.handingOut = async () => answers.shift() ?? true;
    const gets = ['one', 'two'].map((how) => pool.get(how, { timeout: FOR_EVER }));
    await settled();
    source.begun[0]?.succeed();
    await settled();
    for (const each of source.begun.slice(1)) {
      each.succeed();
      await settled();
    }
    expect(await Promise.all(gets)).toEqual(['a2', 'a3']);
    expect(source.deeds).toEqual(['destroyed a1', 'handed out a2 to one', 'handed out a3 to two']);
    expect(pool.counts.misses).toBe(2);
  });

  it('gets what has become ready meanwhile when the one that came for him cannot be had', async () => {
    const { pool, source, clock } = slowPool({ size: { min: 1, max: 2 } });
    const first = deferred<boolean>();
    const answers = [first.promise, Promise.resolve(true)];
    source.handingOut = () => answers.shift() ?? Promise.resolve(true);
    const got = pool.get('me', { timeout: 1000 });
    await settled();
    source.begun[0]?.succeed();
    await settled();
    source.begun[1]?.succeed();
    await settled();
    expect(pool.size).toBe(1);
    first.resolve(false);
    await settled();
    await clock.step(1000);
    expect(await got).toBe('a2');
  });

  it('gets what becomes ready in the very moment in which he comes', async () => {
    for (let moment = 0; moment < 12; moment++) {
      const { pool, source } = slowPool();
      pool.refill();
      const ready = (async () => {
        for (let turns = 0; turns < moment; turns++) await Promise.resolve();
        source.begun[0]?.succeed();
      })();
      const got = pool.get('me', { timeout: FOR_EVER });
      await ready;
      await settled();
      expect(await Promise.race([got, settled()]), `moment ${moment}`).toBe('a1');
    }
  });
});
