import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Operations, takeAll } from '#src/provisioner/operations.js';

describe('operations', () => {
  it('begin at once, in the same turn, while they are few', () => {
    const operations = new Operations();
    const begun: number[] = [];
    for (let n = 0; n < 5; n++) void operations.run(async () => void begun.push(n));
    expect(begun).toEqual([0, 1, 2, 3, 4]);
  });

  it('begin in their order, a few in each turn of the event loop, when a thousand are asked for at once', async () => {
    const operations = new Operations();
    const begun: number[] = [];
    const all = Array.from({ length: 1000 }, (_, n) => operations.run(async () => void begun.push(n)));
    const steps: number[] = [];
    for (let before = 0; begun.length < 1000; before = begun.length) {
      await setImmediate();
      steps.push(begun.length - before);
    }
    await Promise.all(all);
    expect(begun).toEqual(Array.from({ length: 1000 }, (_, n) => n));
    expect(Math.max(...steps)).toBeLessThanOrEqual(48);
    expect(steps.length).toBeGreaterThan(15);
  });

  it('are waited for until the last, those that fail and those that have not begun too', async () => {
    const operations = new Operations();
    let ended = 0;
    const work = async () => {
      await sleep(5);
      ended++;
      if (ended % 2 === 0) throw new Error('its own');
    };
    const all = Array.from({ length: 100 }, () => operations.run(work));
    const settled = Promise.allSettled(all);
    await operations.close(() => operations.idle());
    expect(ended).toBe(100);
    expect((await settled).filter(({ status }) => status === 'rejected')).toHaveLength(50);
    await expect(operations.run(work)).rejects.toMatchObject({ code: 'ERR_CLOSED' });
  });
});

describe('steps', () => {
  it('are all taken in their order, whatever fails, and the first failure is told at the end', async () => {
    const taken: string[] = [];
    const step =
      (name: string, fails = false) =>
      async () => {
        await sleep(1);
        taken.push(name);
        if (fails) throw new Error(name);
      };
    const thrown = () => {
      taken.push('at once');
      throw new Error('at once');
    };
    await expect(takeAll([step('a'), step('b', true), thrown, step('c', true), step('d')])).rejects.toThrow('b');
    expect(taken).toEqual(['a', 'b', 'at once', 'c', 'd']);
    await takeAll([step('e')]);
  });
});
