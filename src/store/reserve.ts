import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isProvisionerError } from '../errors.js';
import type { StorePaths } from '../paths.js';

/** Several files, because a full disk may be out of inodes too: the database wants two for its log, a rename none. */
const FILES = 4;
/** Bytes of each: room for the log of a transaction that takes thousands of layers. */
const FILE_BYTES = 1024 * 1024;

/**
 * Space set aside, so that a store on a full disk can be cleaned up: to delete, records must be written first. It is given up by the
 * operations that free space, and by a failed pull to let go of what it held, never by those that use space, and set aside again when there is room.
 */
export class Reserve {
  readonly #directory: string;

  constructor(paths: StorePaths) {
    this.#directory = paths.reserve;
  }

  /** Sets the space aside, if there is room and it is not set aside already. */
  ensure(): void {
    if (existsSync(join(this.#directory, String(FILES - 1)))) return;
    try {
      mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
      // Not zeros: a file system that compresses would set nothing aside.
      for (let n = 0; n < FILES; n++)
        writeFileSync(join(this.#directory, String(n)), randomBytes(FILE_BYTES), { mode: 0o600 });
    } catch {
      // Half a reserve would be in the way of those who look for a whole one.
      this.release();
    }
  }

  /** @returns false when there was nothing to give up */
  release(): boolean {
    if (!existsSync(this.#directory)) return false;
    rmSync(this.#directory, { recursive: true, force: true });
    return true;
  }

  /** Runs work that frees space; when that fails for want of space, once more with the reserve given up. The work can be repeated. */
  async freeing<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!isProvisionerError(error, 'ERR_NO_SPACE') || !this.release()) throw error;
      return await work();
    }
  }
}
