import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Operations } from '#src/provisioner/operations.js';

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

  it('do not begin where they must not, and one that has lost its place says so instead of what it stumbled over', async () => {
    let inPlace = true;
    const operations = new Operations(() => {
      if (!inPlace) throw new Error('not in its place');
    });
    const stumbles = async () => {
      inPlace = false;
      throw new Error('ENOENT');
    };
    await expect(operations.run(stumbles)).rejects.toThrow('not in its place');
    let begun = false;
    const begins = async () => {
      begun = true;
    };
    await expect(operations.run(begins)).rejects.toThrow('not in its place');
    expect(begun).toBe(false);
  });

  it('tell what the machine is short of as that, and faults as they are', async () => {
    const operations = new Operations();
    const failing = (code: string) => async () => {
      throw Object.assign(new Error(`${code}: it failed`), { code });
    };
    for (const code of ['EMFILE', 'ENFILE']) {
      await expect(operations.run(failing(code))).rejects.toMatchObject({
        code: 'ERR_NO_DESCRIPTORS',
        details: { errno: code },
      });
    }
    await expect(operations.run(failing('EROFS'))).rejects.toMatchObject({ code: 'ERR_READ_ONLY' });
    await expect(operations.run(failing('ENOENT'))).rejects.toMatchObject({ code: 'ENOENT' });
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
