import { describe, expect, it } from 'vitest';
import { resourcesOf } from '#src/containerizer/bundle/limits/resources.js';
import { rlimitsOf } from '#src/containerizer/bundle/limits/ulimits.js';
import type { LaunchLimits } from '#src/containerizer/launch-spec.js';

const MIB = 2 ** 20;

describe('limits', () => {
  it.each<[LaunchLimits, object]>([
    [{ memoryBytes: 6 * MIB }, { memory: { limit: 6 * MIB, swap: 6 * MIB } }],
    [{ memoryBytes: 6 * MIB, memorySwapBytes: 8 * MIB }, { memory: { limit: 6 * MIB, swap: 8 * MIB } }],
    [{ memoryBytes: 6 * MIB, memorySwapBytes: -1 }, { memory: { limit: 6 * MIB, swap: -1 } }],
    [{ cpus: 1.5 }, { cpu: { quota: 150_000, period: 100_000 } }],
    [{ cpus: 0.01 }, { cpu: { quota: 1000, period: 100_000 } }],
    [{ cpuset: '0-1,3' }, { cpu: { cpus: '0-1,3' } }],
    [{ pids: 1 }, { pids: { limit: 1 } }],
    [{ pids: -1 }, { pids: { limit: -1 } }],
    [{}, { pids: { limit: 4096 } }],
  ])('%j are written as %j', (limits, resources) => {
    expect(resourcesOf(limits, true)).toMatchObject(resources);
  });

  it('that are not asked for are not there, but for processes and devices', () => {
    expect(Object.keys(resourcesOf({}, true)).sort()).toEqual(['devices', 'pids']);
  });

  it('of disks are written by number, each kind in a list of its own', () => {
    const disks = [
      { major: 8, minor: 0, readBps: 1024, writeIops: 5 },
      { major: 7, minor: 3, readBps: 2048, writeBps: 1, readIops: 2 },
    ];
    expect(resourcesOf({}, true, [], disks).blockIO).toEqual({
      throttleReadBpsDevice: [
        { major: 8, minor: 0, rate: 1024 },
        { major: 7, minor: 3, rate: 2048 },
      ],
      throttleWriteBpsDevice: [{ major: 7, minor: 3, rate: 1 }],
      throttleReadIOPSDevice: [{ major: 7, minor: 3, rate: 2 }],
      throttleWriteIOPSDevice: [{ major: 8, minor: 0, rate: 5 }],
    });
  });

  it('say nothing of swap where the machine does not count it', () => {
    expect(resourcesOf({ memoryBytes: 6 * MIB }, false)).toMatchObject({ memory: { limit: 6 * MIB } });
    expect(resourcesOf({ memoryBytes: 6 * MIB }, false).memory).not.toHaveProperty('swap');
  });
});

describe('limits of a process', () => {
  const HARD = { nofile: 1024, core: Number.POSITIVE_INFINITY };

  it('are written as setrlimit has them', () => {
    expect(rlimitsOf({ nofile: { soft: 0, hard: 1024 }, core: { soft: 1, hard: -1 } }, HARD)).toEqual([
      { type: 'RLIMIT_NOFILE', soft: 0, hard: 1024 },
      { type: 'RLIMIT_CORE', soft: 1, hard: 18446744073709551615n },
    ]);
  });

  it.each([
    [{ nofile: { soft: 1, hard: 1025 } }, 'ERR_LIMIT_UNSUPPORTED'],
    [{ nofile: { soft: 1, hard: -1 } }, 'ERR_LIMIT_UNSUPPORTED'],
    [{ nofile: { soft: 2, hard: 1 } }, 'ERR_LIMIT_INVALID'],
    [{ nofile: { soft: 1.5, hard: 2 } }, 'ERR_BAD_OPTION'],
    [{ nofile: { soft: -2, hard: 2 } }, 'ERR_BAD_OPTION'],
    [{ files: { soft: 1, hard: 2 } }, 'ERR_BAD_OPTION'],
    [{ toString: { soft: 1, hard: 2 } }, 'ERR_BAD_OPTION'],
  ])('%j are refused with %s', (ulimits, code) => {
    expect(() => rlimitsOf(ulimits, HARD)).toThrow(expect.objectContaining({ code }));
  });
});
