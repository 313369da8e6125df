import { describe, expect, it } from 'vitest';
import { Sizing } from '#src/warm-pool/pool/sizing.js';

const MINUTE = 60_000;

describe('the size of a pool', () => {
  it('that is fixed stays as it is, whatever is missed and however long none is needed', () => {
    const sizing = new Sizing({ min: 3, max: 3 }, 0);
    for (let time = 0; time < 10; time++) sizing.missed(time);
    expect(sizing.target).toBe(3);
    for (let time = 0; time < 100 * MINUTE; time += MINUTE) sizing.ready(3, time);
    expect(sizing.target).toBe(3);
  });

  it('is as small as it may be at first, and grows by one with each miss up to what it may be', () => {
    const sizing = new Sizing({ min: 0, max: 2 }, 0);
    const targets = [sizing.target];
    for (const time of [1, 2, 3, 4]) {
      sizing.missed(time);
      targets.push(sizing.target);
    }
    expect(targets).toEqual([0, 1, 2, 2, 2]);
  });

  it('grows after so many misses within the window, and after fewer or older ones not', () => {
    const sizing = new Sizing({ min: 1, max: 9, grow: { misses: 3, within: 100, by: 4 } }, 0);
    for (const time of [0, 50, 100, 149]) sizing.missed(time);
    // The first had left when the third came; at 149 there are those of 50, 100 and 149.
    expect(sizing.target).toBe(5);
    for (const time of [150, 151]) sizing.missed(time);
    // Misses that have made it grow do so once.
    expect(sizing.target).toBe(5);
    sizing.missed(152);
    expect(sizing.target).toBe(9);
  });

  it('does not grow by misses that come too far apart', () => {
    const sizing = new Sizing({ min: 1, max: 9, grow: { misses: 2, within: 100 } }, 0);
    for (const time of [0, 100, 200, 300]) sizing.missed(time);
    expect(sizing.target).toBe(1);
  });

  it('shrinks by as many as it grew by for each period in which these were not needed', () => {
    const sizing = new Sizing({ min: 0, max: 4, grow: { by: 2, keepFor: 100 } }, 0);
    sizing.missed(0);
    sizing.missed(0);
    expect(sizing.target).toBe(4);
    const targets = [];
    for (let time = 10; time <= 220; time += 10) {
      sizing.ready(sizing.target, time);
      targets.push(sizing.target);
    }
    expect(targets.slice(0, 9)).toEqual(Array(9).fill(4));
    expect(targets.slice(9, 19)).toEqual(Array(10).fill(2));
    expect(targets.slice(19)).toEqual([0, 0, 0]);
  });

  it('does not shrink while all but fewer than it grew by are needed now and then', () => {
    const sizing = new Sizing({ min: 0, max: 4, grow: { by: 2, keepFor: 100 } }, 0);
    sizing.missed(0);
    for (let time = 10; time <= 1000; time += 10) sizing.ready(time % 50 === 0 ? 1 : 2, time);
    expect(sizing.target).toBe(2);
  });

  it('shrinks to the least also when that is nearer than what it grows by', () => {
    const sizing = new Sizing({ min: 0, max: 8, grow: { by: 5, keepFor: 100 } }, 0);
    sizing.missed(0);
    sizing.missed(0);
    const targets = [sizing.target];
    for (const time of [100, 200, 300]) {
      sizing.ready(sizing.target, time);
      targets.push(sizing.target);
    }
    expect(targets).toEqual([8, 3, 0, 0]);
  });

  it('does not shrink in a period in which somebody found none', () => {
    const sizing = new Sizing({ min: 0, max: 4, grow: { misses: 2, within: 10, keepFor: 100 } }, 0);
    sizing.missed(0);
    sizing.missed(1);
    expect(sizing.target).toBe(1);
    sizing.missed(50);
    sizing.ready(1, 101);
    expect(sizing.target).toBe(1);
    sizing.ready(1, 201);
    expect(sizing.target).toBe(0);
  });
});
