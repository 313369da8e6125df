import { describe, expect, it } from 'vitest';
import { ErrorWindow } from '#src/warm-pool/pool/error-window.js';

const HOUR = 3_600_000;

describe('errors within a window', () => {
  it('of nothing hold nothing up', () => {
    const window = new ErrorWindow();
    expect([window.count(5), window.throttledUntil(5), window.retryAt(5)]).toEqual([0, undefined, 5]);
  });

  it('count what did not last, which is tried again at once', () => {
    const window = new ErrorWindow({ errors: 2 });
    window.broke(5);
    expect([window.count(5), window.retryAt(5)]).toEqual([1, 5]);
    window.broke(6);
    expect(window.throttledUntil(6)).toBe(5 + HOUR);
  });

  it('are two hundred within an hour before nothing is tried, until the oldest of them is an hour old', () => {
    const window = new ErrorWindow();
    for (let time = 0; time < 199; time++) window.failed(time);
    expect(window.throttledUntil(199)).toBeUndefined();
    window.failed(199);
    expect(window.throttledUntil(200)).toBe(HOUR);
    expect(window.retryAt(200)).toBe(HOUR);
    expect(window.throttledUntil(HOUR - 1)).toBe(HOUR);
    expect(window.count(HOUR - 1)).toBe(200);
    expect(window.throttledUntil(HOUR)).toBeUndefined();
    expect(window.count(HOUR)).toBe(199);
    expect(window.retryAt(HOUR)).toBe(HOUR > 199 + 10_000 ? 199 + 10_000 : HOUR);
  });

  it('that came beside each other beyond the limit hold up until so many of them are old that fewer than the limit are left', () => {
    const window = new ErrorWindow({ errors: 2, window: 1000 });
    for (const time of [0, 10, 20, 30]) window.failed(time);
    expect(window.throttledUntil(40)).toBe(1020);
    expect(window.throttledUntil(1019)).toBe(1020);
    expect(window.throttledUntil(1020)).toBeUndefined();
    expect(window.count(1020)).toBe(1);
  });

  it('are forgotten when they are as old as the window is long, however long nobody has asked', () => {
    const window = new ErrorWindow({ errors: 3, window: 1000 });
    for (const time of [0, 1, 2]) window.failed(time);
    expect(window.count(1001)).toBe(1);
    expect(window.count(1_000_000)).toBe(0);
    window.failed(1_000_000);
    expect(window.count(1_000_000)).toBe(1);
  });

  it('in a row make the pause twice as long with each, up to ten seconds, and one success ends that', () => {
    const window = new ErrorWindow({ errors: 100 });
    const pauses = [];
    for (let times = 0; times < 9; times++) {
      window.failed(1000);
      pauses.push(window.retryAt(1000) - 1000);
    }
    expect(pauses).toEqual([100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
    window.succeeded();
    expect(window.retryAt(1000)).toBe(1000);
    window.failed(1000);
    expect(window.retryAt(1000)).toBe(1100);
    // The others count all the same.
    expect(window.count(1000)).toBe(10);
  });
});
