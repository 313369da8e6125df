import { mkdirSync, rmSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { listLaunches, removeParent } from '#src/containerizer/cgroups/launches.js';
import { HYBRID, VERSION_2 } from './machines.js';
import { LAUNCH, MadeTree } from './made-tree.js';

const PARENT = '/provisioner-0123456789ab';

describe('removing a cgroup', () => {
  it('takes it and all below it out of each hierarchy, and nothing beside it', async () => {
    const tree = new MadeTree().make(`memory${LAUNCH}/a/b/c`, `memory${LAUNCH}/d`, `pids${LAUNCH}`, `pids${LAUNCH}0`);
    await tree.cgroup(HYBRID).remove();
    expect(tree.cgroup(HYBRID).exists()).toBe(false);
    expect(listLaunches(tree.hierarchies(HYBRID), PARENT)).toEqual([`${LAUNCH.slice(PARENT.length + 1)}0`]);
  });

  it('takes those too whose names are no UTF-8', async () => {
    const tree = new MadeTree().make(`memory${LAUNCH}`);
    mkdirSync(Buffer.concat([Buffer.from(`${tree.path(`memory${LAUNCH}`)}/`), Buffer.from([0xff, 0xe9])]));
    await tree.cgroup(HYBRID).remove();
    expect(tree.has(`memory${LAUNCH}`)).toBe(false);
  });

  it('does nothing when it is gone', async () => {
    await expect(new MadeTree().cgroup(VERSION_2).remove()).resolves.toBeUndefined();
  });

  it('waits for what is still in it', async () => {
    // A file keeps a directory as a process keeps a cgroup.
    const tree = new MadeTree().write({ [`memory${LAUNCH}/a/kept`]: '' }).make(`pids${LAUNCH}`);
    let pauses = 0;
    const pause = async () => void (++pauses === 3 && rmSync(tree.path(`memory${LAUNCH}/a/kept`)));
    await tree.cgroup(HYBRID, { pause }).remove();
    expect([pauses, tree.has(`memory${LAUNCH}`), tree.has(`pids${LAUNCH}`)]).toEqual([3, false, false]);
  });

  it('tells in the end who is still in it, and has removed the rest', async () => {
    const tree = new MadeTree()
      .write({ [`memory${LAUNCH}/cgroup.procs`]: '40\n', '/proc/40/stat': '40 (d) d) D 1 40 40' })
      .make(`pids${LAUNCH}`);
    await expect(tree.cgroup(HYBRID).remove()).rejects.toMatchObject({
      code: 'ERR_CGROUP_BUSY',
      details: { processes: ['40 D d) d'], path: tree.path(`memory${LAUNCH}`) },
    });
    expect(tree.has(`pids${LAUNCH}`)).toBe(false);
  });
});

describe('the cgroup of a store', () => {
  it('has the launches of any hierarchy, each once', () => {
    const tree = new MadeTree()
      .make(`memory${PARENT}/b`, `pids${PARENT}/b`, `pids${PARENT}/a`, `unified${PARENT}/c`)
      .write({ [`pids${PARENT}/cgroup.procs`]: '' });
    expect(listLaunches(tree.hierarchies(HYBRID), PARENT)).toEqual(['a', 'b', 'c']);
    expect(listLaunches(new MadeTree().hierarchies(HYBRID), PARENT)).toEqual([]);
  });

  it('goes from each hierarchy in which nothing is left in it', () => {
    const tree = new MadeTree().make(`memory${PARENT}/a`, `pids${PARENT}`);
    expect(removeParent(tree.hierarchies(HYBRID), PARENT)).toBe(false);
    expect([tree.has(`memory${PARENT}`), tree.has(`pids${PARENT}`)]).toEqual([true, false]);
    rmSync(tree.path(`memory${PARENT}/a`), { recursive: true });
    expect(removeParent(tree.hierarchies(HYBRID), PARENT)).toBe(true);
    expect(removeParent(tree.hierarchies(HYBRID), PARENT)).toBe(true);
  });
});
