import { rmSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { HYBRID, VERSION_2 } from './machines.js';
import { LAUNCH, MadeTree } from './made-tree.js';

const PROCS = `pids${LAUNCH}/cgroup.procs`;
const PIDS_MAX = `pids${LAUNCH}/pids.max`;
const STATE = `freezer${LAUNCH}/freezer.state`;

/** Where there is no pids controller. */
const WITHOUT_PIDS = { ...HYBRID, mountinfo: HYBRID.mountinfo.replace(/^39 .*\n/m, '') };

describe('killing all', () => {
  it('signals what is there, lets nothing new begin any more, signals what has begun meanwhile, and thaws', () => {
    const tree = new MadeTree().write({ [PROCS]: '5\n6\n', [PIDS_MAX]: 'max\n', [STATE]: 'FROZEN\n' });
    const seen: unknown[] = [];
    const cgroup = tree.cgroup(HYBRID, {
      sendSignal: (pid, signal) => {
        seen.push([pid, signal, tree.read(PIDS_MAX).trim(), tree.read(STATE).trim()]);
        tree.write({ [PROCS]: '5\n6\n7\n' });
      },
    });
    expect(cgroup.killAll('SIGKILL')).toEqual({ signalled: 3, settled: true });
    expect(seen).toEqual([
      // Of a fork that fails they could end by themselves, with a code that means something else.
      [5, 'SIGKILL', 'max', 'FROZEN'],
      [6, 'SIGKILL', 'max', 'FROZEN'],
      [7, 'SIGKILL', '0', 'FROZEN'],
    ]);
    expect(tree.read(STATE)).toBe('THAWED');
  });

  it('freezes what goes on where the number of processes has no limit', () => {
    const procs = `memory${LAUNCH}/cgroup.procs`;
    const tree = new MadeTree().write({ [procs]: '5\n', [STATE]: 'THAWED\n' });
    const seen: unknown[] = [];
    const cgroup = tree.cgroup(WITHOUT_PIDS, {
      sendSignal: (pid) => {
        seen.push([pid, tree.read(STATE).trim()]);
        tree.write({ [procs]: '5\n6\n' });
      },
    });
    cgroup.killAll('SIGKILL');
    expect(seen).toEqual([
      [5, 'THAWED'],
      [6, 'FROZEN'],
    ]);
    expect(tree.read(STATE)).toBe('THAWED');
  });

  it('signals those too that come meanwhile, each once', () => {
    const tree = new MadeTree().write({ [PROCS]: '5\n' });
    const seen: number[] = [];
    const cgroup = tree.cgroup(HYBRID, {
      sendSignal: (pid) => {
        seen.push(pid);
        if (pid < 8) tree.write({ [PROCS]: `5\n${pid + 1}\n` });
      },
    });
    expect(cgroup.killAll('SIGTERM')).toEqual({ signalled: 4, settled: true });
    expect(seen).toEqual([5, 6, 7, 8]);
  });

  it('has an end although new ones come for ever, and says so', () => {
    const tree = new MadeTree().write({ [PROCS]: '5\n' });
    const cgroup = tree.cgroup(HYBRID, { sendSignal: (pid) => void tree.write({ [PROCS]: `${pid + 1}\n` }) });
    expect(cgroup.killAll('SIGTERM').settled).toBe(false);
  });

  it('leaves the number of processes alone for a signal that may be survived', () => {
    const tree = new MadeTree().write({ [PROCS]: '5\n', [PIDS_MAX]: '64\n' });
    tree.cgroup(HYBRID).killAll('SIGTERM');
    expect(tree.read(PIDS_MAX)).toBe('64');
  });

  it('lets the sender ask whether a process is still the same one', () => {
    const tree = new MadeTree().write({
      [PROCS]: '5\n6\n7\n8\n',
      '/proc/5/cgroup': `8:pids:${LAUNCH}\n`,
      '/proc/6/cgroup': `8:pids:/docker/4f2c${LAUNCH}/below\n`,
      '/proc/7/cgroup': `8:pids:${LAUNCH}0\n4:memory:/\n`,
    });
    const still = new Map<number, boolean>();
    tree.cgroup(HYBRID, { sendSignal: (pid, _, isStill) => still.set(pid, isStill()) }).killAll('SIGKILL');
    expect([...still]).toEqual([
      [5, true],
      [6, true],
      [7, false],
      [8, false],
    ]);
  });

  it('is left to the kernel in version 2', () => {
    const files = { [`.${LAUNCH}/cgroup.procs`]: '5\n6\n', [`.${LAUNCH}/cgroup.kill`]: '' };
    const tree = new MadeTree().write(files);
    const seen: number[] = [];
    const cgroup = tree.cgroup(VERSION_2, { sendSignal: (pid) => seen.push(pid) });
    expect(cgroup.killAll('SIGKILL')).toEqual({ signalled: 2, settled: true });
    expect([tree.read(`.${LAUNCH}/cgroup.kill`), seen]).toEqual(['1', []]);
    // Before Linux 5.14 it cannot.
    rmSync(tree.path(`.${LAUNCH}/cgroup.kill`));
    expect(cgroup.killAll('SIGKILL')).toEqual({ signalled: 2, settled: true });
    expect(seen).toEqual([5, 6]);
  });

  it('of a cgroup that is not there signals nobody', () => {
    expect(new MadeTree().cgroup(HYBRID).killAll('SIGKILL')).toEqual({ signalled: 0, settled: true });
    expect(new MadeTree().cgroup(VERSION_2).killAll('SIGKILL')).toEqual({ signalled: 0, settled: true });
  });
});
