import { describe, expect, it } from 'vitest';
import { Waiters } from '#src/warm-pool/pool/waiters.js';
import { SteppedClock } from '../../helpers/fake-containers/fake-clock.js';
import { settled } from './scripted-source.js';

const FOR_EVER = Number.POSITIVE_INFINITY;

function waitersOf() {
  const clock = new SteppedClock();
  return { clock, waiters: new Waiters<string, string>(clock) };
}

describe('those who wait', () => {
  it('are served in the order in which they came, each in his way', async () => {
    const { waiters } = waitersOf();
    const waits = ['one', 'two'].map((how) => waiters.wait(how, FOR_EVER, undefined));
    expect(waiters.count).toBe(2);
    const first = waiters.next();
    expect([first?.how, waiters.count]).toEqual(['one', 1]);
    first?.give('a');
    waiters.next()?.give('b');
    expect(await Promise.all(waits)).toEqual(['a', 'b']);
    expect([waiters.next(), waiters.count]).toEqual([undefined, 0]);
  });

  it('get nothing when their time is over, and are not there any more', async () => {
    const { clock, waiters } = waitersOf();
    const wait = waiters.wait('one', 1000, undefined);
    await clock.step(999);
    expect(waiters.count).toBe(1);
    await clock.step(1);
    expect([await wait, waiters.count, waiters.next()]).toEqual([null, 0, undefined]);
  });

  it('for ever wait longer than anybody', async () => {
    const { clock, waiters } = waitersOf();
    const wait = waiters.wait('one', FOR_EVER, undefined);
    await clock.step(1e12);
    waiters.next()?.give('a');
    expect(await wait).toBe('a');
  });

  it('may give up, and are not there any more', async () => {
    const { waiters } = waitersOf();
    const given = new AbortController();
    const wait = waiters.wait('one', FOR_EVER, given.signal);
    given.abort();
    await expect(wait).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    expect([waiters.count, waiters.next()]).toEqual([0, undefined]);
  });

  it('and have just given up, or whose time is just over, are nobody whose turn it is', async () => {
    const { clock, waiters } = waitersOf();
    const given = new AbortController();
    const waits = [waiters.wait('gives up', FOR_EVER, given.signal), waiters.wait('is late', 1000, undefined)];
    void waiters.wait('stays', FOR_EVER, undefined);
    const ended = Promise.allSettled(waits);
    let next: string | undefined;
    clock.after(1000, () => {
      given.abort();
      next = waiters.next()?.how;
    });
    await clock.step(1000);
    await ended;
    expect(next).toBe('stays');
  });

  it('know at once that they have given up, so that nobody gives them what they cannot take', async () => {
    const { clock, waiters } = waitersOf();
    const given = new AbortController();
    const waits = [waiters.wait('gives up', FOR_EVER, given.signal), waiters.wait('is late', 1000, undefined)];
    const ended = Promise.allSettled(waits);
    const taken = [waiters.next(), waiters.next()];
    given.abort();
    expect(taken[0]?.isGone).toBe(true);
    await clock.step(1000);
    expect(taken[1]?.isGone).toBe(true);
    await ended;
  });

  it('and are put back are the next one, unless they have gone', async () => {
    const { clock, waiters } = waitersOf();
    const late = waiters.wait('late', 1000, undefined);
    void waiters.wait('patient', FOR_EVER, undefined);
    void waiters.wait('last', FOR_EVER, undefined);
    const [first, second] = [waiters.next(), waiters.next()];
    await clock.step(1000);
    expect(await late).toBeNull();
    for (const taken of [second, first]) if (taken !== undefined) waiters.putBack(taken);
    expect([waiters.count, waiters.next()?.how, waiters.next()?.how]).toEqual([2, 'patient', 'last']);
  });

  it('are all told when nobody gets anything any more', async () => {
    const { waiters } = waitersOf();
    const waits = ['one', 'two', 'three'].map((how) => waiters.wait(how, FOR_EVER, undefined));
    waiters.dismiss();
    expect(await Promise.all(waits)).toEqual([null, null, null]);
    await settled();
    expect(waiters.count).toBe(0);
  });
});
