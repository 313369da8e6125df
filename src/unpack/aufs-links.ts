import { randomBytes } from 'node:crypto';
import type { BytePath } from '../system/syscalls/byte-path.js';
import type { FileTree } from '../system/syscalls/syscalls.js';
import { nameOf, parentOf } from './entry-path.js';
import type { LayerDirectories } from './layer-directories.js';

/**
 * Where the union file system aufs has one more name for each file that has several. Layers that Docker wrote on aufs have the file there, and hard links to it in the places where
 * it shows; the directory itself never was part of a container.
 * @see https://aufs.sourceforge.net/aufs.html "Pseudo-link"
 */
const AUFS_LINKS = '.wh..wh.plnk';

/** Keeps such files until the layer is complete, in a directory of the layer that no archive can name. Their links are ordinary ones to there. */
export class AufsLinks {
  readonly #tree: FileTree;
  readonly #directories: LayerDirectories;
  #directory: BytePath | undefined;

  constructor(tree: FileTree, directories: LayerDirectories) {
    this.#tree = tree;
    this.#directories = directories;
  }

  /** Where it is, once there is one. */
  get directory(): BytePath | undefined {
    return this.#directory;
  }

  /** Where a file of aufs's directory is kept, and to be looked for; undefined for a path that leads elsewhere. @param path as `entryPath` has it */
  place(path: BytePath): BytePath | undefined {
    return parentOf(path) === AUFS_LINKS ? `${this.#made()}/${nameOf(path)}` : undefined;
  }

  #made(): BytePath {
    if (this.#directory === undefined) {
      this.#directory = `aufs-${randomBytes(16).toString('hex')}`;
      this.#tree.makeDirectory(this.#directory, 0o700);
      this.#directories.add(this.#directory, undefined);
    }
    return this.#directory;
  }
}
