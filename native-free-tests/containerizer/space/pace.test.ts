import { describe, expect, it } from 'vitest';
import { pauseAfter } from '#src/containerizer/space/pace.js';

const MIB = 2 ** 20;
const LIMIT = 100 * MIB;
const look = (at: number, bytes: number, took = 1) => ({ at, bytes, took });

describe('the pause between two looks at what something takes', () => {
  it.each([
    ['is short after the first one', look(0, 0), undefined, 250],
    ['is twice as long each time while nothing happens', look(500, 0), look(0, 0), 1000],
    ['is two seconds at most', look(60_000, 0), look(0, 0), 2000],
    ['is shorter when little is left', look(60_000, 95 * MIB), look(0, 95 * MIB), 1000],
    ['is half of the time in which the limit would be reached', look(2000, 20 * MIB), look(0, 0), 2000],
    ['is short when it grows fast', look(1000, 50 * MIB), look(0, 0), 500],
    ['is never shorter than a quarter of a second', look(1000, 99 * MIB), look(0, 0), 250],
    ['is as at rest when it shrinks', look(1000, 0), look(0, 50 * MIB), 2000],
  ] as const)('%s', (_, now, before, pause) => {
    expect(pauseAfter(now, before, LIMIT)).toBe(pause);
  });

  it('is nine times as long as the look took, however much there is to do', () => {
    expect(pauseAfter(look(1000, 99 * MIB, 1000), look(0, 0), LIMIT)).toBe(9000);
    expect(pauseAfter(look(1000, 0, 7000), undefined, LIMIT)).toBe(63_000);
  });
});
