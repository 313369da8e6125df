import type { BytePath } from '../syscalls/byte-path.js';
import { DIRECTORY, type FileStatus, type OpenDirectory, SYMLINK, type TreeCalls } from '../syscalls/tree-calls.js';
import { isOpaque, isWhiteout, statusOf } from '../tree/merged-directory.js';
import { WHITEOUT_PREFIX, type WhiteoutFormat } from '../tree/whiteouts.js';
import { join, parentOf } from '../unpack/entry-path.js';

/** Something that a stack of layers shows. */
export interface Found {
  /** Where it is: no component of the path is a symlink. */
  readonly path: BytePath;
  readonly status: FileStatus;
  /** The layer that shows it, an index into the stack; of a directory the topmost that has a part in it. */
  readonly layer: number;
}

interface SeenDirectory extends Found {
  /** Layers that have a part in it, top first, none below an opaque one. */
  readonly parts: readonly number[];
}

/** As many symlinks as the kernel follows. @see path_resolution(7) */
const SYMLINKS_MAX = 40;

/** Looks up single paths in a stack of layers, without walking it. Close it to let go of the layers' roots. */
export class StackView {
  readonly #roots: readonly OpenDirectory[];
  readonly #whiteouts: WhiteoutFormat;
  readonly #directories = new Map<BytePath, SeenDirectory>();

  /** @param roots the layers' roots, absolute, bottom first */
  constructor(calls: TreeCalls, roots: readonly string[], whiteouts: WhiteoutFormat) {
    this.#roots = roots.map((root) => calls.openDirectory(root));
    this.#whiteouts = whiteouts;
    const [top] = this.#roots.slice(-1);
    if (top !== undefined) {
      const parts = [...this.#roots.keys()].toReversed();
      this.#directories.set('', { path: '', status: top.status(''), layer: this.#roots.length - 1, parts });
    }
  }

  /**
   * What stands at a path; symlinks among its parents lead where they would in a chroot, and where they lead out they stop at the root.
   * @param follow also a symlink that stands there
   */
  find(path: BytePath, follow = false): Found | undefined {
    const todo = path.split('/').reverse();
    let current = this.#directories.get('');
    let symlinks = 0;
    for (let name = todo.pop(); name !== undefined; name = todo.pop()) {
      if (name === '' || name === '.') continue;
      if (current === undefined) return undefined;
      if (name === '..') {
        current = this.#directories.get(parentOf(current.path));
        continue;
      }
      const found: Found | SeenDirectory | undefined = this.#child(current, name);
      if (found === undefined) return undefined;
      const isLast = todo.every((rest) => rest === '' || rest === '.');
      if (found.status.type === SYMLINK && (follow || !isLast)) {
        if (++symlinks > SYMLINKS_MAX) return undefined;
        const target = this.inDirectory(current.path, found.layer, (directory) => directory.readSymlink(name));
        if (target.startsWith('/')) current = this.#directories.get('');
        todo.push(...target.split('/').reverse());
      } else if ('parts' in found) {
        current = found;
      } else {
        return isLast ? found : undefined;
      }
    }
    return current;
  }

  /** Opens a layer's own directory while `use` runs. */
  inDirectory<T>(path: BytePath, layer: number, use: (directory: OpenDirectory) => T): T {
    const directory = (this.#roots[layer] as OpenDirectory).openDirectory(path);
    try {
      return use(directory);
    } finally {
      directory.close();
    }
  }

  close(): void {
    for (const root of this.#roots) root.close();
  }

  #child(parent: SeenDirectory, name: BytePath): Found | SeenDirectory | undefined {
    const path = join(parent.path, name);
    const known = this.#directories.get(path);
    if (known !== undefined) return known;
    let found: Found | undefined;
    const parts: number[] = [];
    for (const layer of parent.parts) {
      const seen = this.inDirectory(parent.path, layer, (directory) => this.#look(directory, name));
      if (seen === 'nothing') continue;
      if (seen === 'hidden') break;
      if (seen.status.type !== DIRECTORY) {
        // A file ends the search; below a directory it only ends what is merged.
        found ??= { path, status: seen.status, layer };
        break;
      }
      found ??= { path, status: seen.status, layer };
      parts.push(layer);
      if (seen.opaque) break;
    }
    if (found === undefined || parts.length === 0) return found;
    const directory = { ...found, parts };
    this.#directories.set(path, directory);
    return directory;
  }

  #look(directory: OpenDirectory, name: BytePath): 'nothing' | 'hidden' | { status: FileStatus; opaque: boolean } {
    const status = statusOf(directory, name);
    if (status === undefined) {
      const hides = this.#whiteouts === 'plain' && statusOf(directory, WHITEOUT_PREFIX + name) !== undefined;
      return hides ? 'hidden' : 'nothing';
    }
    if (isWhiteout(status, this.#whiteouts)) return 'hidden';
    return { status, opaque: status.type === DIRECTORY && hidesBelow(directory, name, this.#whiteouts) };
  }
}

/** True when a layer's directory is opaque. */
export function hidesBelow(parent: OpenDirectory, name: BytePath, whiteouts: WhiteoutFormat): boolean {
  const directory = parent.openDirectory(name);
  try {
    return isOpaque(directory, whiteouts);
  } finally {
    directory.close();
  }
}
