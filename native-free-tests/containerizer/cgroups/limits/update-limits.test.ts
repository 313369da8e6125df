import { describe, expect, it } from 'vitest';
import type { LimitWrite } from '#src/containerizer/cgroups/limits/limit-files.js';
import { limitFilesV1 } from '#src/containerizer/cgroups/v1/limits.js';
import { limitFilesV2 } from '#src/containerizer/cgroups/v2/limits.js';
import { HYBRID, NONE, VERSION_2 } from '../machines.js';
import { LAUNCH, MadeTree } from '../made-tree.js';

const MIB = 1024 * 1024;
const MEMORY = `memory${LAUNCH}/memory.limit_in_bytes`;
const TOGETHER = `memory${LAUNCH}/memory.memsw.limit_in_bytes`;
const QUOTA = `cpu${LAUNCH}/cpu.cfs_quota_us`;

const OF_VERSION_1 = {
  [MEMORY]: `${64 * MIB}\n`,
  [TOGETHER]: `${64 * MIB}\n`,
  [`cpu${LAUNCH}/cpu.cfs_period_us`]: '100000\n',
  [QUOTA]: '-1\n',
  [`cpuset${LAUNCH}/cpuset.cpus`]: '0-1\n',
  [`pids${LAUNCH}/pids.max`]: '4096\n',
};

const OF_VERSION_2 = {
  'cgroup.controllers': 'cpu cpuset memory pids\n',
  [`.${LAUNCH}/memory.max`]: `${64 * MIB}\n`,
  [`.${LAUNCH}/memory.swap.max`]: '0\n',
  [`.${LAUNCH}/memory.current`]: `${32 * MIB}\n`,
  [`.${LAUNCH}/cpu.max`]: 'max 100000\n',
  [`.${LAUNCH}/cpuset.cpus`]: '\n',
  [`.${LAUNCH}/pids.max`]: '4096\n',
};

describe('new limits in version 1', () => {
  it('are written, and what is left out stays', () => {
    const tree = new MadeTree().write(OF_VERSION_1);
    expect(tree.cgroup(HYBRID).update({ cpus: 1.5, cpuset: '1', pids: -1 })).toBe(true);
    const files = Object.keys(OF_VERSION_1).map((file) => tree.read(file));
    expect(files).toEqual([`${64 * MIB}`, `${64 * MIB}`, '100000', '150000', '1', 'max']);
  });

  it.each([
    ['memory raised', { memoryBytes: 128 * MIB }, 'together 128, memory 128'],
    ['memory lowered', { memoryBytes: 32 * MIB }, 'memory 32, together 32'],
    [
      'memory lowered, both together raised',
      { memoryBytes: 32 * MIB, memorySwapBytes: 96 * MIB },
      'together 96, memory 32',
    ],
    ['as much swap as there is', { memoryBytes: 128 * MIB, memorySwapBytes: -1 }, 'together -1, memory 128'],
    ['swap alone', { memorySwapBytes: 96 * MIB }, 'together 96'],
  ])('are written in an order in which both together are never less than memory: %s', (_, limits, order) => {
    const tree = new MadeTree().write(OF_VERSION_1);
    const asked = { memoryBytes: undefined, memorySwapBytes: undefined, ...limits };
    const writes = limitFilesV1.memory(tree.path(`memory${LAUNCH}`), asked) ?? [];
    const named = writes.map(({ file, value }) => {
      const bytes = value === '-1' ? -1 : Number(value) / MIB;
      return `${file.includes('memsw') ? 'together' : 'memory'} ${bytes}`;
    });
    expect(named.join(', ')).toBe(order);
  });

  it('lower both together last, from no limit on', () => {
    const tree = new MadeTree().write({
      ...OF_VERSION_1,
      [MEMORY]: '9223372036854771712\n',
      [TOGETHER]: '9223372036854771712\n',
    });
    const writes = limitFilesV1.memory(tree.path(`memory${LAUNCH}`), { memoryBytes: MIB, memorySwapBytes: undefined });
    expect(writes?.map(({ file }) => file)).toEqual([tree.path(MEMORY), tree.path(TOGETHER)]);
  });

  it('of memory are written where swap is not counted', () => {
    const { [TOGETHER]: _, ...files } = OF_VERSION_1;
    const tree = new MadeTree().write(files);
    expect(tree.cgroup(HYBRID).update({ memoryBytes: 128 * MIB })).toBe(true);
    expect(tree.read(MEMORY)).toBe(`${128 * MIB}`);
    expect(tree.has(TOGETHER)).toBe(false);
  });

  it('keep the period that the runtime has chosen', () => {
    const tree = new MadeTree().write({ ...OF_VERSION_1, [`cpu${LAUNCH}/cpu.cfs_period_us`]: '50000\n' });
    tree.cgroup(HYBRID).update({ cpus: 0.5 });
    expect(tree.read(QUOTA)).toBe('25000');
  });
});

describe('new limits in version 2', () => {
  it('are written, swap as what goes beyond memory', () => {
    const tree = new MadeTree().write(OF_VERSION_2);
    const limits = { memoryBytes: 128 * MIB, memorySwapBytes: 192 * MIB, cpus: 0.25, cpuset: '0', pids: 10 };
    expect(tree.cgroup(VERSION_2).update(limits)).toBe(true);
    expect(
      ['memory.max', 'memory.swap.max', 'cpu.max', 'cpuset.cpus', 'pids.max'].map((name) =>
        tree.read(`.${LAUNCH}/${name}`),
      ),
    ).toEqual([`${128 * MIB}`, `${64 * MIB}`, '25000 100000', '0', '10']);
  });

  it.each([
    [{ memoryBytes: 128 * MIB }, '0'],
    [{ memorySwapBytes: 96 * MIB }, `${32 * MIB}`],
    [{ memorySwapBytes: -1 }, 'max'],
  ])('%j leave swap at %s', (limits, swap) => {
    const tree = new MadeTree().write(OF_VERSION_2);
    tree.cgroup(VERSION_2).update(limits);
    expect(tree.read(`.${LAUNCH}/memory.swap.max`)).toBe(swap);
  });

  it('of memory below what is in use are refused, where the kernel would kill, after it was asked to free some', () => {
    const tree = new MadeTree().write({ ...OF_VERSION_2, [`.${LAUNCH}/memory.reclaim`]: '' });
    const update = () => tree.cgroup(VERSION_2).update({ memoryBytes: 16 * MIB, pids: 10 });
    expect(update).toThrow(
      expect.objectContaining({
        code: 'ERR_LIMIT_UPDATE',
        details: expect.objectContaining({ limit: 'memoryBytes', errno: 'EBUSY', notRestored: [] }),
      }),
    );
    expect(tree.read(`.${LAUNCH}/memory.reclaim`)).toBe(`${16 * MIB}`);
    expect([tree.read(`.${LAUNCH}/memory.max`), tree.read(`.${LAUNCH}/pids.max`)]).toEqual([`${64 * MIB}`, '4096']);
  });
});

const THROTTLE = (name: string) => `blkio${LAUNCH}/blkio.throttle.${name}_device`;
const DISK = { major: 7, minor: 3 };

/** As the kernel leaves the file of a disk, with what is written to it. */
function written(writes: readonly LimitWrite[] | undefined, tree: MadeTree): string[] {
  return (writes ?? []).map(({ file, value, before }) => {
    const path = file.slice(tree.path('.').length).replace(LAUNCH, '').split('/').at(-1);
    return `${path}: ${before} -> ${value}`;
  });
}

describe('new limits of disks', () => {
  it('are lines of a file for each kind in version 1, and 0 takes one away', () => {
    const tree = new MadeTree().write({
      [THROTTLE('read_bps')]: '7:3 1048576\n7:30 5\n',
      [THROTTLE('write_bps')]: '',
      [THROTTLE('read_iops')]: '',
      [THROTTLE('write_iops')]: '7:3 10\n',
    });
    const writes = limitFilesV1.disks(tree.path(`blkio${LAUNCH}`), [
      { ...DISK, readBps: 2048, writeBps: 4096, writeIops: 0 },
      { major: 8, minor: 0, readIops: 7 },
    ]);
    expect(written(writes, tree)).toEqual([
      'blkio.throttle.read_bps_device: 7:3 1048576 -> 7:3 2048',
      'blkio.throttle.write_bps_device: 7:3 0 -> 7:3 4096',
      'blkio.throttle.write_iops_device: 7:3 10 -> 7:3 0',
      'blkio.throttle.read_iops_device: 8:0 0 -> 8:0 7',
    ]);
  });

  it('are words of a line in version 2, and those that are not named stay', () => {
    const tree = new MadeTree().write({
      'cgroup.controllers': 'io\n',
      [`.${LAUNCH}/io.max`]: '7:30 rbps=1 wbps=max riops=max wiops=max\n7:3 rbps=1048576 wbps=max riops=max wiops=10\n',
    });
    const writes = limitFilesV2.disks(tree.path(`.${LAUNCH}`), [
      { ...DISK, readBps: 2048, writeBps: 4096, writeIops: 0 },
      { major: 8, minor: 0, readIops: 7 },
    ]);
    expect(written(writes, tree)).toEqual([
      'io.max: 7:3 rbps=1048576 wbps=max wiops=10 -> 7:3 rbps=2048 wbps=4096 wiops=max',
      'io.max: 8:0 riops=max -> 8:0 riops=7',
    ]);
  });

  it('have nowhere to be written where the cgroup was made without the controller', () => {
    const tree = new MadeTree().make(`blkio${LAUNCH}`, `.${LAUNCH}`);
    expect(limitFilesV1.disks(tree.path(`blkio${LAUNCH}`), [{ ...DISK, readBps: 1 }])).toBeUndefined();
    expect(limitFilesV2.disks(tree.path(`.${LAUNCH}`), [{ ...DISK, readBps: 1 }])).toBeUndefined();
  });
});

describe('new limits', () => {
  it('of a cgroup that is not there are for nobody', () => {
    expect(new MadeTree().cgroup(HYBRID).update({ pids: 10 })).toBe(false);
    expect(new MadeTree().cgroup(VERSION_2).update({ pids: 10 })).toBe(false);
    expect(new MadeTree().cgroup(NONE).update({ pids: 10 })).toBe(false);
  });

  it('that the cgroup was made without are refused before any is written', () => {
    const { [QUOTA]: _, ...files } = OF_VERSION_1;
    const tree = new MadeTree().write(files);
    expect(() => tree.cgroup(HYBRID).update({ memoryBytes: 128 * MIB, cpus: 1 })).toThrow(
      expect.objectContaining({
        code: 'ERR_LIMIT_UNSUPPORTED',
        details: expect.objectContaining({ controller: 'cpu' }),
      }),
    );
    expect(tree.read(MEMORY)).toBe(`${64 * MIB}`);
  });
});
