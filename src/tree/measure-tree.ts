import { systemCode } from '../errors.js';
import type { BytePath } from '../syscalls/byte-path.js';
import { loadSyscalls } from '../syscalls/load-syscalls.js';
import { loadTreeCalls } from '../syscalls/load-tree-calls.js';
import type { Syscalls } from '../syscalls/syscalls.js';
import { DIRECTORY, type OpenDirectory } from '../syscalls/tree-calls.js';
import { Descent } from './descent.js';

export interface TreeSize {
  /** Disk use, as `du --summarize --one-file-system --block-size=1` has it: directories and the root too, each hard-linked file once. */
  readonly bytes: number;
  /** Names, the root among them, as `find -xdev` lists them. What is mounted in the tree is not part of it. */
  readonly entries: number;
}

export interface MeasureTreeOptions {
  /** Default: the best that there are here. */
  readonly syscalls?: Syscalls;
  /** Leave out what is in directories that the user may not read, as `du` does. Default: such a one is an error. */
  readonly skipUnreadable?: boolean;
}

/**
 * Measures a directory with all that is in it. Names that vanish meanwhile are fine; a directory that may not be read is an error.
 *
 * Synchronous, for a worker thread.
 * @param path absolute
 * @throws like Node's `fs`: `ENOENT`, `ENOTDIR`, `EACCES`
 */
export function measureTree(path: string, options: MeasureTreeOptions = {}): TreeSize {
  const measurement = new Measurement(options.skipUnreadable ?? false);
  return measurement.of(loadTreeCalls(options.syscalls ?? loadSyscalls()).openDirectory(path));
}

class Measurement {
  readonly #descent = new Descent();
  /** Files with several names that have been counted. */
  readonly #counted = new Set<string>();
  readonly #skipUnreadable: boolean;
  #bytes = 0;
  #entries = 0;

  constructor(skipUnreadable: boolean) {
    this.#skipUnreadable = skipUnreadable;
  }

  of(root: OpenDirectory): TreeSize {
    try {
      this.#enter('', root);
      while (this.#descent.depth > 0) {
        const next = this.#descent.nextPostponed();
        if (next === undefined) this.#descent.leave();
        else ifThere(() => this.#open(next));
      }
      return { bytes: this.#bytes, entries: this.#entries };
    } finally {
      this.#descent.close();
    }
  }

  #open(name: BytePath): void {
    const { directory } = this.#descent;
    let opened: OpenDirectory;
    try {
      opened = directory.openDirectory(name);
    } catch (error) {
      if (!this.#skipUnreadable || systemCode(error) !== 'EACCES') throw error;
      this.#entries++;
      this.#bytes += directory.usage(name).disk;
      return;
    }
    this.#enter(name, opened);
  }

  #enter(name: BytePath, directory: OpenDirectory): void {
    const above = this.#descent.depth === 0 ? undefined : this.#descent.usage;
    this.#descent.enter(name, directory);
    const { mountPoint, fileSystem, disk } = this.#descent.usage;
    if (above !== undefined && (mountPoint || fileSystem !== above.fileSystem)) return;
    this.#entries++;
    this.#bytes += disk;
    for (const entry of directory.list()) {
      if (entry.type === DIRECTORY) this.#descent.postpone(entry.name);
      else ifThere(() => this.#addFile(directory, entry.name));
    }
  }

  #addFile(directory: OpenDirectory, name: BytePath): void {
    const usage = directory.usage(name);
    this.#entries++;
    if (usage.links > 1) {
      if (this.#counted.has(usage.identity)) return;
      this.#counted.add(usage.identity);
    }
    this.#bytes += usage.disk;
  }
}

/** Does nothing about what has gone meanwhile. */
function ifThere(action: () => void): void {
  try {
    action();
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error;
  }
}
