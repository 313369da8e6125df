import { existsSync, rmSync } from 'node:fs';
import { systemCode } from '../../base/errors.js';
import { writeOwnFile } from '../../base/own-files.js';
import type { LockFile } from '../syscalls/lock-file.js';
import type { Syscalls } from '../syscalls/syscalls.js';

/** The lock on a life's file. */
export interface LifeLock {
  /** Lets go of it. The file stays. */
  release(): void;
}

/** The locks that show who is alive: those of the kernel, or what stands in for them. Nothing here waits. */
export interface LifeLocks {
  /** Makes the file and locks it. @returns undefined when somebody who tidied was quicker and the file is gone again */
  hold(path: string): LifeLock | undefined;
  /** Whether somebody holds it. True when that cannot be found out: what is not known to be dead counts as alive. */
  isHeld(path: string): boolean;
  /** Removes the file, unless somebody holds it. @returns whether it is gone now */
  removeUnheld(path: string): boolean;
}

/**
 * Locks of open files, which are let go of when the last descriptor is closed: at the latest by the kernel when the process ends. They tell in all PID,
 * mount and user namespaces that see the file. @see fcntl(2), "Open file description locks"
 */
export class KernelLifeLocks implements LifeLocks {
  readonly #syscalls: () => Syscalls;

  constructor(syscalls: () => Syscalls) {
    this.#syscalls = syscalls;
  }

  hold(path: string): LifeLock | undefined {
    const file = this.#syscalls().openLockFile(path);
    // Between the two calls others could lock it, to remove it.
    if (file.tryAnnounceWriter() && existsSync(path)) return { release: () => file.close() };
    file.close();
    return undefined;
  }

  isHeld(path: string): boolean {
    const file = this.#openExisting(path, true);
    if (file === undefined) return false;
    if (file === 'unknown') return true;
    try {
      return file.hasForeignWriter();
    } catch {
      return true;
    } finally {
      file.close();
    }
  }

  removeUnheld(path: string): boolean {
    const file = this.#openExisting(path, false);
    if (file === undefined) return true;
    if (file === 'unknown') return false;
    try {
      // With the lock held, so that a process which is just beginning its life sees that the file is gone.
      if (!file.tryAnnounceWriter()) return false;
      // Another one who tidies may have been quicker.
      rmSync(path, { force: true });
      return true;
    } finally {
      file.close();
    }
  }

  /** @returns undefined when it is not there; `unknown` when it may be (another user's, no descriptor left, …) */
  #openExisting(path: string, readOnly: boolean): LockFile | 'unknown' | undefined {
    try {
      return this.#syscalls().openLockFile(path, { create: false, readOnly });
    } catch (error) {
      return systemCode(error) === 'ENOENT' ? undefined : 'unknown';
    }
  }
}

/** Those that are chosen when the first life begins or is asked for: most commands need none, and system calls take 10 ms to load. */
export class LazyLifeLocks implements LifeLocks {
  readonly #choose: () => LifeLocks;
  #chosen: LifeLocks | undefined;

  constructor(choose: () => LifeLocks) {
    this.#choose = choose;
  }

  hold(path: string): LifeLock | undefined {
    return this.#locks.hold(path);
  }

  isHeld(path: string): boolean {
    return this.#locks.isHeld(path);
  }

  removeUnheld(path: string): boolean {
    return this.#locks.removeUnheld(path);
  }

  get #locks(): LifeLocks {
    this.#chosen ??= this.#choose();
    return this.#chosen;
  }
}

/** Where no other process has the store open. */
export class InProcessLifeLocks implements LifeLocks {
  readonly #held = new Set<string>();

  hold(path: string): LifeLock {
    writeOwnFile(path, '', { flags: 'wx' });
    this.#held.add(path);
    return { release: () => this.#held.delete(path) };
  }

  isHeld(path: string): boolean {
    return this.#held.has(path);
  }

  removeUnheld(path: string): boolean {
    if (this.#held.has(path)) return false;
    rmSync(path, { force: true });
    return true;
  }
}
