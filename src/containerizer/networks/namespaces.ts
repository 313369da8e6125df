import { closeSync, openSync, rmSync, statfsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileError, ProvisionerError, systemCode } from '../../base/errors.js';
import { ensureOwnDirectory } from '../../base/own-files.js';
import type { Processes } from '../../system/processes/processes.js';
import type { Syscalls } from '../../system/syscalls/syscalls.js';
import { findSystemProgram } from '../runtime/find-runtime.js';
import { runPlugin } from './drivers/run-plugin.js';

/** What the kernel calls the file system that namespaces are seen in. @see linux/magic.h */
const NSFS_MAGIC = 0x6e736673;
/** Milliseconds: it takes three. While the kernel takes others apart, a new one waits. */
const PATIENCE = 30_000;

/** Network namespaces of this boot, each held by a mount, so that it is there before and after whatever runs in it. */
export class Namespaces {
  readonly #directory: string;
  readonly #processes: Processes;
  readonly #syscalls: Syscalls;

  /** @param directory absolute, of this boot; made with the first namespace */
  constructor(directory: string, processes: Processes, syscalls: Syscalls) {
    this.#directory = directory;
    this.#processes = processes;
    this.#syscalls = syscalls;
  }

  path(id: string): string {
    return join(this.#directory, id);
  }

  /** Makes one with nothing in it but a loopback, which is down. @throws ProvisionerError `ERR_NETWORK_UNSUPPORTED`, `ERR_NETWORK_FAILED`, `ERR_NO_SPACE` */
  async make(id: string): Promise<string> {
    const program = findSystemProgram('unshare');
    if (program === undefined) {
      throw new ProvisionerError('ERR_NETWORK_UNSUPPORTED', 'there is no program unshare, which makes namespaces', {
        hint: 'install it: `apt-get install util-linux`',
      });
    }
    const path = this.path(id);
    try {
      ensureOwnDirectory(this.#directory);
      closeSync(openSync(path, 'wx', 0o400));
    } catch (error) {
      throw fileError(error, 'make a network namespace', path);
    }
    const args = [`--net=${path}`, '--', '/bin/true'];
    const run = { program, args, env: { PATH: '/usr/bin:/bin' }, input: '', name: 'unshare', patience: PATIENCE };
    const { ok, complaint } = await runPlugin(this.#processes, run, undefined);
    if (ok && isNamespace(path)) return path;
    await this.remove(id);
    throw new ProvisionerError('ERR_NETWORK_FAILED', `a network namespace could not be made: ${complaint}`, {
      hint: 'see whether the kernel has network namespaces, and room for one more: /proc/sys/user/max_net_namespaces',
    });
  }

  /** What is in it goes on. The kernel takes it apart when nothing uses it any more. Safe to repeat. */
  async remove(id: string): Promise<void> {
    const path = this.path(id);
    while (isNamespace(path) && (await this.#syscalls.detachMountAside(path)));
    rmSync(path, { force: true });
  }

  isThere(id: string): boolean {
    return isNamespace(this.path(id));
  }

  /** The ids of those that there are, whole or not. */
  async list(): Promise<string[]> {
    try {
      return (await readdir(this.#directory)).filter((name) => /^[0-9a-f]{32}$/.test(name));
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return [];
      throw error;
    }
  }
}

/** Whether a namespace is seen at a path, of whatever kind: who joins it is told if it is none of a network. */
export function isNamespace(path: string): boolean {
  try {
    return statfsSync(path).type === NSFS_MAGIC;
  } catch {
    return false;
  }
}
