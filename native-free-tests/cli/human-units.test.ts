import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatAge, formatDuration, formatSize } from '#src/cli/output/human-units.js';

describe('a size', () => {
  it.each([
    [0, '0B'],
    [999, '999B'],
    [1000, '1.0kB'],
    [1536, '1.5kB'],
    [999_949, '999.9kB'],
    [999_950, '1.0MB'],
    [627_100_000, '627.1MB'],
    [999_999_999, '1.0GB'],
    [2_000_000_000_000, '2.0TB'],
    [Number.MAX_SAFE_INTEGER, '9.0PB'],
  ])('of %d bytes shows as %s', (bytes, shown) => {
    expect(formatSize(bytes)).toBe(shown);
  });

  it('never shows a thousand of a unit that has a larger one', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (bytes) => {
        expect(Number.parseFloat(formatSize(bytes))).toBeLessThan(1000);
      }),
    );
  });
});

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

describe('an age', () => {
  it.each([
    [0, '0 seconds'],
    [1999, '1 second'],
    [119_999, '119 seconds'],
    [2 * MINUTE, '2 minutes'],
    [2 * HOUR - 1, '119 minutes'],
    [2 * HOUR, '2 hours'],
    [2 * DAY, '2 days'],
    [13.9 * DAY, '13 days'],
    [14 * DAY, '2 weeks'],
    [59 * DAY, '8 weeks'],
    [60 * DAY, '2 months'],
    [729 * DAY, '24 months'],
    [730 * DAY, '2 years'],
    [3650 * DAY, '10 years'],
  ])('of %d milliseconds shows as %s', (milliseconds, shown) => {
    expect(formatAge(milliseconds)).toBe(shown);
  });

  it('is zero for a time to come, as after the clock was put back', () => {
    expect(formatAge(-5 * MINUTE)).toBe('0 seconds');
  });
});

describe('a duration', () => {
  it('shows seconds with one decimal', () => {
    expect([40, 1234, 75_000].map(formatDuration)).toEqual(['0.0s', '1.2s', '75.0s']);
  });
});
