import { tmpdir } from 'node:os';
import { describe, expect, it } from 'vitest';
import { checkLimits } from '#src/containerizer/cgroups/limits/check-limits.js';
import { changedIo, findDisks } from '#src/containerizer/cgroups/limits/disk-limits.js';
import { NONE } from '../machines.js';
import { MadeTree } from '../made-tree.js';

describe('the limit of a disk', () => {
  it.each([
    ['/dev/null', 'ERR_NO_BLOCK_DEVICE', 'no block device'],
    [tmpdir(), 'ERR_NO_BLOCK_DEVICE', 'no block device'],
    ['/dev/nothing-like-it', 'ERR_DEVICE_NOT_FOUND', 'there is no /dev/nothing-like-it'],
    ['dev/sda', 'ERR_LIMIT_INVALID', 'absolute path'],
  ])('is for disks alone, which %s is not', (device, code, message) => {
    expect(() => findDisks([{ device, readBps: 1 }])).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(message) }),
    );
  });

  it.each([
    [{}],
    [{ readBps: 0 }],
    [{ readBps: 1.5 }],
    [{ writeBps: -1 }],
    [{ writeBps: Number.NaN }],
    [{ readIops: 2 ** 32 }],
    [{ writeIops: Number.POSITIVE_INFINITY }],
  ])('is no rate: %j', (rates) => {
    expect(() => findDisks([{ device: '/dev/sda', ...rates }])).toThrow(
      expect.objectContaining({ code: 'ERR_LIMIT_INVALID', details: { limit: 'io', value: '/dev/sda' } }),
    );
  });

  it('may be lifted by an update, and by nothing else', () => {
    const lifted = [{ device: '/dev/nothing-like-it', readBps: 0 }];
    expect(() => findDisks(lifted)).toThrow(expect.objectContaining({ code: 'ERR_LIMIT_INVALID' }));
    expect(() => findDisks(lifted, true)).toThrow(expect.objectContaining({ code: 'ERR_DEVICE_NOT_FOUND' }));
  });

  it('cannot be kept where the controller is missing', () => {
    const hierarchies = new MadeTree().hierarchies(NONE);
    const facts = { onlineCpus: [0], usableCpus: [0], swapBytes: 0, countsSwap: true };
    expect(() => checkLimits({ pids: -1, io: [{ device: '/dev/sda', readBps: 1 }] }, hierarchies, facts)).toThrow(
      expect.objectContaining({
        code: 'ERR_LIMIT_UNSUPPORTED',
        details: expect.objectContaining({ limit: 'io', controller: 'io' }),
      }),
    );
  });

  it('is kept with the others when some are changed, and one of 0 is none any more', () => {
    const before = [
      { device: '/dev/a', readBps: 1, writeIops: 2 },
      { device: '/dev/b', writeBps: 3 },
    ];
    const changes = [
      { device: '/dev/a', readBps: 5 },
      { device: '/dev/b', writeBps: 0 },
      { device: '/dev/c', readIops: 6 },
    ];
    expect(changedIo(before, changes)).toEqual([
      { device: '/dev/a', readBps: 5, writeIops: 2 },
      { device: '/dev/c', readIops: 6 },
    ]);
    expect(changedIo(before, [])).toEqual(before);
  });
});
