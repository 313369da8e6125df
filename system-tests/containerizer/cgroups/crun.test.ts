import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { ContainerCgroup } from '#src/containerizer/cgroups/container-cgroup.js';
import { listLaunches, removeParent } from '#src/containerizer/cgroups/launches.js';
import { TestCgroups, until } from '../../helpers/cgroups.js';
import { describeWith } from '../../helpers/requirements.js';

const MIB = 1024 * 1024;
const LAUNCH = '00112233445566778899aabbccddeeff';

let cgroups: TestCgroups;
let directory: string;
let cgroup: ContainerCgroup;
beforeEach(() => {
  cgroups = new TestCgroups();
  directory = mkdtempSync(join(tmpdir(), 'crun-cgroups-'));
  cgroup = cgroups.cgroup(`${cgroups.parent}/${LAUNCH}`);
});
afterEach(async () => {
  await cgroups.close();
  crun('delete --force', LAUNCH);
  rmSync(directory, { recursive: true, force: true });
});

/** In a mount namespace of its own, where nothing hybrid is to be seen. Its container keeps what it has open, which therefore is a file and no pipe. */
function crun(command: string, rest: string): { status: number | null; told: string } {
  const hide = 'umount /sys/fs/cgroup/unified 2>/dev/null;';
  const script = `${hide} exec crun --root '${directory}/state' --cgroup-manager cgroupfs ${command} ${rest}`;
  const output = openSync(join(directory, 'output'), 'w');
  const { status } = spawnSync('unshare', ['--mount', 'sh', '-c', script], {
    stdio: ['ignore', output, output],
    timeout: 20_000,
  });
  closeSync(output);
  return { status, told: readFileSync(join(directory, 'output'), 'utf8') };
}

/** A container of the programs of this machine. */
function run(script: string, resources: object): ReturnType<typeof crun> {
  mkdirSync(join(directory, 'rootfs/dev'), { recursive: true });
  const programs = ['/usr', '/bin', '/lib', '/lib64'].filter((path) => existsSync(path));
  const config = {
    ociVersion: '1.0.0',
    process: { args: ['sh', '-c', script], cwd: '/', env: ['PATH=/usr/bin:/bin'], user: { uid: 0, gid: 0 } },
    root: { path: 'rootfs' },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      ...programs.map((path) => ({ destination: path, type: 'bind', source: path, options: ['rbind', 'ro'] })),
    ],
    linux: {
      namespaces: ['pid', 'mount', 'ipc', 'uts', 'cgroup'].map((type) => ({ type })),
      cgroupsPath: cgroup.cgroupsPath,
      resources,
    },
  };
  writeFileSync(join(directory, 'config.json'), JSON.stringify(config));
  return crun('run --detach', `--bundle '${directory}' ${LAUNCH}`);
}

describeWith(['root', 'cgroups', 'crun'], 'a container that crun has made', () => {
  it('has its cgroup where it is looked for, with the limits of its bundle, until it is removed', async () => {
    const made = run('sleep 1000 & wait', {
      memory: { limit: 64 * MIB, swap: 64 * MIB },
      cpu: { quota: 50_000, period: 100_000, cpus: '0' },
      pids: { limit: 20 },
    });
    expect(made.told).toBe('');
    await until('sh and sleep', () => cgroup.processes().length === 2);
    expect(listLaunches(cgroups.hierarchies, cgroups.parent)).toEqual([LAUNCH]);
    expect(cgroup.stats()).toMatchObject({ memoryLimitBytes: 64 * MIB, pids: 2, pidsLimit: 20, oomKills: 0 });
    expect(cgroup.update({ memoryBytes: 128 * MIB, cpus: 1, cpuset: '0', pids: 30 })).toBe(true);
    expect(await cgroup.freeze()).toBe(true);
    expect(cgroup.killAll('SIGKILL').signalled).toBe(2);
    await cgroup.remove();
    expect(cgroup.exists()).toBe(false);
    expect(removeParent(cgroups.hierarchies, cgroups.parent)).toBe(true);
  });

  it('still tells of its end for want of memory after its last process has gone', async () => {
    const resources = { memory: { limit: 24 * MIB, swap: 24 * MIB } };
    expect(run('exec dd if=/dev/zero of=/dev/null bs=96M count=1', resources).told).toBe('');
    await until('nobody', () => cgroup.processes().length === 0);
    expect(cgroup.oomKills()).toBe(1);
    expect(cgroup.cpuTime()).toBeGreaterThan(0);
    expect(cgroup.peakMemory()).toBeGreaterThan(20 * MIB);
  });

  it('that it could not make leaves cgroups behind, which are found and removed', async () => {
    const made = run('exit', { cpu: { cpus: '8000' } });
    expect(made.status).not.toBe(0);
    for (const name of listLaunches(cgroups.hierarchies, cgroups.parent)) {
      expect(name).toBe(LAUNCH);
      await cgroup.remove();
    }
    expect(cgroup.exists()).toBe(false);
    expect(removeParent(cgroups.hierarchies, cgroups.parent)).toBe(true);
  });
});
