import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { deferred, poolOf, ScriptedSource, settled } from './scripted-source.js';

const FOR_EVER = Number.POSITIVE_INFINITY;

/** One that has as many as it is to have. */
async function filledPool(options: Parameters<typeof poolOf>[0] = {}) {
  const made = poolOf(options);
  made.pool.refill();
  await settled();
  made.told();
  return made;
}

describe('a pool', () => {
  it('is filled to its size, and refilled when one was taken', async () => {
    const { pool, told, source, clock } = poolOf({ size: { min: 3, max: 3 } });
    expect([pool.size, pool.capacity, pool.creators]).toEqual([0, 3, 0]);
    pool.refill();
    expect([pool.size, pool.creators]).toEqual([0, 3]);
    await settled();
    expect([pool.size, pool.creators]).toEqual([3, 0]);
    expect(told()).toEqual(['ready a1', 'ready a2', 'ready a3']);
    expect(await pool.get('me')).toBe('a1');
    await clock.step(10);
    expect([pool.size, told()]).toEqual([3, ['claimed a1', 'ready a4']]);
    expect(source.deeds).toEqual(['handed out a1 to me']);
    expect(pool.counts).toMatchObject({ hits: 1, misses: 0, created: 4 });
  });

  it('makes five at a time at most, or as many as it is told', async () => {
    for (const atATime of [undefined, 2]) {
      const source = new ScriptedSource();
      source.isQuick = false;
      const { pool } = poolOf({ size: { min: 20, max: 20 }, limits: { atATime } }, source);
      pool.refill();
      pool.refill();
      expect([pool.creators, source.begun.length]).toEqual([atATime ?? 5, atATime ?? 5]);
      source.begun[0]?.succeed();
      await settled();
      expect([pool.size, pool.creators, source.begun.length]).toEqual([1, atATime ?? 5, (atATime ?? 5) + 1]);
    }
  });

  it('makes no more than are missing', async () => {
    const { pool, source } = await filledPool();
    pool.refill();
    expect(source.begun).toHaveLength(2);
    source.isQuick = false;
    await pool.get('me');
    pool.refill();
    await pool.get('me');
    pool.refill();
    expect([pool.creators, source.begun.length]).toEqual([2, 4]);
  });

  it('hands out the oldest first, and none twice, to however many who ask at once', async () => {
    const { pool, source } = await filledPool({ size: { min: 5, max: 5 } });
    source.isQuick = false;
    const got = await Promise.all(Array.from({ length: 8 }, (_, number) => pool.get(`${number}`)));
    expect(got.slice(0, 5)).toEqual(['a1', 'a2', 'a3', 'a4', 'a5']);
    expect(got.slice(5)).toEqual([null, null, null]);
    expect(pool.counts).toMatchObject({ hits: 5, misses: 3 });
  });

  it('whose creator takes ten minutes gives it up as an error, makes another, and hands out nothing that comes late', async () => {
    const { pool, source, clock, told } = poolOf();
    source.isQuick = false;
    pool.refill();
    await clock.step(600_000);
    expect(pool.takeErrors()).toEqual([
      expect.objectContaining({ code: 'ERR_POOL_TIMEOUT' }),
      expect.objectContaining({ code: 'ERR_POOL_TIMEOUT' }),
    ]);
    expect([pool.recentErrors, pool.creators]).toEqual([2, 0]);
    await clock.step(200);
    expect(pool.creators).toBe(2);
    source.begun[0]?.succeed();
    source.begun[1]?.fail();
    await settled();
    expect([pool.size, source.deeds, told()]).toEqual([0, ['destroyed a1'], ['failed', 'failed']]);
    expect(await pool.get('me')).toBeNull();
    expect(pool.counts).toMatchObject({ created: 0, failed: 2 });
  });

  it('tells how long the last hundred took to be made, and how old its oldest is', async () => {
    const { pool, source, clock } = poolOf({ size: { min: 2, max: 2 } });
    source.isQuick = false;
    pool.refill();
    for (let times = 0; times < 110; times++) {
      await clock.step(10);
      source.begun[times]?.succeed();
      await settled();
      await pool.get('me');
    }
    expect(pool.creationTimes).toHaveLength(100);
    expect(pool.creationTimes[0]).toBe(20);
    expect(pool.oldestAge).toBeUndefined();
    source.begun[110]?.succeed();
    await settled();
    await clock.step(77);
    expect(pool.oldestAge).toBe(77);
  });
});

describe('what a pool hands out', () => {
  it('was looked at less than a second ago: what was not is looked at first', async () => {
    const { pool, source, clock } = await filledPool();
    await clock.step(999);
    expect(await pool.get('me')).toBe('a1');
    expect(source.looked).toEqual([]);
    await clock.step(1);
    expect(await pool.get('me')).toBe('a2');
    expect(source.looked).toEqual(['a2']);
    await pool.look(() => false);
    source.looked.splice(0);
    await clock.step(999);
    await pool.get('me');
    expect(source.looked).toEqual([]);
  });

  it('is never what is broken: the next one is given, and the broken one is destroyed and replaced', async () => {
    const { pool, source, clock, events } = await filledPool({ size: { min: 3, max: 3 } });
    source.faults.set('a1', 'it is gone');
    await clock.step(5000);
    events.splice(0);
    expect(await pool.get('me')).toBe('a2');
    await settled();
    expect(events[0]).toEqual({ kind: 'retired', container: 'a1', reason: 'broken', detail: 'it is gone' });
    expect(events.filter(({ kind }) => kind === 'claimed')).toEqual([{ kind: 'claimed', container: 'a2', age: 5000 }]);
    expect([pool.size, events.length]).toEqual([3, 4]);
    expect(source.deeds).toEqual(['destroyed a1', 'handed out a2 to me']);
    expect(pool.counts).toMatchObject({ broken: 1, retired: 1, hits: 1, misses: 0 });
  });

  it('is one that can be had: what fails when it is claimed is destroyed, and it is a miss when all do', async () => {
    const { pool, source, told } = await filledPool();
    source.handingOut = () => Promise.reject(new Error('no'));
    source.isQuick = false;
    expect(await pool.get('me')).toBeNull();
    await settled();
    expect(told()).toEqual(['retired a1: broken', 'retired a2: broken', 'miss']);
    expect(source.deeds).toEqual(['destroyed a1', 'destroyed a2']);
    expect([pool.counts.hits, pool.counts.misses, pool.creators]).toEqual([0, 1, 2]);
  });

  it('is nothing that cannot be looked at', async () => {
    const { pool, source, clock, events } = await filledPool();
    await clock.step(5000);
    source.fault = (made) => (made === 'a1' ? Promise.reject(new Error('unreadable')) : Promise.resolve(undefined));
    expect(await pool.get('me')).toBe('a2');
    expect(events).toContainEqual({ kind: 'retired', container: 'a1', reason: 'broken', detail: 'unreadable' });
  });

  it('does not come back', async () => {
    const { pool, source } = await filledPool();
    const got = new Set<string | null>();
    for (let times = 0; times < 50; times++) {
      got.add(await pool.get('me'));
      await pool.look(() => false);
      await settled();
    }
    expect([got.size, got.has(null)]).toEqual([50, false]);
    expect(source.deeds.filter((deed) => deed.startsWith('destroyed'))).toEqual([]);
  });

  it('is nothing that has waited for longer than it may, though nobody has looked since', async () => {
    const { pool, clock, told } = await filledPool({ ttl: 10_000 });
    await clock.step(10_000);
    expect(await pool.get('me')).toBeNull();
    expect(told().slice(0, 3)).toEqual(['retired a1: expired', 'retired a2: expired', 'miss']);
  });
});

describe('a look at a pool', () => {
  it('replaces what is broken, and leaves the rest as it is', async () => {
    const { pool, source, told } = await filledPool({ size: { min: 3, max: 3 } });
    source.faults.set('a2', 'it is gone');
    await pool.look(() => false);
    await settled();
    expect([told(), source.deeds, pool.size]).toEqual([['retired a2: broken', 'ready a4'], ['destroyed a2'], 3]);
  });

  it('replaces what has waited for its time, each up to a tenth earlier or later', async () => {
    const chances = [0, 1];
    const { pool, clock, told } = await filledPool({ ttl: 10_000, random: () => chances.shift() ?? 0.5 });
    const looks = async (at: number) => {
      await clock.step(at);
      await pool.look(() => false);
      await settled();
      return told();
    };
    expect(await looks(8_999)).toEqual([]);
    expect(await looks(1)).toEqual(['retired a1: expired', 'ready a3']);
    expect(await looks(1_999)).toEqual([]);
    expect(await looks(1)).toEqual(['retired a2: expired', 'ready a4']);
  });

  it('replaces what would be made of something else by now, one and all', async () => {
    const { pool, told } = await filledPool();
    await pool.look(() => true);
    await settled();
    expect(told().sort()).toEqual(['ready a3', 'ready a4', 'retired a1: outdated', 'retired a2: outdated']);
    await pool.look((made) => made === 'a1');
    expect(told()).toEqual([]);
  });

  it('does not take away what somebody gets meanwhile', async () => {
    const { pool, source, told } = await filledPool();
    const looked = deferred<string | undefined>();
    source.fault = () => looked.promise;
    const look = pool.look(() => true);
    await settled();
    expect(await pool.get('me')).toBe('a1');
    looked.resolve('it runs');
    await look;
    await settled();
    expect(told()).not.toContain('retired a1: broken');
    expect(source.deeds).not.toContain('destroyed a1');
  });

  it('takes what is more than there are to be, the oldest first', async () => {
    const { pool, told } = await filledPool({ size: { min: 4, max: 4 } });
    pool.resize({ min: 2, max: 3 });
    expect([pool.size, pool.capacity, told()]).toEqual([2, 3, ['retired a1: surplus', 'retired a2: surplus']]);
    pool.resize({ min: 3, max: 3 });
    await settled();
    expect([pool.size, told()]).toEqual([3, ['ready a5']]);
  });

  it('makes it smaller again when so many were not needed for a while, as it has grown by misses', async () => {
    const grow = { misses: 2, within: 1000, by: 2, keepFor: 60_000 };
    const { pool, clock } = await filledPool({ size: { min: 0, max: 4, grow } });
    expect(pool.size).toBe(0);
    await pool.get('me');
    expect([pool.target, pool.creators]).toEqual([0, 0]);
    await pool.get('me');
    await settled();
    expect([pool.target, pool.size, pool.counts.misses]).toEqual([2, 2, 2]);
    for (let looks = 0; looks < 130; looks++) {
      await clock.step(1000);
      await pool.look(() => false);
    }
    expect([pool.target, pool.size]).toEqual([0, 0]);
  });

  it('goes on when what is to be destroyed cannot be', async () => {
    const { pool, source, told } = await filledPool();
    source.destroying = () => Promise.reject(new Error('busy'));
    source.faults.set('a1', 'it is gone');
    await pool.look(() => false);
    await settled();
    expect([pool.size, told()]).toEqual([2, ['retired a1: broken', 'ready a3']]);
    expect(await pool.stop()).toBe(2);
  });
});

describe('errors of a pool', () => {
  /** Each creator fails as soon as it is begun. */
  function failingPool(options: Parameters<typeof poolOf>[0] = {}) {
    const made = poolOf(options);
    made.source.isQuick = false;
    const { create } = made.source;
    made.source.create = (signal) => {
      const creating = create.call(made.source, signal);
      made.source.begun.at(-1)?.fail(new Error(`number ${made.source.begun.length}`));
      return creating;
    };
    return { ...made, mend: () => Object.assign(made.source, { create, isQuick: true }) };
  }

  it('are kept until the owner asks for them', async () => {
    const { pool } = failingPool();
    pool.refill();
    await settled();
    expect(pool.takeErrors()).toEqual([new Error('number 1'), new Error('number 2')]);
    expect(pool.takeErrors()).toEqual([]);
    expect(pool.recentErrors).toBe(2);
  });

  it('are kept up to the newest thousand', async () => {
    const { pool, clock } = failingPool({ limits: { errors: 10_000 } });
    pool.refill();
    while (pool.counts.failed < 1200) await clock.step(10_000);
    const errors = pool.takeErrors();
    expect(errors).toHaveLength(1000);
    expect(errors.at(-1)).toEqual(new Error(`number ${pool.counts.failed}`));
  });

  it('are waited for: a tenth of a second after the first, longer after each more, and no more after a success', async () => {
    const { pool, source, clock, mend } = failingPool({ limits: { atATime: 1 } });
    pool.refill();
    const begun = [];
    for (const wait of [0, 99, 1, 199, 1, 399, 1]) {
      await clock.step(wait);
      begun.push(source.begun.length);
    }
    expect(begun).toEqual([1, 1, 2, 2, 3, 3, 4]);
    mend();
    await clock.step(800);
    expect([pool.size, pool.counts]).toEqual([2, expect.objectContaining({ created: 2, failed: 4 })]);
  });

  it('that are two hundred within an hour throttle it until the oldest is an hour old, which is told once', async () => {
    const { pool, clock, source, events, mend } = failingPool();
    const begun = clock.now();
    pool.refill();
    await settled();
    while (pool.throttledUntil === undefined) await clock.step(1000);
    const until = pool.throttledUntil;
    expect(pool.recentErrors).toBeGreaterThanOrEqual(200);
    expect(until).toBe(begun + 3_600_000);
    const tried = source.begun.length;
    mend();
    for (let times = 0; times < 5; times++) await pool.get('me');
    await clock.step(until - clock.now() - 1);
    expect([source.begun.length, pool.size]).toEqual([tried, 0]);
    expect(events.filter(({ kind }) => kind === 'throttled')).toEqual([{ kind: 'throttled', until }]);
    expect(pool.counts.errorThrottled).toBe(1);
    await clock.step(1);
    await clock.step(10_000);
    expect([pool.throttledUntil, pool.size]).toEqual([undefined, 2]);
    expect(pool.counts.errorThrottled).toBe(1);
  });

  it('that throttle it, as when it is held back, leave its room to other pools meanwhile', async () => {
    const { pool, source, clock } = poolOf({ limits: { errors: 1, window: 5000, atATime: 1 } });
    expect([pool.floor, pool.creators]).toEqual([2, 0]);
    source.isQuick = false;
    pool.refill();
    source.begun[0]?.fail();
    await settled();
    expect([pool.throttledUntil !== undefined, pool.floor]).toEqual([true, 0]);
    source.isQuick = true;
    await clock.step(5000);
    expect([pool.floor, pool.size]).toEqual([2, 2]);
    expect(await pool.get('me')).toBe('a1');
    pool.holdBack();
    expect(pool.floor).toBe(1);
  });

  it('that throttle it again are told again', async () => {
    const { pool, clock, told } = failingPool({ limits: { errors: 4, window: 100_000 } });
    pool.refill();
    await settled();
    await clock.step(50_000);
    expect(pool.counts).toMatchObject({ errorThrottled: 1, failed: 4 });
    await clock.step(50_050);
    expect(pool.counts.errorThrottled).toBe(2);
    expect(told().filter((word) => word === 'throttled')).toHaveLength(2);
  });

  it('throttle it for longer than a timer of the machine can be set, without looking again and again', async () => {
    const { pool, clock } = failingPool({ limits: { errors: 2, window: 2 ** 40 } });
    const { after } = clock;
    const timers: number[] = [];
    clock.after = (milliseconds, call) => {
      timers.push(milliseconds);
      return after.call(clock, milliseconds, call);
    };
    pool.refill();
    await settled();
    expect(Math.max(...timers)).toBeLessThan(2 ** 31);
    const { length } = timers;
    await clock.step(2 ** 31 - 1);
    expect(timers.length).toBe(length + 1);
  });
});

describe('a pool that is held back', () => {
  it('makes nothing until somebody finds none', async () => {
    const { pool, source } = await filledPool();
    pool.holdBack();
    expect(await pool.get('me')).toBe('a1');
    expect(await pool.get('me')).toBe('a2');
    await pool.look(() => false);
    expect([pool.isHeldBack, pool.size, pool.creators]).toEqual([true, 0, 0]);
    expect(await pool.get('me')).toBeNull();
    await settled();
    expect([pool.isHeldBack, pool.size, source.begun.length]).toEqual([false, 2, 4]);
  });

  it('tells of what had to make room, which is no fault of it', async () => {
    const { pool, source, told } = await filledPool();
    pool.holdBack();
    source.faults.set('a1', 'it is gone');
    await pool.look(() => false);
    expect(told().at(-1)).toBe('retired a1: yielded');
    expect([pool.counts.broken, pool.counts.retired, pool.takeErrors()]).toEqual([0, 1, []]);
  });

  it('serves those who wait already', async () => {
    const { pool, source, clock } = poolOf({ size: { min: 0, max: 2 } });
    source.isQuick = false;
    const got = pool.get('me', { timeout: FOR_EVER });
    await settled();
    pool.holdBack();
    source.begun[0]?.fail();
    await settled();
    source.isQuick = true;
    await clock.step(1000);
    expect(await Promise.race([got, settled()])).toBe('a1');
  });
});

describe('whatever is done to a pool in whatever order', () => {
  const step = fc.oneof(
    fc.constantFrom('get', 'wait', 'abort', 'look', 'fault', 'turn', 'succeed', 'fail', 'second', 'give up', 'adopt'),
    fc.integer({ min: 2, max: 5 }),
  );

  it('nothing is handed out twice, destroyed and handed out, or lost', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const { pool, source, clock, told } = poolOf({ ttl: 5000, size: { min: 1, max: 4 } });
        source.isQuick = false;
        const gets: Promise<string | null>[] = [];
        const waits: AbortController[] = [];
        let adopted = 0;
        for (const deed of steps) {
          const [oldest] = source.begun.splice(0, deed === 'succeed' || deed === 'fail' ? 1 : 0);
          if (typeof deed === 'number') pool.resize({ min: 1, max: deed });
          else if (deed === 'get') gets.push(pool.get('me'));
          else if (deed === 'abort') waits.shift()?.abort();
          else if (deed === 'look') void pool.look(() => false);
          else if (deed === 'fault') source.faults.set(`a${pool.counts.created}`, 'it is gone');
          else if (deed === 'succeed') oldest?.succeed();
          else if (deed === 'fail') oldest?.fail();
          else if (deed === 'second') await clock.step(1000);
          else if (deed === 'give up') pool.giveUp('budget');
          else if (deed === 'adopt') pool.adopt(`o${++adopted}`, clock.now());
          else if (deed === 'wait') {
            const given = new AbortController();
            waits.push(given);
            gets.push(pool.get('me', { timeout: 3000, signal: given.signal }).catch(() => null));
          }
          if (deed === 'turn') await Promise.resolve();
        }
        for (const creating of source.begun) creating.succeed();
        await clock.step(5000);
        await pool.stop();
        await settled();
        const got = (await Promise.all(gets)).filter((one) => one !== null);
        const gone = source.deeds.filter((deed) => !deed.startsWith('handed')).map((deed) => deed.split(' ')[1]);
        expect(new Set(got).size).toBe(got.length);
        expect(got.filter((one) => gone.includes(one))).toEqual([]);
        const events = told();
        const began = events.filter((word) => word.startsWith('ready')).map((word) => word.split(' ')[1]);
        const adoptions = Array.from({ length: adopted }, (_, number) => `o${number + 1}`);
        for (const one of [...began, ...adoptions]) expect([...got, ...gone]).toContain(one);
        expect(
          events
            .filter((word) => word.startsWith('claimed'))
            .map((word) => word.split(' ')[1])
            .sort(),
        ).toEqual([...got].sort());
        expect(pool.counts.hits + pool.counts.misses).toBe(gets.length);
      }),
      { numRuns: 200 },
    );
  });
});
