import { describe, expect, it } from 'vitest';
import { createCopyShares, ShareClaims } from '#src/files/tree/copying/copy-share.js';

describe('the shares of a copy', () => {
  const claimsOf = (threads: number) => createCopyShares(threads).map((share) => new ShareClaims(share));

  it('give each file to the first that asks, however often anybody asks', () => {
    const [first, second] = claimsOf(2);
    expect([first?.take(0, 7), second?.take(0, 7), first?.take(0, 7)]).toEqual([true, false, true]);
    expect([second?.take(0, 8), first?.take(0, 8)]).toEqual([true, false]);
  });

  it('do not take files of two layers for one another only because they have one inode number', () => {
    const [first, second] = claimsOf(2);
    expect([first?.take(0, 7), second?.take(1, 7)]).toEqual([true, true]);
  });

  it('tell only the last that leaves that it is the last', () => {
    const claims = claimsOf(3);
    expect([claims[2]?.leave(), claims[0]?.leave(), claims[1]?.leave()]).toEqual([false, false, true]);
  });

  it('are at least one, and as many as a byte can tell apart', () => {
    expect(createCopyShares(254)).toHaveLength(254);
    expect(() => createCopyShares(0)).toThrow(RangeError);
    expect(() => createCopyShares(255)).toThrow(RangeError);
  });
});
