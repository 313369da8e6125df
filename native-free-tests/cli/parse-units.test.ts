import { describe, expect, it } from 'vitest';
import { parseAge, parseCount, parseSize } from '#src/cli/output/parse-units.js';

describe('a size', () => {
  it.each([
    ['0', 0],
    ['4096', 4096],
    ['1b', 1],
    ['1k', 1000],
    ['1KB', 1000],
    ['1.5g', 1.5e9],
    ['20GB', 20e9],
    ['20 GB', 20e9],
    ['2T', 2e12],
    ['512MiB', 512 * 2 ** 20],
    ['1kib', 1024],
    ['0.5TiB', 2 ** 39],
  ])('%s is %d bytes', (text, bytes) => {
    expect(parseSize(text, '--keep')).toBe(bytes);
  });

  it.each(['', ' ', 'GB', '-1GB', '1e9', '1,5GB', '1.GB', '.5GB', '20XB', '1GB 2MB', 'GB1', '0x10', 'NaN'])(
    '%j is none, and the option is named',
    (text) => {
      expect(() => parseSize(text, '--keep')).toThrow(/^--keep: not a size: /);
    },
  );
});

it('a count is a whole number within its bounds', () => {
  expect(['1', '64', '007'].map((text) => parseCount(text, '--n', 64))).toEqual([1, 64, 7]);
  for (const text of ['', '0', '65', '-1', '1.5', '1e1', ' 1', '9'.repeat(30)])
    expect(() => parseCount(text, '--n', 64)).toThrow(/^--n: not a number from 1 to 64: /);
});

describe('an age', () => {
  it.each([
    ['0s', 0],
    ['30s', 30_000],
    ['30m', 1_800_000],
    ['12h', 43_200_000],
    ['7d', 604_800_000],
    ['2w', 1_209_600_000],
    ['1h30m', 5_400_000],
    ['1.5d', 129_600_000],
    ['1d1d', 172_800_000],
  ])('%s is %d milliseconds', (text, milliseconds) => {
    expect(parseAge(text, '--older-than')).toBe(milliseconds);
  });

  it.each(['', '7', '7days', '-1d', '1y', '7D', '1d ', '1 d', 'd', '1h30', '1e3s'])(
    '%j is none, and the option is named',
    (text) => {
      expect(() => parseAge(text, '--older-than')).toThrow(/^--older-than: not an age: /);
    },
  );
});
