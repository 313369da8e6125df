import { describe, expect, it } from 'vitest';
import { spaceOf } from '#src/cli/running/flags/space-flag.js';

describe('a limit of disk space on the command line', () => {
  it.each([
    [['size=10g'], { diskBytes: 10 * 2 ** 30 }],
    [['size=1.5M'], { diskBytes: 1.5 * 2 ** 20 }],
    [['overlay.size=2m'], { diskBytes: 2 * 2 ** 20 }],
    [['overlay2.size=4m', 'size=3m'], { diskBytes: 3 * 2 ** 20 }],
    [[], {}],
  ])('is read of %j', (words, limits) => {
    expect(spaceOf(words)).toEqual(limits);
  });

  it.each(['', 'size', 'size=', 'size=much', 'inodes=1000', 'mysize=1g', 'size=-1'])(
    'is wrong usage where it is none: %j',
    (word) => {
      expect(() => spaceOf([word])).toThrow(/^--storage-opt/);
    },
  );
});
