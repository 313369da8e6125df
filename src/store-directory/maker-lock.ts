import { lstatSync } from 'node:fs';
import { ProvisionerError, systemCode } from '../base/errors.js';
import type { StorePaths } from '../paths.js';
import type { LockFile } from '../system/syscalls/lock-file.js';
import type { Syscalls } from '../system/syscalls/syscalls.js';

/** So often the file is locked anew that somebody has removed meanwhile, before that counts as somebody's being at it. */
const ATTEMPTS = 3;

/**
 * What those share who make a new store, from before they make anything in it until it is one; whoever gives that up must have it alone to take anything away,
 * for then nobody else is making what he takes for his own. It is the store's lock, which nobody else uses before there is a store.
 *
 *   make: shared ──► directories, records, format ──► let go
 *   undo: shared ──► alone, if nobody else is at it ──► records, directories, and the file of the lock, last of all ──► let go
 *
 * Whoever opens the file while it is being removed finds it gone from its place once he has locked it. Nothing here waits.
 */
export class MakerLock {
  readonly #file: LockFile;
  /** The file was not there before. */
  readonly isNew: boolean;

  private constructor(file: LockFile, isNew: boolean) {
    this.#file = file;
    this.isNew = isNew;
  }

  /**
   * Takes its share. @returns undefined where the system has no such locks
   * @throws ProvisionerError `ERR_STORE_BUSY` while somebody has it alone; else as `openOwnFile`, `ENOENT` when the root has been removed
   */
  static take(paths: StorePaths, syscalls: Syscalls): MakerLock | undefined {
    for (let attempt = 1; ; attempt++) {
      const isNew = lstatSync(paths.lock, { throwIfNoEntry: false }) === undefined;
      const file = openLock(paths, syscalls);
      if (file === undefined) return undefined;
      let pids: number[];
      try {
        const locked = file.tryLock('shared');
        if (locked && file.isInPlace()) return new MakerLock(file, isNew);
        pids = locked ? [] : file.holders().map(({ pid }) => pid);
      } catch (error) {
        file.close();
        throw error;
      }
      file.close();
      if (attempt === ATTEMPTS) throw beingUndone(paths, pids);
    }
  }

  /** Takes it all. @returns false when somebody else has a share of it, or has removed it; then this one's may be lost */
  tryAlone(): boolean {
    return this.#file.tryLock('exclusive') && this.#file.isInPlace();
  }

  release(): void {
    this.#file.close();
  }
}

function openLock(paths: StorePaths, syscalls: Syscalls): LockFile | undefined {
  try {
    return syscalls.openLockFile(paths.lock);
  } catch (error) {
    if (systemCode(error) === 'ENOTSUP') return undefined;
    throw error;
  }
}

function beingUndone(paths: StorePaths, pids: readonly number[]): ProvisionerError {
  const who = pids.length === 0 ? 'another process' : `process ${pids.join(', ')}`;
  return new ProvisionerError(
    'ERR_STORE_BUSY',
    `${who} could not make the store ${paths.root} and is removing what it has made of it`,
    {
      hint: 'try again; if it stays so, that process is stopped or hangs: let it go on (`kill -CONT`), or end it',
      details: { path: paths.lock, ...(pids.length === 0 ? {} : { pids: pids.join(', ') }) },
    },
  );
}
