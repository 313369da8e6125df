import { describe, expect, it } from 'vitest';
import { Creators, type CreatorsOptions } from '#src/warm-pool/pool/creators.js';
import { SteppedClock } from '../../helpers/fake-containers/fake-clock.js';
import { ScriptedSource, settled } from './scripted-source.js';

function creatorsOf(limits: Partial<CreatorsOptions<string>> = {}) {
  const clock = new SteppedClock();
  const source = new ScriptedSource();
  source.isQuick = false;
  const made: [string, number][] = [];
  const errors: unknown[] = [];
  const creators = new Creators<string>({
    clock,
    create: (signal) => source.create(signal),
    destroy: (one) => source.destroy(one),
    made: (one, milliseconds) => made.push([one, milliseconds]),
    failed: (error) => errors.push(error),
    ...limits,
  });
  return { clock, source, creators, made, errors };
}

const TIMEOUT = expect.objectContaining({ code: 'ERR_POOL_TIMEOUT' });

describe('creators', () => {
  it('are five at a time, or as many as they are told', () => {
    for (const atATime of [undefined, 2]) {
      const { creators } = creatorsOf({ atATime });
      for (let number = 0; number < (atATime ?? 5); number++) {
        expect(creators.areAllAtWork).toBe(false);
        creators.begin();
        expect(creators.count).toBe(number + 1);
      }
      expect(creators.areAllAtWork).toBe(true);
    }
  });

  it('tell what they made, and how long that took', async () => {
    const { clock, source, creators, made, errors } = creatorsOf();
    creators.begin();
    await clock.step(1234);
    source.begun[0]?.succeed();
    await settled();
    expect([made, errors, creators.count]).toEqual([[['a1', 1234]], [], 0]);
    // Its time is not running any more, which would keep the process up.
    expect(clock.waiting).toBe(0);
    await clock.step(1_000_000);
    expect([made.length, errors, source.deeds]).toEqual([1, [], []]);
  });

  it('tell what went wrong, also where that came at once', async () => {
    const { source, creators, made, errors } = creatorsOf();
    creators.begin();
    source.begun[0]?.fail('why');
    await settled();
    const { creators: sudden, errors: suddenErrors } = creatorsOf({
      create: () => {
        throw new Error('at once');
      },
    });
    sudden.begin();
    await settled();
    expect([made, errors, creators.count]).toEqual([[], ['why'], 0]);
    expect([suddenErrors, sudden.count]).toEqual([[new Error('at once')], 0]);
  });

  it('are given up after ten minutes, which is one error, and count no more', async () => {
    const { clock, source, creators, errors } = creatorsOf();
    creators.begin();
    await clock.step(599_999);
    expect([creators.count, errors, source.begun[0]?.signal.aborted]).toEqual([1, [], false]);
    await clock.step(1);
    expect([creators.count, errors, source.begun[0]?.signal.aborted]).toEqual([0, [TIMEOUT], true]);
    // It heeds the signal, and that is no other error.
    source.begun[0]?.fail();
    await settled();
    expect(errors).toHaveLength(1);
  });

  it('that make something after their time have it destroyed and never told', async () => {
    const { clock, source, creators, made, errors } = creatorsOf({ timeLimit: 100 });
    creators.begin();
    await clock.step(100);
    source.begun[0]?.succeed();
    await settled();
    expect([made, errors, source.deeds]).toEqual([[], [TIMEOUT], ['destroyed a1']]);
  });

  it('whose late work cannot be destroyed are at their end all the same, without another error', async () => {
    const { clock, source, creators, errors } = creatorsOf({ timeLimit: 100 });
    source.destroying = () => Promise.reject(new Error('no'));
    creators.begin();
    await clock.step(100);
    source.begun[0]?.succeed();
    expect(await creators.ended(Number.POSITIVE_INFINITY)).toBe(true);
    expect(errors).toEqual([TIMEOUT]);
  });

  it('that are cancelled are told so, and what they make or miss is told to nobody', async () => {
    const { clock, source, creators, made, errors } = creatorsOf();
    creators.begin();
    creators.begin();
    creators.cancel();
    expect(creators.count).toBe(0);
    expect(source.begun.map(({ signal }) => signal.aborted)).toEqual([true, true]);
    source.begun[0]?.succeed();
    source.begun[1]?.fail();
    await settled();
    await clock.step(600_000);
    expect([made, errors, source.deeds]).toEqual([[], [], ['destroyed a1']]);
  });

  it('have ended when those who were given up have, and what these made is destroyed', async () => {
    const { clock, source, creators } = creatorsOf({ timeLimit: 100 });
    let letDestroy = () => {};
    source.destroying = () => new Promise((resolve) => (letDestroy = resolve));
    creators.begin();
    await clock.step(100);
    let ended: boolean | undefined;
    void creators.ended(Number.POSITIVE_INFINITY).then((value) => (ended = value));
    source.begun[0]?.succeed();
    await settled();
    expect(ended).toBeUndefined();
    letDestroy();
    await settled();
    expect([ended, source.deeds]).toEqual([true, ['destroyed a1']]);
  });

  it('that go on for longer than somebody waits are told to him', async () => {
    const { clock, source, creators } = creatorsOf();
    expect(await creators.ended(0)).toBe(true);
    creators.begin();
    const ended = creators.ended(1000);
    await clock.step(1000);
    expect(await ended).toBe(false);
    const later = creators.ended(1000);
    source.begun[0]?.succeed();
    expect(await later).toBe(true);
  });
});
