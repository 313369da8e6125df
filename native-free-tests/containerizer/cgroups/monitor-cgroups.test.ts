import { existsSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { listLaunches, removeParent } from '#src/containerizer/cgroups/launches.js';
import { monitorCgroups } from '#src/containerizer/cgroups/monitor-cgroups.js';
import { HYBRID } from './machines.js';
import { MadeTree } from './made-tree.js';

const PARENT = '/provisioner-0123456789ab';
const inService = (line: RegExp, path: string) => HYBRID.selfCgroup.replace(line, `$1${path}`);

describe('the monitors of a process that is a service', () => {
  const tree = () => new MadeTree().make('systemd', 'unified', 'memory', 'devices');

  it('are put into a cgroup of their own where the service manager looks, so that they outlive it', () => {
    const made = tree();
    const selfCgroup = inService(/(:name=systemd:)\/$/m, '/system.slice/agent.service');
    const found = monitorCgroups(made.hierarchies(HYBRID, { selfCgroup }), PARENT, selfCgroup);
    expect(found).toEqual([made.path(`systemd${PARENT}/monitors`)]);
    expect(existsSync(found[0] as string)).toBe(true);
    expect(monitorCgroups(made.hierarchies(HYBRID, { selfCgroup }), PARENT, selfCgroup)).toEqual(found);
  });

  it('are put there in version 2 as well', () => {
    const made = tree();
    const selfCgroup = inService(/^(0::)\/$/m, '/system.slice/agent.service');
    const found = monitorCgroups(made.hierarchies(HYBRID, { selfCgroup }), PARENT, selfCgroup);
    expect(found).toEqual([made.path(`unified${PARENT}/monitors`)]);
  });

  it('stay where they are when it is none, whatever limits it has', () => {
    const made = tree();
    expect(monitorCgroups(made.hierarchies(HYBRID), PARENT, HYBRID.selfCgroup)).toEqual([]);
    expect(made.has(`systemd${PARENT}`)).toBe(false);
  });

  it('leave a cgroup that goes with that of the store', () => {
    const made = tree();
    const selfCgroup = inService(/(:name=systemd:)\/$/m, '/system.slice/agent.service');
    const hierarchies = made.hierarchies(HYBRID, { selfCgroup });
    monitorCgroups(hierarchies, PARENT, selfCgroup);
    expect(listLaunches(hierarchies, PARENT)).toEqual(['monitors']);
    expect(removeParent(hierarchies, PARENT)).toBe(true);
    expect(made.has(`systemd${PARENT}`)).toBe(false);
  });
});
