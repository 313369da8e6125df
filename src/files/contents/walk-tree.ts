import type { BytePath } from '../../system/syscalls/byte-path.js';
import {
  DIRECTORY,
  type DirectoryCursor,
  type FileStatus,
  REGULAR_FILE,
  type TreeCalls,
} from '../../system/syscalls/tree-calls.js';
import type { Inode } from '../tree/inode-set.js';
import type { TreeVisitor } from './contents.js';
import { OwnedDescent } from './owned-descent.js';
import { checksumOfFile, LinkGroups, recordedXattrs, treeEntry } from './read-entry.js';

export interface WalkOptions {
  readonly calls: TreeCalls;
  /** What is known already about the content of a file that is not empty; it is read where this says undefined. */
  readonly checksum: (file: Inode) => number | undefined;
  /** False where none of a directory's files and symlinks has extended attributes. @param directory its path; '' is the tree's root */
  readonly mayHaveXattrs: (directory: BytePath) => boolean;
  /** Called often; may throw. */
  readonly pause: () => void;
}

/**
 * Shows a whole tree to a visitor. Synchronous, for a worker thread.
 * @param parent the directory that the tree's root stands in, absolute @param root the root's name there
 * @returns disk use of the tree in bytes, as `du` counts it
 */
export function walkTree(parent: string, root: BytePath, visitor: TreeVisitor, options: WalkOptions): number {
  const walk = new Walk(new OwnedDescent(options.calls, parent), root, visitor, options);
  return walk.run();
}

class Walk {
  readonly #descent: OwnedDescent;
  readonly #root: BytePath;
  readonly #visitor: TreeVisitor;
  readonly #options: WalkOptions;
  readonly #groups = new LinkGroups();
  /** Of the content of the files with several names, by group. */
  readonly #checksums: number[] = [];
  /** What `mayHaveXattrs` said of the directories on the way. */
  readonly #mayHaveXattrs: boolean[] = [];
  #disk = 0;

  constructor(descent: OwnedDescent, root: BytePath, visitor: TreeVisitor, options: WalkOptions) {
    this.#descent = descent;
    this.#root = root;
    this.#visitor = visitor;
    this.#options = options;
  }

  run(): number {
    try {
      this.#enter(this.#root);
      while (this.#descent.depth > 1) {
        this.#options.pause();
        const entry = this.#descent.next();
        if (entry === undefined) this.#leave();
        else this.#entry(entry);
      }
      return this.#disk;
    } finally {
      this.#descent.close();
    }
  }

  #enter(name: BytePath): void {
    const above = this.#descent.directory;
    const status = above.status(name);
    const directory = this.#descent.enter(name, status);
    this.#disk += status.disk;
    this.#visitor.enter(treeEntry(above, name, status, 0, 0, recordedXattrs(directory.xattrs(''))));
    this.#mayHaveXattrs.push(this.#options.mayHaveXattrs(this.#descent.path.slice(this.#root.length + 1)));
  }

  #leave(): void {
    this.#descent.leave();
    this.#mayHaveXattrs.pop();
    this.#visitor.leave();
  }

  #entry({ type, name }: DirectoryCursor): void {
    if (type === DIRECTORY) {
      this.#enter(name);
      return;
    }
    const status = this.#descent.directory.status(name);
    if (status.type === DIRECTORY) this.#enter(name);
    else this.#file(name, status, this.#mayHaveXattrs.at(-1) ?? true);
  }

  #file(name: BytePath, status: FileStatus, mayHaveXattrs: boolean): void {
    const { directory } = this.#descent;
    const group = this.#groups.of(status);
    let checksum = group === 0 ? undefined : this.#checksums[group];
    if (checksum === undefined) {
      this.#disk += status.disk;
      checksum = status.type === REGULAR_FILE && status.size > 0 ? this.#checksum(name, status) : 0;
      if (group > 0) this.#checksums[group] = checksum;
    }
    const xattrs = mayHaveXattrs ? recordedXattrs(directory.xattrs(name)) : [];
    this.#visitor.entry(treeEntry(directory, name, status, checksum, group, xattrs));
  }

  #checksum(name: BytePath, status: FileStatus): number {
    const known = this.#options.checksum(status);
    if (known !== undefined) return known;
    const descriptor = this.#descent.openFile(name);
    try {
      return checksumOfFile(this.#options.calls, descriptor, status.size, this.#options.pause);
    } finally {
      this.#descent.closeFile(descriptor);
    }
  }
}
