import { describe, expect, it } from 'vitest';
import { type IoFlags, ioOf } from '#src/cli/running/flags/io-flags.js';

const NOTHING: IoFlags = { deviceReadBps: [], deviceWriteBps: [], deviceReadIops: [], deviceWriteIops: [] };

describe('limits of disks on the command line', () => {
  it('are written as Docker has them, sizes in 1024s, those of one disk together', () => {
    expect(
      ioOf({
        deviceReadBps: ['/dev/sda:1mb', '/dev/by:path:10k'],
        deviceWriteBps: ['/dev/sda:512'],
        deviceReadIops: ['/dev/sda:100'],
        deviceWriteIops: ['/dev/sdb:0'],
      }),
    ).toEqual({
      io: [
        { device: '/dev/sda', readBps: 1024 ** 2, writeBps: 512, readIops: 100 },
        { device: '/dev/by:path', readBps: 10 * 1024 },
        { device: '/dev/sdb', writeIops: 0 },
      ],
    });
    expect(ioOf(NOTHING)).toEqual({});
  });

  it.each(['', '/dev/sda', 'sda:1mb', '/dev/sda:', '/dev/sda:fast', '/dev/sda:-1'])(
    'that are none are wrong usage: %j',
    (text) => {
      expect(() => ioOf({ ...NOTHING, deviceReadBps: [text] })).toThrow(/--device-read-bps: not a/);
      expect(() => ioOf({ ...NOTHING, deviceWriteIops: [text] })).toThrow(/--device-write-iops: not a/);
    },
  );

  it('count operations without a unit', () => {
    expect(() => ioOf({ ...NOTHING, deviceReadIops: ['/dev/sda:1k'] })).toThrow(/not a number/);
  });
});
