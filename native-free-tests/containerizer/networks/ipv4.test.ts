import { describe, expect, it } from 'vitest';
import {
  isIn,
  overlap,
  parseIpv4,
  parseRange,
  printIpv4,
  printRange,
  sizeOf,
} from '#src/containerizer/networks/ipv4.js';

const range = (text: string) => {
  const found = parseRange(text);
  if (found === undefined) throw new Error(`${text} is no range`);
  return found;
};

describe('an address', () => {
  it.each(['0.0.0.0', '10.201.0.7', '255.255.255.255'])('%s is read and printed', (text) => {
    expect(printIpv4(parseIpv4(text) ?? -1)).toBe(text);
  });

  it.each(['', '1.2.3', '1.2.3.4.5', '1.2.3.256', '01.2.3.4', '1.2.3.-4', '1.2.3.4 ', '::1', 'a.b.c.d'])(
    '%j is none',
    (text) => {
      expect(parseIpv4(text)).toBeUndefined();
    },
  );
});

describe('a range of addresses', () => {
  it.each([
    ['10.0.0.0/8', 2 ** 24],
    ['10.9.0.128/25', 128],
    ['192.0.2.7/32', 1],
    ['0.0.0.0/0', 2 ** 32],
  ])('%s has %d', (text, size) => {
    expect(sizeOf(range(text))).toBe(size);
    expect(printRange(range(text))).toBe(text);
  });

  it.each(['10.0.0.1/8', '10.0.0.0', '10.0.0.0/33', '10.0.0.0/', '10.0.0.0/-1', '10.0.0.0/8/8'])(
    '%j is none',
    (text) => {
      expect(parseRange(text)).toBeUndefined();
    },
  );

  it('has what lies between its first and last, and overlaps what has one of these', () => {
    const part = range('10.9.0.0/24');
    expect(
      ['10.8.255.255', '10.9.0.0', '10.9.0.255', '10.9.1.0'].map((text) => isIn(parseIpv4(text) ?? 0, part)),
    ).toEqual([false, true, true, false]);
    expect(overlap(part, range('10.0.0.0/8'))).toBe(true);
    expect(overlap(range('10.0.0.0/8'), part)).toBe(true);
    expect(overlap(part, range('10.9.1.0/24'))).toBe(false);
    expect(overlap(range('10.9.0.0/25'), range('10.9.0.128/25'))).toBe(false);
  });
});
