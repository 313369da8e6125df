import { systemCode } from '../../base/errors.js';
import type { BytePath } from '../../system/syscalls/byte-path.js';
import type { OpenDirectory, TreeCalls } from '../../system/syscalls/tree-calls.js';
import { type DirectoryPart, isOpaque } from './merged-directory.js';
import { isLocked, LockedDirectories } from './removal/locked-directories.js';
import type { WhiteoutFormat } from './whiteouts.js';

/** A directory of the merged tree: its path below the root, and the layers that may have a part in it, top first. */
export interface MergedPath {
  readonly path: BytePath;
  readonly layers: readonly number[];
}

export interface LayerStackOptions {
  /** Absolute paths, bottom first. */
  readonly layers: readonly string[];
  readonly whiteouts: WhiteoutFormat;
  readonly privileged: boolean;
}

/**
 * Layers seen as one tree. Their directories are open only while `visit` runs, found from the layer's root by their path, so neither deep trees nor
 * many layers run out of descriptors.
 */
export class LayerStack {
  /** Where a walk begins. */
  readonly root: MergedPath;
  readonly #options: LayerStackOptions;
  readonly #roots: OpenDirectory[] = [];
  readonly #locked = new LockedDirectories();

  constructor(calls: TreeCalls, options: LayerStackOptions) {
    this.#options = options;
    const seen = new Set<string>();
    try {
      // Top first: all that the lower copy of a repeated layer has is hidden by the upper one.
      for (const path of options.layers.toReversed()) {
        const root = calls.openDirectory(path);
        this.#roots.push(root);
        const { identity } = root.status('');
        if (seen.has(identity)) this.#roots.pop()?.close();
        seen.add(identity);
      }
    } catch (error) {
      this.close();
      throw error;
    }
    this.root = { path: '', layers: [...this.#roots.keys()] };
  }

  /**
   * Opens a directory while `use` runs, given the layers' parts of it, top first, none below an opaque one.
   * @param unlock whether directories that are locked to the user may be unlocked until `close`
   * @returns false when one of them is locked and may not be
   */
  visit({ path, layers }: MergedPath, unlock: boolean, use: (parts: readonly DirectoryPart[]) => void): boolean {
    const parts: DirectoryPart[] = [];
    try {
      for (const layer of layers) {
        const directory = this.#open(layer, path, unlock);
        if (directory === undefined) return false;
        parts.push({ layer, directory });
        if (parts.length < layers.length && isOpaque(directory, this.#options.whiteouts)) break;
      }
      use(parts);
      return true;
    } finally {
      for (const { directory } of parts) directory.close();
    }
  }

  /** The mode that a directory had before it was unlocked; undefined when it was not. */
  lockedMode(layer: number, path: BytePath): number | undefined {
    return this.#locked.modeOf(this.#root(layer), path);
  }

  close(): void {
    try {
      this.#locked.lock();
    } finally {
      for (const root of this.#roots.splice(0)) root.close();
    }
  }

  #open(layer: number, path: BytePath, unlock: boolean): OpenDirectory | undefined {
    const root = this.#root(layer);
    if (this.#options.privileged) return root.openDirectory(path);
    if (unlock) this.#locked.unlock(root, path);
    let directory: OpenDirectory;
    try {
      directory = root.openDirectory(path);
    } catch (error) {
      if (systemCode(error) === 'EACCES' && !unlock) return undefined;
      throw error;
    }
    if (!isLocked(directory.status(''))) return directory;
    directory.close();
    return undefined;
  }

  #root(layer: number): OpenDirectory {
    const root = this.#roots[layer];
    if (root === undefined) throw new RangeError(`there is no layer ${layer}`);
    return root;
  }
}
