import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach } from 'vitest';
import { ContainerCgroup } from '#src/containerizer/cgroups/container-cgroup.js';
import { type Hierarchies, type HierarchySources, readHierarchies } from '#src/containerizer/cgroups/hierarchies.js';
import type { SendSignal } from '#src/containerizer/cgroups/kill-all.js';
import type { Machine } from './machines.js';

const CGROUPS = '/sys/fs/cgroup';
export const LAUNCH = '/provisioner-0123456789ab/00112233445566778899aabbccddeeff';

const made: string[] = [];
afterEach(() => {
  for (const directory of made.splice(0)) rmSync(directory, { recursive: true, force: true });
});

/** An ordinary directory that stands for `/`, in which files of cgroups and of /proc are as a test writes them. */
export class MadeTree {
  readonly root = mkdtempSync(join(tmpdir(), 'made-cgroups-'));

  constructor() {
    made.push(this.root);
  }

  /** @param files below `/sys/fs/cgroup` when their path is relative, else below the root; with their text */
  write(files: Readonly<Record<string, string>>): this {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(this.path(path)), { recursive: true });
      writeFileSync(this.path(path), text);
    }
    return this;
  }

  /** @param directories as the paths of `write` */
  make(...directories: readonly string[]): this {
    for (const each of directories) mkdirSync(this.path(each), { recursive: true });
    return this;
  }

  /** Without the line feed at its end. */
  read(path: string): string {
    return readFileSync(this.path(path), 'utf8').trim();
  }

  has(path: string): boolean {
    return existsSync(this.path(path));
  }

  path(path: string): string {
    return path.startsWith('/') ? `${this.root}${path}` : join(this.root, CGROUPS, path);
  }

  hierarchies(machine: Machine, sources: Partial<HierarchySources> = {}): Hierarchies {
    return readHierarchies({ ...machine, root: this.root, ...sources });
  }

  /** The cgroup of `LAUNCH`. `pause` and `sendSignal` stand for the world: what happens meanwhile is up to the test. */
  cgroup(
    machine: Machine,
    {
      pause = async () => {},
      sendSignal = () => {},
    }: { pause?: (ms: number) => Promise<void>; sendSignal?: SendSignal } = {},
  ): ContainerCgroup {
    return new ContainerCgroup(this.hierarchies(machine), LAUNCH, { pause, sendSignal, root: this.root });
  }
}
