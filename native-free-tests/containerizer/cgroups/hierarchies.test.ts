import { describe, expect, it } from 'vitest';
import { directoryOf, type Hierarchies, parentOf } from '#src/containerizer/cgroups/hierarchies.js';
import {
  DOCKER_VERSION_1,
  DOCKER_VERSION_2,
  HYBRID,
  type Machine,
  NONE,
  SYSTEMD_HYBRID,
  VERSION_1,
  VERSION_2,
} from './machines.js';
import { MadeTree } from './made-tree.js';

const ALL = 'cpuset cpu io memory hugetlb pids rdma misc\n';
const OWN = 'user.slice/user-1000.slice/user@1000.service';

/** Where each controller is usable, and why not elsewhere. */
function told(tree: MadeTree, { controllers }: Hierarchies): Record<string, string> {
  return Object.fromEntries(
    Object.entries(controllers).map(([name, state]) => {
      const text = state.usable ? state.hierarchy.directory : state.reason;
      return [name, text.replaceAll(tree.root, '')];
    }),
  );
}

/** With the directories of its mounts. */
function treeOf({ mountinfo }: Machine): MadeTree {
  return new MadeTree().make(...mountinfo.split('\n').flatMap((line) => line.split(' ')[4] ?? []));
}

describe('hierarchies', () => {
  it.each([
    ['v1', VERSION_1],
    ['v1', DOCKER_VERSION_1],
    ['hybrid', HYBRID],
    ['hybrid', SYSTEMD_HYBRID],
    ['v2', VERSION_2],
    ['v2', DOCKER_VERSION_2],
    ['none', NONE],
  ])('are %s on this machine', (mode, machine) => {
    expect(treeOf(machine).hierarchies(machine).mode).toBe(mode);
  });

  it('of version 1 each have their controllers, whatever cgroup this process is in', () => {
    const tree = treeOf(HYBRID);
    expect(told(tree, tree.hierarchies(HYBRID))).toEqual({
      memory: '/sys/fs/cgroup/memory',
      cpu: '/sys/fs/cgroup/cpu',
      cpuacct: '/sys/fs/cgroup/cpuacct',
      cpuset: '/sys/fs/cgroup/cpuset',
      pids: '/sys/fs/cgroup/pids',
      io: '/sys/fs/cgroup/blkio',
      freezer: '/sys/fs/cgroup/freezer',
    });
    expect(tree.hierarchies(HYBRID).base).toBe('/');
  });

  it('of version 1 are preferred on a hybrid machine where version 2 was mounted first', () => {
    const tree = treeOf(SYSTEMD_HYBRID);
    expect(told(tree, tree.hierarchies(SYSTEMD_HYBRID))).toMatchObject({
      cpu: '/sys/fs/cgroup/cpu,cpuacct',
      cpuacct: '/sys/fs/cgroup/cpu,cpuacct',
      freezer: '/sys/fs/cgroup/freezer',
    });
  });

  it('that are mounted twice are one', () => {
    const twice = SYSTEMD_HYBRID.mountinfo.replace(
      /^41 .*$/m,
      (line) => `${line}\n${line.replace('cpu,cpuacct ', 'cpu ')}`,
    );
    const { mounted } = treeOf(SYSTEMD_HYBRID).hierarchies({ ...SYSTEMD_HYBRID, mountinfo: twice });
    expect(mounted.filter(({ controllers }) => controllers.includes('cpu'))).toHaveLength(1);
  });

  it('that something else is mounted upon are not there', () => {
    const covered = (place: string) => `${HYBRID.mountinfo}99 31 0:99 / ${place} rw - tmpfs tmpfs rw\n`;
    const tree = treeOf(HYBRID);
    expect(tree.hierarchies({ ...HYBRID, mountinfo: covered('/sys/fs/cgroup/unified') }).mode).toBe('v1');
    expect(tree.hierarchies({ ...HYBRID, mountinfo: covered('/sys/fs/cgroup') }).mode).toBe('none');
    expect(tree.hierarchies({ ...HYBRID, mountinfo: covered('/sys/fs') }).mode).toBe('none');
    expect(tree.hierarchies({ ...HYBRID, mountinfo: covered('/sys/fs/cgroup-of-others') }).mode).toBe('hybrid');
  });

  it('that are mounted anywhere else are not looked at', () => {
    const elsewhere = `${NONE.mountinfo}99 28 0:26 / /mnt/cgroup rw - cgroup2 cgroup2 rw\n`;
    expect(new MadeTree().hierarchies({ ...NONE, mountinfo: elsewhere }).mode).toBe('none');
  });
});

describe('a controller', () => {
  it('that is bound to version 2 on a hybrid machine cannot be had', () => {
    const tree = treeOf(HYBRID).write({ 'unified/cgroup.controllers': 'memory\n' });
    const mountinfo = HYBRID.mountinfo.replace(/^35 .*\n/m, '');
    expect(told(tree, tree.hierarchies({ ...HYBRID, mountinfo }))).toMatchObject({
      memory: 'it is bound to /sys/fs/cgroup/unified, where runtimes set no limits as long as others are of version 1',
      pids: '/sys/fs/cgroup/pids',
    });
  });

  it('that the kernel does not have cannot be had', () => {
    const tree = treeOf(HYBRID);
    const mountinfo = HYBRID.mountinfo.replace(/^35 .*\n/m, '');
    const { memory } = told(tree, tree.hierarchies({ ...HYBRID, mountinfo }));
    expect(memory).toBe('the kernel has it not, or it is switched off');
    expect(told(tree, tree.hierarchies(NONE))['memory']).toBe('nothing is mounted at /sys/fs/cgroup');
  });

  it('of a container whose cgroups are read-only cannot be had', () => {
    const tree = treeOf(DOCKER_VERSION_1);
    expect(told(tree, tree.hierarchies(DOCKER_VERSION_1))['pids']).toBe('/sys/fs/cgroup/pids is mounted read-only');
  });

  it('of a container whose cgroups can be written lies below the mount, which shows the cgroup of the container', () => {
    const mountinfo = DOCKER_VERSION_1.mountinfo.replaceAll(' ro,', ' rw,');
    const tree = treeOf(DOCKER_VERSION_1);
    const hierarchies = tree.hierarchies({ ...DOCKER_VERSION_1, mountinfo });
    expect(told(tree, hierarchies)['pids']).toBe('/sys/fs/cgroup/pids');
    const [, pids] = hierarchies.mounted;
    expect(pids && directoryOf(pids, parentOf(hierarchies, 'ab'))).toBe(tree.path('pids/provisioner-ab'));
  });

  it('where this process may not make cgroups cannot be had', () => {
    const tree = treeOf(HYBRID);
    const states = told(tree, tree.hierarchies(HYBRID, { mayWrite: () => false }));
    expect(states['memory']).toBe('this process may not make cgroups in /sys/fs/cgroup/memory');
  });
});

describe('a controller of version 2', () => {
  it('can be had below the root of the machine, whether it is handed down yet or not', () => {
    const tree = treeOf(VERSION_2).write({
      'cgroup.controllers': ALL,
      'cgroup.subtree_control': 'memory pids\n',
      'cgroup.procs': '1\n2\n',
    });
    const hierarchies = tree.hierarchies(VERSION_2);
    expect(hierarchies.base).toBe('/');
    expect(new Set(Object.values(told(tree, hierarchies)))).toEqual(new Set(['/sys/fs/cgroup']));
  });

  it('can be had where it was delegated to an ordinary user, and cgroups of ours lie there', () => {
    const tree = treeOf(VERSION_2).write({
      'cgroup.controllers': ALL,
      'cgroup.subtree_control': ALL,
      [`${OWN}/cgroup.controllers`]: 'cpu memory pids\n',
      [`${OWN}/cgroup.subtree_control`]: 'memory pids\n',
      [`${OWN}/cgroup.type`]: 'domain\n',
      [`${OWN}/cgroup.procs`]: '',
    });
    const hierarchies = tree.hierarchies(VERSION_2, { mayWrite: (directory) => directory.includes('user@1000') });
    expect(parentOf(hierarchies, '0123456789ab')).toBe(`/${OWN}/provisioner-0123456789ab`);
    expect(told(tree, hierarchies)).toMatchObject({
      memory: '/sys/fs/cgroup',
      cpu: '/sys/fs/cgroup',
      freezer: '/sys/fs/cgroup',
      cpuset: `it is not handed down to /sys/fs/cgroup/${OWN}`,
    });
  });

  it('cannot be had below a cgroup with processes of its own, as in a container, unless it is handed down already', () => {
    const tree = treeOf(DOCKER_VERSION_2).write({
      'cgroup.controllers': ALL,
      'cgroup.subtree_control': 'pids\n',
      'cgroup.type': 'domain\n',
      'cgroup.procs': '1\n',
    });
    expect(told(tree, tree.hierarchies(DOCKER_VERSION_2))).toMatchObject({
      pids: '/sys/fs/cgroup',
      memory: expect.stringMatching(/^\/sys\/fs\/cgroup has processes of its own and hands nothing down/),
      freezer: '/sys/fs/cgroup',
    });
  });

  it('is looked for in the root when the cgroup of this process lies outside of what is mounted', () => {
    const outside = { ...VERSION_2, selfCgroup: '0::/../../elsewhere\n' };
    const tree = treeOf(VERSION_2);
    expect(tree.hierarchies(outside, { mayWrite: (directory) => directory.endsWith('elsewhere') }).base).toBe('/');
  });
});
