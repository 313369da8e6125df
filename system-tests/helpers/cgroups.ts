import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { type CgroupSurroundings, ContainerCgroup } from '#src/containerizer/cgroups/container-cgroup.js';
import {
  directoryOf,
  type Hierarchies,
  hierarchiesOfThisProcess,
  parentOf,
  readHierarchies,
} from '#src/containerizer/cgroups/hierarchies.js';
import { listLaunches, removeParent } from '#src/containerizer/cgroups/launches.js';

/** With the kernel's own signals and the real time. */
export const SURROUNDINGS: CgroupSurroundings = {
  sendSignal: (pid, signal, isStill) => {
    try {
      if (isStill()) process.kill(pid, signal);
    } catch {
      // It has gone.
    }
  },
  pause: (milliseconds) => pause(milliseconds),
};

/** Cgroups of a test, below a parent of their own. `close` kills what is in them, and leaves none behind. */
export class TestCgroups {
  readonly hierarchies = hierarchiesOfThisProcess();
  readonly parent = parentOf(this.hierarchies, randomBytes(6).toString('hex'));
  readonly #children: ChildProcess[] = [];
  readonly #directories: string[] = [];

  /** Makes one in each hierarchy, as a runtime does, with what it writes there. @param files by controller and name, of version 1 */
  make(): ContainerCgroup {
    const path = `${this.parent}/${randomBytes(16).toString('hex')}`;
    for (const hierarchy of this.hierarchies.mounted) {
      const directory = directoryOf(hierarchy, path);
      mkdirSync(directory, { recursive: true });
      if (hierarchy.version === 1) inheritProcessors(directory);
      else handDown(directoryOf(hierarchy, this.parent));
    }
    return this.cgroup(path);
  }

  cgroup(path: string, hierarchies: Hierarchies = this.hierarchies): ContainerCgroup {
    return new ContainerCgroup(hierarchies, path, SURROUNDINGS);
  }

  /**
   * The hierarchy of version 2 as on a machine that has no other; its controllers are what this machine lets it have. A cgroup that `make` has made is in it too.
   */
  onlyVersion2(): Hierarchies {
    const [mounted] = this.hierarchies.mounted.filter(({ version }) => version === 2);
    if (mounted === undefined) throw new Error('there is no version 2 on this machine');
    const root = mkdtempSync(join(tmpdir(), 'version-2-'));
    this.#directories.push(root);
    mkdirSync(join(root, 'sys/fs'), { recursive: true });
    symlinkSync(mounted.directory, join(root, 'sys/fs/cgroup'));
    return readHierarchies({
      mountinfo: '9 8 0:9 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n',
      selfCgroup: '0::/\n',
      root,
    });
  }

  /** Starts a shell, and waits until it has gone into a cgroup in every hierarchy, which it does first. */
  async start(cgroup: ContainerCgroup, script: string): Promise<ChildProcess> {
    const { mounted } = this.hierarchies;
    const files = mounted.map((hierarchy) => `${directoryOf(hierarchy, cgroup.cgroupsPath)}/cgroup.procs`);
    const enter = files.map((file) => `echo $$ >'${file}'`).join(' && ');
    const child = spawn('sh', ['-c', `${enter} || exit 99; ${script}`], { stdio: 'ignore' });
    this.#children.push(child);
    await until('the shell in its cgroup', () => {
      if (child.exitCode !== null || child.signalCode !== null) return true;
      const lines = readFileSync(`/proc/${child.pid}/cgroup`, 'utf8').split('\n');
      return lines.filter((line) => line.endsWith(cgroup.cgroupsPath)).length === mounted.length;
    });
    return child;
  }

  async close(): Promise<void> {
    for (const child of this.#children) child.kill('SIGKILL');
    for (const name of listLaunches(this.hierarchies, this.parent)) {
      const cgroup = this.cgroup(`${this.parent}/${name}`);
      cgroup.killAll('SIGKILL');
      await cgroup.remove();
    }
    for (const directory of this.#directories) rmSync(directory, { recursive: true });
    if (!removeParent(this.hierarchies, this.parent)) throw new Error(`${this.parent} was left behind`);
  }
}

/** Waits for something that happens in another process, ten seconds at most. */
export async function until(what: string, happened: () => boolean): Promise<void> {
  for (let tries = 0; tries < 2000; tries++) {
    if (happened()) return;
    await pause(5);
  }
  throw new Error(`in ten seconds there was not: ${what}`);
}

/** Nothing can enter a cpuset that has no processors and no memory. */
function inheritProcessors(directory: string): void {
  if (!existsSync(join(directory, 'cpuset.cpus'))) return;
  for (const place of [dirname(directory), directory]) {
    for (const name of ['cpuset.cpus', 'cpuset.mems']) {
      if (readFileSync(join(place, name), 'utf8').trim() === '')
        writeFileSync(join(place, name), readFileSync(join(dirname(place), name)));
    }
  }
}

function handDown(parent: string): void {
  for (const place of [dirname(parent), parent]) {
    const names = readFileSync(join(place, 'cgroup.controllers'), 'utf8').split(/\s+/).filter(Boolean);
    if (names.length > 0)
      writeFileSync(join(place, 'cgroup.subtree_control'), names.map((name) => `+${name}`).join(' '));
  }
}
