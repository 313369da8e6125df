import { describe, expect, it } from 'vitest';
import { ownProcsFile } from '#src/containerizer/cgroups/own-procs-file.js';
import {
  DOCKER_VERSION_1,
  DOCKER_VERSION_2,
  HYBRID,
  type Machine,
  NONE,
  SYSTEMD_HYBRID,
  VERSION_2,
} from './machines.js';
import { MadeTree } from './made-tree.js';

/** Of a process on a machine with these files. @returns its path below `/sys/fs/cgroup` */
function found(machine: Machine, ...files: string[]): string | undefined {
  const made = new MadeTree().write(Object.fromEntries(files.map((file) => [file, ''])));
  const path = ownProcsFile(made.hierarchies(machine), machine.selfCgroup);
  return path?.slice(made.path('').length + 1);
}

describe('the file through which a process is moved to the cgroup where it is', () => {
  it('lies in a hierarchy of version 1, in the cgroup that it has in that', () => {
    expect(found(HYBRID, 'pids/cgroup.procs', 'memory/cgroup.procs', 'cpu/cgroup.procs')).toBe('cpu/cgroup.procs');
    const session = 'memory/user.slice/user-0.slice/session-3.scope/cgroup.procs';
    expect(found(SYSTEMD_HYBRID, 'memory/cgroup.procs', session)).toBe(session);
    expect(found(SYSTEMD_HYBRID, 'blkio/user.slice/cgroup.procs')).toBe('blkio/user.slice/cgroup.procs');
  });

  it('lies in the hierarchy of version 2', () => {
    const own = 'user.slice/user-1000.slice/user@1000.service/app.slice/run-u7.scope/cgroup.procs';
    expect(found(VERSION_2, 'cgroup.procs', own)).toBe(own);
    expect(found(DOCKER_VERSION_2, 'cgroup.procs')).toBe('cgroup.procs');
  });

  it('lies where the hierarchy is mounted in a container that is told the paths of the machine', () => {
    expect(found(DOCKER_VERSION_1, 'memory/cgroup.procs')).toBe('memory/cgroup.procs');
  });

  it('is not there without cgroups, and where none can be seen', () => {
    expect(found(NONE)).toBeUndefined();
    expect(found(HYBRID)).toBeUndefined();
  });
});
