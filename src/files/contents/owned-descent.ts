import { systemCode } from '../../base/errors.js';
import type { BytePath } from '../../system/syscalls/byte-path.js';
import { syscallError } from '../../system/syscalls/syscalls.js';
import type { DirectoryCursor, FileStatus, OpenDirectory, TreeCalls } from '../../system/syscalls/tree-calls.js';
import { Descent } from '../tree/descent.js';
import { isLocked, OWNER_MAY_ALL } from '../tree/removal/locked-directories.js';

const OWNER_MAY_READ = 0o400;

/**
 * A descent through a layer that an ordinary user can take too. An image may have directories and files that are closed to their own owner: such a
 * one is opened to him while it is being looked at, and gets its mode back. A process killed in between leaves it open; a check says nothing about that.
 */
export class OwnedDescent {
  readonly #calls: TreeCalls;
  readonly #descent = new Descent('after');
  /** For each level its path below the start: no layer is so deep that they were long. */
  readonly #paths: BytePath[] = [''];
  /** For each level but the first the mode to give back, if any. */
  readonly #modes: (number | undefined)[] = [];

  /** @param start absolute; whoever works here may enter it */
  constructor(calls: TreeCalls, start: string) {
    this.#calls = calls;
    this.#descent.enter('', calls.openDirectory(start));
  }

  get depth(): number {
    return this.#descent.depth;
  }
  /** The directory being worked on. */
  get directory(): OpenDirectory {
    return this.#descent.directory;
  }
  /** Below the start. */
  get path(): BytePath {
    return this.#paths.at(-1) ?? '';
  }

  /** Goes down into a directory. @param status what `directory.status(name)` said: later it may look unlocked */
  enter(name: BytePath, status: FileStatus): OpenDirectory {
    const above = this.#descent.directory;
    const mode = isLocked(status) && !isRoot() ? status.mode : undefined;
    if (mode !== undefined) above.setDirectoryMode(name, mode | OWNER_MAY_ALL);
    try {
      const directory = above.openDirectory(name);
      this.#descent.enter(name, directory);
      this.#modes.push(mode);
      this.#paths.push(join(this.path, name));
      return directory;
    } catch (error) {
      if (mode !== undefined) above.setDirectoryMode(name, mode);
      throw error;
    }
  }

  /** Goes back up. */
  leave(): void {
    const mode = this.#modes.pop();
    const path = this.#paths.pop() ?? '';
    // Layers are not changed; who moves their directories is no container.
    if (this.#descent.leave().lost) throw syscallError('ESTALE', 'open', path);
    if (mode !== undefined) this.#descent.directory.setDirectoryMode(path.slice(path.lastIndexOf('/') + 1), mode);
  }

  /** Goes on to the next entry of the directory being worked on. @returns undefined at its end */
  next(): DirectoryCursor | undefined {
    return this.#descent.next();
  }

  /** Opens a file of the directory being worked on, for reading. The caller closes it. */
  openFile(name: BytePath): number {
    const { directory } = this.#descent;
    try {
      return directory.openFile(name);
    } catch (error) {
      if (systemCode(error) !== 'EACCES') throw error;
      const { mode, uid } = directory.status(name);
      if (uid !== process.geteuid?.()) throw error;
      directory.setMode(name, mode | OWNER_MAY_READ);
      try {
        return directory.openFile(name);
      } finally {
        directory.setMode(name, mode);
      }
    }
  }

  closeFile(descriptor: number): void {
    this.#calls.closeFile(descriptor);
  }

  /** Gives back all modes and closes all that is open. */
  close(): void {
    try {
      while (this.#modes.length > 0) this.leave();
    } finally {
      this.#descent.close();
    }
  }
}

function join(directory: BytePath, name: BytePath): BytePath {
  return directory === '' ? name : `${directory}/${name}`;
}

function isRoot(): boolean {
  return process.geteuid?.() === 0;
}
