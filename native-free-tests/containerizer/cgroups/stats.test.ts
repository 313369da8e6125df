import { describe, expect, it } from 'vitest';
import { ContainerCgroup } from '#src/containerizer/cgroups/container-cgroup.js';
import { HYBRID, SYSTEMD_HYBRID, VERSION_2 } from './machines.js';
import { LAUNCH, MadeTree } from './made-tree.js';

const NOTHING = {
  memoryBytes: undefined,
  memoryLimitBytes: undefined,
  peakMemoryBytes: undefined,
  oomKills: undefined,
  cpuNanoseconds: undefined,
  throttledPeriods: undefined,
  throttledNanoseconds: undefined,
  pids: undefined,
  pidsLimit: undefined,
  readBytes: undefined,
  writtenBytes: undefined,
};

const USED = {
  memoryBytes: 4096,
  memoryLimitBytes: 67_108_864,
  peakMemoryBytes: 8192,
  oomKills: 3,
  cpuNanoseconds: 5_000_000,
  throttledPeriods: 2,
  throttledNanoseconds: 7_000_000,
  pids: 6,
  pidsLimit: 4096,
  readBytes: 1536,
  writtenBytes: 1024,
};

/** @param cpu where `cpu.stat` is, and where `cpuacct.usage` */
function version1(cpu = 'cpu', cpuacct = 'cpuacct'): Record<string, string> {
  return {
    [`memory${LAUNCH}/memory.usage_in_bytes`]: '4096\n',
    [`memory${LAUNCH}/memory.limit_in_bytes`]: '67108864\n',
    [`memory${LAUNCH}/memory.max_usage_in_bytes`]: '8192\n',
    [`memory${LAUNCH}/memory.oom_control`]: 'oom_kill_disable 0\nunder_oom 0\noom_kill 2\n',
    [`memory${LAUNCH}/below/memory.oom_control`]: 'oom_kill_disable 0\nunder_oom 0\noom_kill 1\n',
    [`${cpuacct}${LAUNCH}/cpuacct.usage`]: '5000000\n',
    [`${cpu}${LAUNCH}/cpu.stat`]: 'nr_periods 9\nnr_throttled 2\nthrottled_time 7000000\n',
    [`pids${LAUNCH}/pids.current`]: '6\n',
    [`pids${LAUNCH}/pids.max`]: '4096\n',
    [`blkio${LAUNCH}/blkio.throttle.io_service_bytes_recursive`]:
      '8:0 Read 512\n8:0 Write 1024\n8:0 Sync 1536\n8:0 Total 1536\n253:7 Read 1024\n253:7 Write 0\nTotal 2560\n',
  };
}

const OF_VERSION_2 = {
  'cgroup.controllers': 'cpu io memory pids\n',
  [`.${LAUNCH}/memory.current`]: '4096\n',
  [`.${LAUNCH}/memory.max`]: '67108864\n',
  [`.${LAUNCH}/memory.peak`]: '8192\n',
  [`.${LAUNCH}/memory.events`]: 'low 0\nhigh 0\nmax 12\noom 5\noom_kill 3\noom_group_kill 0\n',
  [`.${LAUNCH}/cpu.stat`]:
    'usage_usec 5000\nuser_usec 1\nsystem_usec 2\nnr_periods 9\nnr_throttled 2\nthrottled_usec 7000\n',
  [`.${LAUNCH}/pids.current`]: '6\n',
  [`.${LAUNCH}/pids.max`]: '4096\n',
  [`.${LAUNCH}/io.stat`]:
    '8:0 rbytes=512 wbytes=1024 rios=1 wios=1 dbytes=9 dios=0\n253:7 rbytes=1024 wbytes=0 rios=1\n',
};

describe('what a container uses', () => {
  it.each([
    ['version 1', HYBRID, version1()],
    ['version 1 with controllers together', SYSTEMD_HYBRID, version1('cpu,cpuacct', 'cpu,cpuacct')],
    ['version 2', VERSION_2, OF_VERSION_2],
  ])('is read in %s', (_, machine, files) => {
    const cgroup = new MadeTree().write(files).cgroup(machine);
    expect(cgroup.stats()).toEqual(USED);
    expect([cgroup.exists(), cgroup.oomKills(), cgroup.peakMemory(), cgroup.cpuTime()]).toEqual([true, 3, 8192, 5e6]);
  });

  it.each([
    ['hybrid machine', HYBRID],
    ['machine of version 2', VERSION_2],
  ])('is not known when there is no such cgroup on a %s', (_, machine) => {
    const tree = new MadeTree().write({ 'cgroup.controllers': 'cpu io memory pids\n' });
    expect(tree.cgroup(machine).stats()).toEqual(NOTHING);
    expect(tree.cgroup(machine).exists()).toBe(false);
    expect(tree.cgroup(machine).processes()).toEqual([]);
    expect(tree.cgroup(machine).isFrozen()).toBe(false);
  });

  it('is not known as far as a kernel does not count it', () => {
    const tree = new MadeTree().write({
      'cgroup.controllers': 'memory\n',
      [`.${LAUNCH}/memory.current`]: '4096\n',
      [`.${LAUNCH}/memory.max`]: 'max\n',
      [`.${LAUNCH}/cpu.stat`]: 'usage_usec 5000\nuser_usec 1\nsystem_usec 2\n',
    });
    expect(tree.cgroup(VERSION_2).stats()).toEqual({ ...NOTHING, memoryBytes: 4096, cpuNanoseconds: 5e6 });
  });

  it('has no limits where the kernel writes the most that it can count', () => {
    const tree = new MadeTree().write({
      ...version1(),
      [`memory${LAUNCH}/memory.limit_in_bytes`]: '9223372036854771712\n',
      [`pids${LAUNCH}/pids.max`]: 'max\n',
    });
    expect(tree.cgroup(HYBRID).stats()).toEqual({ ...USED, memoryLimitBytes: undefined, pidsLimit: undefined });
  });

  it('is taken from version 2 where the processor time of version 1 is missing', () => {
    const machine = { ...HYBRID, mountinfo: HYBRID.mountinfo.replace(/^33 .*\n/m, '') };
    const tree = new MadeTree().write({ [`unified${LAUNCH}/cpu.stat`]: 'usage_usec 5000\n' });
    expect(tree.cgroup(machine).cpuTime()).toBe(5_000_000);
  });
});

describe('the processes of a container', () => {
  it('are those of every hierarchy and of all cgroups below, each once', () => {
    const tree = new MadeTree().write({
      [`memory${LAUNCH}/cgroup.procs`]: '30\n4\n',
      [`pids${LAUNCH}/cgroup.procs`]: '4\n100\n',
      [`pids${LAUNCH}/a/b/cgroup.procs`]: '5\n',
      [`pids/provisioner-0123456789ab/another/cgroup.procs`]: '6\n',
    });
    expect(tree.cgroup(HYBRID).processes()).toEqual([4, 5, 30, 100]);
  });

  it('are not those that this process cannot see, nor this process itself', () => {
    const tree = new MadeTree().write({ [`memory${LAUNCH}/cgroup.procs`]: `0\n0\n7\n${process.pid}\n` });
    expect(tree.cgroup(HYBRID).processes()).toEqual([7]);
  });

  it('may be more than fit into one read', () => {
    const pids = Array.from({ length: 20_000 }, (_, index) => 1_000_000 + index);
    const tree = new MadeTree().write({ [`memory${LAUNCH}/cgroup.procs`]: `${pids.join('\n')}\n` });
    expect(tree.cgroup(HYBRID).processes()).toEqual(pids);
  });
});

describe('the path of a cgroup', () => {
  it.each(['', '/', '/a', 'a/b', '/a/', '//b', '/a/..', '/../b', '/a/./b', '/a/b/', '/a/b\n', '/a/b\0'])(
    'is refused when it is %j, which may be somebody else’s',
    (path) => {
      const hierarchies = new MadeTree().hierarchies(HYBRID);
      const make = () => new ContainerCgroup(hierarchies, path, { pause: async () => {}, sendSignal: () => {} });
      expect(make).toThrow(TypeError);
    },
  );
});
