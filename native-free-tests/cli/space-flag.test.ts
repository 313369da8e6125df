import { describe, expect, it } from 'vitest';
import { changedSpaceOf, newSpaceOf, spaceOf } from '#src/cli/running/flags/space-flag.js';

describe('a limit of disk space on the command line', () => {
  it.each([
    [['size=10g'], { diskBytes: 10 * 2 ** 30 }],
    [['size=1.5M'], { diskBytes: 1.5 * 2 ** 20 }],
    [['overlay.size=2m'], { diskBytes: 2 * 2 ** 20 }],
    [['overlay2.size=4m', 'size=3m'], { diskBytes: 3 * 2 ** 20 }],
    [[], {}],
    [['size=1g,on=memory'], { diskBytes: 2 ** 30, diskOn: 'memory' }],
    [['on=memory', 'size=1g'], { diskBytes: 2 ** 30, diskOn: 'memory' }],
    [['size=1g', 'on=memory,on=disk'], { diskBytes: 2 ** 30, diskOn: 'disk' }],
  ])('is read of %j', (words, limits) => {
    expect(spaceOf(words)).toEqual(limits);
  });

  it.each([
    '',
    'size',
    'size=',
    'size=much',
    'inodes=1000',
    'mysize=1g',
    'size=-1',
    'on',
    'on=',
    'on=tape',
    'size=1g,',
  ])('is wrong usage where it is none: %j', (word) => {
    expect(() => spaceOf([word])).toThrow(/^--storage-opt/);
  });

  it('says how much where it is in memory', () => {
    expect(newSpaceOf(['size=1g,on=memory'])).toEqual({ diskBytes: 2 ** 30, diskOn: 'memory' });
    expect(newSpaceOf(['on=disk'])).toEqual({ diskOn: 'disk' });
    expect(() => newSpaceOf(['on=memory'])).toThrow(
      expect.objectContaining({
        message: expect.stringContaining('how much'),
        hint: expect.stringContaining('size=1g'),
      }),
    );
  });

  it('stays where it is when it is changed', () => {
    expect(changedSpaceOf(['size=2g'])).toEqual({ diskBytes: 2 * 2 ** 30 });
    for (const on of ['disk', 'memory'])
      expect(() => changedSpaceOf([`size=2g,on=${on}`])).toThrow(
        expect.objectContaining({ hint: expect.stringContaining('anew') }),
      );
  });
});
