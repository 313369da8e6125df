import type { BytePath } from '../syscalls/byte-path.js';
import { syscallError } from '../syscalls/syscalls.js';
import type { FileUsage, OpenDirectory } from '../syscalls/tree-calls.js';

/** A directory on the way down. */
interface Level {
  readonly name: BytePath;
  readonly usage: FileUsage;
  /** Undefined while it is too far above to be kept open. */
  directory: OpenDirectory | undefined;
  /** Subdirectories that have not been visited. */
  pending: BytePath[];
}

/** Directories that stay open. Nearly all trees are less deep; for those that are not, coming back up costs two calls for each level. */
const OPEN_LEVELS = 64;

/**
 * The way from a tree's root to the directory being worked on. Each directory is opened by its name in the one above, never by a path, so
 * a symlink put in the place of one of them leads nowhere, and the depth does not matter: of a very deep way only the lower end
 * is open, and the way back goes by `..`, checked to be the directory that it was.
 */
export class Descent {
  readonly #levels: Level[] = [];

  get depth(): number {
    return this.#levels.length;
  }
  /** The directory being worked on. */
  get directory(): OpenDirectory {
    return open(this.#bottom);
  }
  get usage(): FileUsage {
    return this.#bottom.usage;
  }
  /** Names from the root down, for messages. */
  get path(): BytePath {
    return this.#levels.map(({ name }) => name).join('/');
  }

  /** Goes down into an open directory, which is closed on the way back. */
  enter(name: BytePath, directory: OpenDirectory): void {
    this.#levels.push({ name, usage: directory.usage(''), directory, pending: [] });
    const far = this.#levels.at(-1 - OPEN_LEVELS);
    far?.directory?.close();
    if (far !== undefined) far.directory = undefined;
  }

  /** Notes a subdirectory to be visited. */
  postpone(name: BytePath): void {
    this.#bottom.pending.push(name);
  }
  nextPostponed(): BytePath | undefined {
    return this.#bottom.pending.pop();
  }

  /** Goes back up. @returns the name that led to the directory just left */
  leave(): BytePath {
    const left = this.#bottom;
    this.#levels.pop();
    const above = this.#levels.at(-1);
    try {
      if (above !== undefined && above.directory === undefined) above.directory = reopen(open(left), above);
    } finally {
      open(left).close();
    }
    return left.name;
  }

  /** Closes all that is open. */
  close(): void {
    for (const { directory } of this.#levels.splice(0)) directory?.close();
  }

  get #bottom(): Level {
    const level = this.#levels.at(-1);
    if (level === undefined) throw new Error('no directory has been entered');
    return level;
  }
}

function open({ directory }: Level): OpenDirectory {
  if (directory === undefined) throw new Error('the directory is not open');
  return directory;
}

function reopen(child: OpenDirectory, { name, usage }: Level): OpenDirectory {
  const directory = child.openParent();
  if (directory.usage('').identity === usage.identity) return directory;
  directory.close();
  // Somebody has moved the child; going on would be work on a tree that is not ours.
  throw syscallError('ESTALE', 'open', name);
}
