import type { BytePath } from '../../system/syscalls/byte-path.js';
import type { DirectoryCursor, FileUsage, OpenDirectory } from '../../system/syscalls/tree-calls.js';
import { FarLevels } from './far-levels.js';

/** A directory on the way down that is open. */
interface Level {
  /** Undefined when it has been forgotten meanwhile. */
  readonly name: BytePath | undefined;
  readonly usage: FileUsage;
  readonly directory: OpenDirectory;
  /** Undefined while nothing has been read in it since it was opened. */
  cursor: DirectoryCursor | undefined;
  /** Where its reading goes on. */
  readonly position: bigint | undefined;
  /** Entries that have been shown since it was opened. */
  shown: number;
}

/** What was left. */
export interface Left {
  readonly name: BytePath | undefined;
  readonly usage: FileUsage;
  /**
   * Somebody has moved a directory of the way, and the way back from there would lead out of the tree. The way now ends with the deepest of its first
   * directories, which are all open; those between are left as they are.
   */
  readonly lost: boolean;
}

/** Directories that stay open, at the beginning of the way and at its end. Nearly all trees are less deep. */
const FIRST_LEVELS = 32;
const LAST_LEVELS = 64;

/**
 * The way from a tree's root to the directory being worked on, and how far each directory on it has been read. Each is opened by its name in the one
 * above, never by a path, so a symlink put in the place of one of them leads nowhere.
 *
 * Neither the depth of a tree nor the length of its directories matters: each is read piece by piece, and of a very long way only the two ends are open,
 * with some bytes for each directory between. The way back goes by `..`, checked to be the directory that it was, and the reading goes on where it was.
 */
export class Descent {
  readonly #goesOn: 'before' | 'after';
  readonly #first: Level[] = [];
  readonly #far = new FarLevels();
  readonly #last: Level[] = [];
  /** The last one of them: asked for several times for each entry. */
  #lowest: Level | undefined;

  /**
   * @param goesOn after the entry that led to a directory which has been left, or before it; the latter for somebody who removes all entries. It is of importance
   * for long ways only; on others the cursor has simply stayed where it was
   */
  constructor(goesOn: 'before' | 'after') {
    this.#goesOn = goesOn;
  }

  get depth(): number {
    return this.#first.length + this.#far.length + this.#last.length;
  }
  /** The directory being worked on. */
  get directory(): OpenDirectory {
    return this.#bottom.directory;
  }
  get usage(): FileUsage {
    return this.#bottom.usage;
  }
  /** Entries of it that have been shown since it was opened. */
  get shown(): number {
    return this.#bottom.shown;
  }
  /** Names from the root down, for messages; of a long way the beginning and the end. */
  get path(): BytePath {
    const names = (levels: readonly Level[]) => levels.map(({ name }) => name ?? '…');
    const between = this.#far.length > 0 ? ['…'] : [];
    return [...names(this.#first), ...between, ...names(this.#last)].join('/');
  }

  /** Goes down into an open directory, which is closed on the way back. */
  enter(name: BytePath, directory: OpenDirectory, usage = directory.usage('')): void {
    const level: Level = { name, usage, directory, cursor: undefined, position: undefined, shown: 0 };
    this.#lowest = level;
    if (this.depth < FIRST_LEVELS) {
      this.#first.push(level);
      return;
    }
    this.#last.push(level);
    if (this.#last.length <= LAST_LEVELS) return;
    const far = this.#last.shift();
    if (far === undefined) return;
    const { cursor, usage: farUsage } = far;
    const position = cursor === undefined ? (far.position ?? 0n) : cursor[this.#goesOn];
    const { inode, inodeHigh, fileSystem } = farUsage;
    this.#far.push({ inode, inodeHigh, fileSystem, position });
    close(far);
  }

  /** Goes on to the next entry of the directory being worked on. @returns undefined at its end */
  next(): DirectoryCursor | undefined {
    const level = this.#bottom;
    level.cursor ??= level.directory.cursor(level.position);
    if (!level.cursor.next()) return undefined;
    level.shown++;
    return level.cursor;
  }

  /** Goes back up. */
  leave(): Left {
    const left = this.#bottom;
    if (this.#last.length > 0) this.#last.pop();
    else this.#first.pop();
    let lost = false;
    try {
      if (this.#last.length === 0 && this.#far.length > 0) lost = !this.#reopen(left.directory);
    } finally {
      close(left);
      this.#lowest = this.#last.at(-1) ?? this.#first.at(-1);
    }
    return { name: left.name, usage: left.usage, lost };
  }

  /** Closes all that is open. */
  close(): void {
    for (const level of [...this.#first.splice(0), ...this.#last.splice(0)]) close(level);
    this.#far.clear();
    this.#lowest = undefined;
  }

  /** Goes up from a child to the directory that led to it. @returns false when it does not lead there any more */
  #reopen(child: OpenDirectory): boolean {
    const far = this.#far.pop();
    if (far === undefined) return false;
    const directory = child.openParent();
    const usage = directory.usage('');
    const { inode, inodeHigh, fileSystem, position } = far;
    if (usage.inode === inode && usage.inodeHigh === inodeHigh && usage.fileSystem === fileSystem) {
      this.#last.push({ name: undefined, usage, directory, cursor: undefined, position, shown: 0 });
      return true;
    }
    // Going on would be work on a tree that is not ours.
    directory.close();
    this.#far.clear();
    return false;
  }

  get #bottom(): Level {
    if (this.#lowest === undefined) throw new Error('no directory has been entered');
    return this.#lowest;
  }
}

function close({ cursor, directory }: Level): void {
  cursor?.close();
  directory.close();
}
