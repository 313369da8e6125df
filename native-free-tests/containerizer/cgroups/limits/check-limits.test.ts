import { describe, expect, it } from 'vitest';
import { isProvisionerError } from '#src/base/errors.js';
import { checkLimits } from '#src/containerizer/cgroups/limits/check-limits.js';
import { type MachineFacts, readMachineFacts } from '#src/containerizer/cgroups/limits/machine-facts.js';
import type { LaunchLimits } from '#src/containerizer/launch-spec.js';
import { HYBRID, type Machine, NONE, VERSION_2 } from '../machines.js';
import { MadeTree } from '../made-tree.js';

const MIB = 1024 * 1024;
const FACTS: MachineFacts = { onlineCpus: [0, 1, 3], usableCpus: [0, 1], swapBytes: 0, countsSwap: true };

function machineOf(machine: Machine) {
  const directories = machine.mountinfo.split('\n').flatMap((line) => line.split(' ')[4] ?? []);
  return new MadeTree().make(...directories).hierarchies(machine);
}

function refusal(
  limits: LaunchLimits | undefined,
  {
    machine = HYBRID,
    facts = {},
    update = false,
  }: { machine?: Machine; facts?: Partial<MachineFacts>; update?: boolean } = {},
): unknown {
  try {
    checkLimits(limits, machineOf(machine), { ...FACTS, ...facts }, { update });
    return undefined;
  } catch (error) {
    if (!isProvisionerError(error)) throw error;
    return { code: error.code, ...error.details };
  }
}

describe('limits', () => {
  it.each<[LaunchLimits | undefined]>([
    [undefined],
    [{}],
    [{ memoryBytes: 6 * MIB }],
    [{ memoryBytes: 8 * MIB, memorySwapBytes: 8 * MIB }],
    [{ memoryBytes: 8 * MIB, memorySwapBytes: -1 }],
    [{ memorySwapBytes: -1 }],
    [{ cpus: 0.01 }],
    [{ cpus: 1.5 }],
    [{ cpus: 3 }],
    [{ cpuset: '0-1' }],
    [{ pids: 1 }],
    [{ pids: -1 }],
    [{ diskOn: 'disk' }],
    [{ diskBytes: MIB, diskOn: 'memory' }],
  ])('such as %j are taken', (limits) => {
    expect(refusal(limits)).toBeUndefined();
  });

  it.each<[LaunchLimits]>([
    [{ memoryBytes: 6 * MIB - 1 }],
    [{ diskOn: 'memory' }],
    [{ memoryBytes: 0 }],
    [{ memoryBytes: -1 }],
    [{ memoryBytes: Number.NaN }],
    [{ memoryBytes: 8 * MIB + 0.5 }],
    [{ memoryBytes: 2 ** 53 }],
    [{ memoryBytes: Number.POSITIVE_INFINITY }],
    [{ memoryBytes: 8 * MIB, memorySwapBytes: 7 * MIB }],
    [{ memorySwapBytes: 8 * MIB }],
    [{ memoryBytes: 8 * MIB, memorySwapBytes: -2 }],
    [{ memoryBytes: 8 * MIB, memorySwapBytes: Number.NaN }],
    [{ cpus: 0 }],
    [{ cpus: 0.009 }],
    [{ cpus: -1 }],
    [{ cpus: 3.1 }],
    [{ cpus: Number.NaN }],
    [{ cpus: Number.POSITIVE_INFINITY }],
    [{ cpuset: '' }],
    [{ cpuset: '0 ' }],
    [{ cpuset: '2' }],
    [{ cpuset: '0-3' }],
    [{ cpuset: '1-0' }],
    [{ pids: 0 }],
    [{ pids: -2 }],
    [{ pids: 1.5 }],
    [{ pids: 4_194_305 }],
  ])('such as %j are none, and the error names the limit', (limits) => {
    const named = Object.keys(limits).at(-1);
    expect(refusal(limits)).toMatchObject({ code: 'ERR_LIMIT_INVALID', limit: named });
  });

  it.each<[LaunchLimits | undefined, string, string]>([
    [{ memoryBytes: 8 * MIB, pids: -1 }, 'memoryBytes', 'memory'],
    [{ cpus: 1, pids: -1 }, 'cpus', 'cpu'],
    [{ cpuset: '0', pids: -1 }, 'cpuset', 'cpuset'],
    [{ pids: 10 }, 'pids', 'pids'],
    [undefined, 'pids', 'pids'],
  ])(
    'such as %j are refused where nothing keeps them, and the error names limit and controller',
    (limits, limit, controller) => {
      expect(refusal(limits, { machine: NONE })).toEqual({
        code: 'ERR_LIMIT_UNSUPPORTED',
        limit,
        controller,
        reason: 'nothing is mounted at /sys/fs/cgroup',
      });
    },
  );

  it('that are none at all can be had anywhere', () => {
    expect(refusal({ pids: -1 }, { machine: NONE })).toBeUndefined();
  });

  it('of memory can be kept without counting swap only where there is none, or the container may have it', () => {
    const limits = { memoryBytes: 8 * MIB };
    expect(refusal(limits, { facts: { countsSwap: false } })).toBeUndefined();
    expect(refusal(limits, { facts: { countsSwap: false, swapBytes: 4096 } })).toMatchObject({
      code: 'ERR_LIMIT_UNSUPPORTED',
      controller: 'memory',
    });
    const withSwap = { ...limits, memorySwapBytes: -1 };
    expect(refusal(withSwap, { facts: { countsSwap: false, swapBytes: 4096 } })).toBeUndefined();
  });

  it('of processors that are online but not for containers here are unsupported', () => {
    expect(refusal({ cpuset: '1,3' })).toMatchObject({
      code: 'ERR_LIMIT_UNSUPPORTED',
      reason: 'containers may use 0-1 here, not 3',
    });
  });

  it('of a container that runs may name swap alone, and have no defaults', () => {
    expect(refusal({ memorySwapBytes: 8 * MIB }, { update: true })).toBeUndefined();
    expect(refusal({}, { machine: NONE, update: true })).toBeUndefined();
  });
});

describe('what limits are held against', () => {
  it('is read from the files of the machine', () => {
    const tree = new MadeTree().write({
      '/sys/devices/system/cpu/online': '0-3\n',
      '/proc/meminfo': 'MemTotal:       24683652 kB\nSwapTotal:             8 kB\nSwapFree:              4 kB\n',
      'cpuset/cpuset.effective_cpus': '1-2,9\n',
      'memory/memory.memsw.limit_in_bytes': '9223372036854771712\n',
    });
    expect(readMachineFacts(tree.hierarchies(HYBRID), tree.root)).toEqual({
      onlineCpus: [0, 1, 2, 3],
      usableCpus: [1, 2],
      swapBytes: 8192,
      countsSwap: true,
    });
  });

  it('is one processor and no swap where nothing says more', () => {
    const tree = new MadeTree();
    expect(readMachineFacts(tree.hierarchies(NONE), tree.root)).toEqual({
      onlineCpus: [0],
      usableCpus: [0],
      swapBytes: 0,
      countsSwap: false,
    });
  });

  it.each([
    ['counts swap for what the root of the machine says nothing of', {}, true],
    [
      'counts swap where a cgroup that was handed to us does',
      { 'memory.max': 'max\n', 'memory.swap.max': 'max\n' },
      true,
    ],
    ['does not count swap where a cgroup that was handed to us does not', { 'memory.max': 'max\n' }, false],
  ])('in version 2 %s', (_, files, counts) => {
    const tree = new MadeTree().write({ 'cgroup.controllers': 'memory\n', ...files });
    expect(readMachineFacts(tree.hierarchies(VERSION_2), tree.root).countsSwap).toBe(counts);
  });

  it('of disk space do not change their place', () => {
    const invalid = { code: 'ERR_LIMIT_INVALID', limit: 'diskOn' };
    expect(refusal({ diskBytes: MIB }, { update: true })).toBeUndefined();
    for (const diskOn of ['disk', 'memory'] as const)
      expect(refusal({ diskBytes: MIB, diskOn }, { update: true })).toMatchObject(invalid);
  });
});
