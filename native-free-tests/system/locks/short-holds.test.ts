import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { ShortHolds } from '#src/system/locks/short-holds.js';
import { StoreLock } from '#src/system/locks/store-lock.js';

/** Keeps the thread for so many milliseconds. */
function work(milliseconds: number): void {
  const ends = performance.now() + milliseconds;
  while (performance.now() < ends);
}

describe('work on many things with the lock held alone', () => {
  it('is done with all of them, in order, while nobody else has the lock', async () => {
    const lock = new StoreLock(() => undefined);
    const done: number[][] = [];
    const things = Array.from({ length: 10 }, (_, index) => index);
    await new ShortHolds(lock, 'test').over(things, 4, async (some) => {
      expect(lock.isHeldAlone).toBe(true);
      done.push([...some]);
    });
    expect(done).toEqual([
      [0, 1, 2, 3],
      [4, 5, 6, 7],
      [8, 9],
    ]);
    expect(lock.isHeldAlone).toBe(false);
  });

  it('does not take the lock when there are none', async () => {
    const lock = new StoreLock(() => {
      throw new Error('the lock was taken');
    });
    await new ShortHolds(lock, 'test').over([], 1, async () => {});
  });

  it('lets others come in between, however many there are', async () => {
    const lock = new StoreLock(() => undefined);
    const order: string[] = [];
    const long = new ShortHolds(lock, 'test').over([1, 2, 3, 4], 1, async ([thing]) => {
      order.push(`thing ${thing}`);
      work(35);
    });
    await sleep(1);
    await lock.withShared(() => order.push('another'));
    await long;
    expect(order.indexOf('another')).toBeLessThan(order.length - 1);
    expect(order.filter((one) => one !== 'another')).toEqual(['thing 1', 'thing 2', 'thing 3', 'thing 4']);
  });

  it('begins nothing more when one fails, or the caller gives up', async () => {
    const lock = new StoreLock(() => undefined);
    const holds = new ShortHolds(lock, 'test');
    const begun: number[] = [];
    const failing = holds.over([1, 2, 3], 1, async ([thing]) => {
      begun.push(thing as number);
      if (thing === 2) throw new Error('no');
    });
    await expect(failing).rejects.toThrow('no');
    const enough = new AbortController();
    const givingUp = async ([thing]: readonly number[]) => {
      begun.push(thing as number);
      enough.abort();
    };
    const given = holds.over([4, 5], 1, givingUp, enough.signal);
    await expect(given).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    expect(begun).toEqual([1, 2, 4]);
    expect(lock.isHeldAlone).toBe(false);
  });
});
