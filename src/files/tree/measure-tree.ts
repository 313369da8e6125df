import { systemCode } from '../../base/errors.js';
import type { BytePath } from '../../system/syscalls/byte-path.js';
import { loadSyscalls } from '../../system/syscalls/load-syscalls.js';
import { loadTreeCalls } from '../../system/syscalls/load-tree-calls.js';
import type { Syscalls } from '../../system/syscalls/syscalls.js';
import {
  DIRECTORY,
  type DirectoryCursor,
  type FileUsage,
  type OpenDirectory,
} from '../../system/syscalls/tree-calls.js';
import { Descent } from './descent.js';
import { InodeSet } from './inode-set.js';
import { isMountedIn } from './removal/is-mounted-in.js';

export interface TreeSize {
  /**
   * Disk use, as `du --summarize --one-file-system --block-size=1` has it: directories and the root too, each hard-linked file once. Subvolumes of btrfs are part of
   * the tree, which `du` takes for other file systems.
   */
  readonly bytes: number;
  /** Names, the root among them, as `find -xdev` lists them. What is mounted in the tree is not part of it. */
  readonly entries: number;
}

export interface MeasureTreeOptions {
  /** Default: the best that there are here. */
  readonly syscalls?: Syscalls;
  /** Leave out what is in directories that the user may not read, as `du` does. Default: such a one is an error. */
  readonly skipUnreadable?: boolean;
  /** Bytes that each name counts for at least: an empty file takes a place in the file system too. Default: 0, as with `du`. */
  readonly leastPerName?: number;
  /** Called for every entry; throws when the answer is not wanted any more. */
  readonly pause?: () => void;
}

/** Somebody who moves directories may move them again while the tree is measured anew; then the most that has been counted is the answer. */
const ATTEMPTS = 3;

/**
 * Measures a directory with all that is in it, in memory that does not grow with it: of more than three million files with several names, those beyond count with
 * a share of their blocks for each name. Names that vanish meanwhile are fine, and so are directories that are moved; a directory that may not be read is an error.
 *
 * Synchronous, for a worker thread.
 * @param path absolute
 * @throws like Node's `fs`: `ENOENT`, `ENOTDIR`, `EACCES`; what `pause` throws
 */
export function measureTree(path: string, options: MeasureTreeOptions = {}): TreeSize {
  const calls = loadTreeCalls(options.syscalls ?? loadSyscalls());
  let most: TreeSize = { bytes: 0, entries: 0 };
  for (let attempt = 1; ; attempt++) {
    const measurement = new Measurement(options);
    const size = measurement.of(calls.openDirectory(path));
    if (measurement.complete) return size;
    if (size.entries >= most.entries) most = size;
    if (attempt === ATTEMPTS) return most;
  }
}

/** The bytes of several directories, as `measureTree` has them; one that has gone has none. @throws as `measureTree`, but `ENOENT` */
export function measureTrees(paths: readonly string[], options: MeasureTreeOptions = {}): number {
  let bytes = 0;
  for (const path of paths) {
    ifThere(() => {
      bytes += measureTree(path, options).bytes;
    });
  }
  return bytes;
}

class Measurement {
  /** No directory was moved away under it, with others that had not been measured. */
  complete = true;
  readonly #descent = new Descent('after');
  /** Files with several names that have been counted. */
  readonly #counted = new InodeSet();
  readonly #skipUnreadable: boolean;
  readonly #least: number;
  readonly #pause: () => void;
  #bytes = 0;
  #entries = 0;

  constructor({ skipUnreadable = false, leastPerName = 0, pause = () => {} }: MeasureTreeOptions) {
    this.#skipUnreadable = skipUnreadable;
    this.#least = leastPerName;
    this.#pause = pause;
  }

  of(root: OpenDirectory): TreeSize {
    try {
      this.#enter('', root, root.usage(''));
      while (this.#descent.depth > 0) {
        this.#pause();
        const entry = this.#descent.next();
        if (entry !== undefined) ifThere(() => this.#add(entry));
        else if (this.#descent.leave().lost) this.complete = false;
      }
      return { bytes: Math.round(this.#bytes), entries: this.#entries };
    } finally {
      this.#descent.close();
    }
  }

  #add(entry: DirectoryCursor): void {
    const { type } = entry;
    const usage = type === DIRECTORY ? undefined : entry.usage();
    if (usage === undefined || usage.type === DIRECTORY) this.#open(entry);
    else this.#addFile(usage);
  }

  #open(entry: DirectoryCursor): void {
    const { name } = entry;
    const { directory, usage: above } = this.#descent;
    let opened: OpenDirectory;
    try {
      opened = directory.openDirectory(name);
    } catch (error) {
      const code = systemCode(error);
      // It has become something else since it was listed.
      const replaced = code === 'ENOTDIR' || code === 'ELOOP';
      if (!replaced && !(this.#skipUnreadable && code === 'EACCES')) throw error;
      this.#addFile(directory.usage(name));
      return;
    }
    const usage = opened.usage('');
    if (isMountedIn(above, usage)) opened.close();
    else this.#enter(name, opened, usage);
  }

  #enter(name: BytePath, directory: OpenDirectory, usage: FileUsage): void {
    this.#descent.enter(name, directory, usage);
    this.#addName(usage.disk);
  }

  #addFile(usage: FileUsage): void {
    if (usage.links < 2 || usage.type === DIRECTORY) {
      this.#addName(usage.disk);
      return;
    }
    const counted = this.#counted.add(usage);
    if (counted === undefined) this.#addName(usage.disk / usage.links);
    else this.#addName(counted ? 0 : usage.disk);
  }

  #addName(bytes: number): void {
    this.#entries++;
    this.#bytes += Math.max(bytes, this.#least);
  }
}

/** Does nothing about what has gone meanwhile. */
function ifThere(action: () => void): void {
  try {
    action();
  } catch (error) {
    const code = systemCode(error);
    if (code !== 'ENOENT' && code !== 'ESTALE') throw error;
  }
}
