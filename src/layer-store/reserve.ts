import { randomBytes } from 'node:crypto';
import { readdirSync, rmdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { isProvisionerError } from '../base/errors.js';
import { writeOwnFile } from '../base/own-files.js';
import { makeDirectories } from '../files/tree/make-directories.js';
import type { StorePaths } from '../paths.js';

/** Several files, because a full disk may be out of inodes too: the database wants two for its log, a rename none. */
const FILES = 4;
/** Bytes of each: room for the log of a transaction that takes thousands of layers. */
const FILE_BYTES = 1024 * 1024;

/**
 * Space set aside, so that a store on a full disk can be opened and cleaned up: to delete, records must be written first. It is given up, a piece at a time, by
 * what needs room to free some: a record of a removal, a name in `gc/`, or else a whole operation; and by opening the records, for which SQLite makes two files;
 * never by what uses space for good. It is set aside again when there is room, at the latest when the store is closed.
 */
export class Reserve {
  readonly #directory: string;

  constructor(paths: StorePaths) {
    this.#directory = paths.reserve;
  }

  /** Sets aside what is missing of it, as far as there is room. */
  ensure(): void {
    let piece = '';
    try {
      makeDirectories(this.#directory);
      for (let n = 0; n < FILES; n++) {
        const path = join(this.#directory, String(n));
        // A crash may have left a part of one, which holds as little as it is.
        if (statSync(path, { throwIfNoEntry: false })?.size === FILE_BYTES) continue;
        piece = path;
        // Not zeros: a file system that compresses would set nothing aside.
        writeOwnFile(path, randomBytes(FILE_BYTES));
      }
    } catch {
      // Half a piece takes space that somebody may need, and is not there to be given up for a while.
      if (piece !== '') rmSync(piece, { force: true });
    }
  }

  /** Gives up a piece. @returns false when there was none */
  release(): boolean {
    const [last] = this.#pieces().sort().reverse();
    if (last === undefined) return false;
    rmSync(join(this.#directory, last), { force: true });
    try {
      // It takes an inode, too.
      rmdirSync(this.#directory);
    } catch {
      // There are more pieces in it, or another process has been quicker.
    }
    return true;
  }

  /** Runs work that frees space; when that fails for want of space, once more for each piece of the reserve that is given up. The work can be repeated. */
  async freeing<T>(work: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await work();
      } catch (error) {
        if (!isProvisionerError(error, 'ERR_NO_SPACE') || !this.release()) throw error;
      }
    }
  }

  #pieces(): string[] {
    try {
      // What else is there is somebody's who put it there.
      return readdirSync(this.#directory).filter((name) => /^\d$/.test(name));
    } catch {
      // Whoever asks is short of space, and that is what is to be told, whatever is wrong with this.
      return [];
    }
  }
}
