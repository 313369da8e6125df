import { isOpaque, isWhiteout, statusOf } from '../files/tree/merged-directory.js';
import { markNames, type WhiteoutFormat } from '../files/tree/whiteouts.js';
import type { BytePath } from '../system/syscalls/byte-path.js';
import {
  DIRECTORY,
  type FileStatus,
  type OpenDirectory,
  SYMLINK,
  type TreeCalls,
} from '../system/syscalls/tree-calls.js';
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
  /** Nothing of what lies below the stack would show in it. */
  readonly closed: boolean;
}

/** What a name in a directory stands for: something, or nothing; `hidden` when the stack says that there is nothing, or something else, whatever lies below. */
interface Child {
  readonly found: Found | SeenDirectory | undefined;
  readonly hidden: boolean;
}

export interface StackViewOptions {
  readonly whiteouts: WhiteoutFormat;
  /** Told of each look into a layer, with the length of the path; may throw. */
  readonly step: (bytes: number) => void;
  /** Told of the length of each path that is remembered; may throw. */
  readonly keep: (bytes: number) => void;
}

/** As many symlinks as the kernel follows. @see path_resolution(7) */
const SYMLINKS_MAX = 40;

/** Looks up single paths in a stack of layers, without walking it. Close it to let go of the layers' roots. */
export class StackView {
  readonly #roots: readonly OpenDirectory[];
  readonly #options: StackViewOptions;
  readonly #directories = new Map<BytePath, SeenDirectory>();

  private constructor(roots: readonly OpenDirectory[], options: StackViewOptions) {
    this.#roots = roots;
    this.#options = options;
    const top = roots.at(-1);
    if (top === undefined) return;
    const parts = [...roots.keys()].toReversed();
    this.#directories.set('', { path: '', status: top.status(''), layer: roots.length - 1, parts, closed: false });
  }

  /** @param roots the layers' roots, absolute, bottom first */
  static open(calls: TreeCalls, roots: readonly string[], options: StackViewOptions): StackView {
    const opened: OpenDirectory[] = [];
    try {
      for (const root of roots) opened.push(calls.openDirectory(root));
      return new StackView(opened, options);
    } catch (error) {
      for (const root of opened) root.close();
      throw error;
    }
  }

  /** A view of some layers of this one, which must stay open as long. @param end behind the last */
  slice(start: number, end: number): StackView {
    return new StackView(this.#roots.slice(start, end), this.#options);
  }

  /**
   * What stands at a path; symlinks among its parents lead where they would in a chroot, and where they lead out they stop at the root.
   * @param follow also a symlink that stands there
   */
  find(path: BytePath, follow = false): Found | undefined {
    const todo = components(path);
    let current = this.#directories.get('');
    let symlinks = 0;
    for (let name = todo.pop(); name !== undefined; name = todo.pop()) {
      if (current === undefined) return undefined;
      this.#options.step(current.path.length);
      if (name === '..') {
        current = this.#directories.get(parentOf(current.path));
        continue;
      }
      const { found } = this.#child(current, name);
      if (found === undefined) return undefined;
      const isLast = todo.length === 0;
      if (found.status.type === SYMLINK && (follow || !isLast)) {
        if (++symlinks > SYMLINKS_MAX) return undefined;
        const target = this.inDirectory(current.path, found.layer, (directory) => directory.readSymlink(name));
        if (target.startsWith('/')) current = this.#directories.get('');
        todo.push(...components(target));
      } else if ('parts' in found) {
        current = found;
      } else {
        return isLast ? found : undefined;
      }
    }
    return current;
  }

  /** Whether something that lies below this stack at a path would not show. @param path leads through no symlink of what lies below */
  covers(path: BytePath): boolean {
    const todo = components(path);
    let current = this.#directories.get('');
    for (let name = todo.pop(); name !== undefined && current !== undefined; name = todo.pop()) {
      this.#options.step(current.path.length);
      const { found, hidden } = this.#child(current, name);
      if (found === undefined) return hidden;
      if (todo.length === 0 || !('parts' in found) || found.closed) return true;
      current = found;
    }
    return false;
  }

  /** Opens a layer's own directory while `use` runs. */
  inDirectory<T>(path: BytePath, layer: number, use: (directory: OpenDirectory) => T): T {
    this.#options.step(path.length);
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

  #child(parent: SeenDirectory, name: BytePath): Child {
    const path = join(parent.path, name);
    const known = this.#directories.get(path);
    if (known !== undefined) return { found: known, hidden: false };
    let found: Found | undefined;
    const parts: number[] = [];
    let hidden = parent.closed;
    for (const layer of parent.parts) {
      const seen = this.inDirectory(parent.path, layer, (directory) => this.#look(directory, name));
      if (seen === 'nothing') continue;
      hidden = true;
      if (seen === 'hidden') break;
      found ??= { path, status: seen.status, layer };
      // A file ends the search; below a directory it only ends what is merged.
      if (seen.status.type !== DIRECTORY) break;
      parts.push(layer);
      if (seen.opaque) break;
      hidden = parent.closed;
    }
    if (found === undefined || parts.length === 0) return { found, hidden };
    const directory: SeenDirectory = { ...found, parts, closed: hidden };
    this.#options.keep(path.length);
    this.#directories.set(path, directory);
    return { found: directory, hidden };
  }

  #look(directory: OpenDirectory, name: BytePath): 'nothing' | 'hidden' | { status: FileStatus; opaque: boolean } {
    const { whiteouts } = this.#options;
    const status = statusOf(directory, name);
    if (status === undefined) {
      const marks = markNames(whiteouts);
      const hides = marks !== undefined && statusOf(directory, marks.prefix + name) !== undefined;
      return hides ? 'hidden' : 'nothing';
    }
    if (isWhiteout(status, whiteouts)) return 'hidden';
    return { status, opaque: status.type === DIRECTORY && hidesBelow(directory, name, whiteouts) };
  }
}

/** The last one first, without those that lead nowhere else. */
function components(path: BytePath): BytePath[] {
  return path
    .split('/')
    .filter((name) => name !== '' && name !== '.')
    .reverse();
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
