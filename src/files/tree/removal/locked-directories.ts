import type { BytePath } from '../../../system/syscalls/byte-path.js';
import type { FileStatus, OpenDirectory } from '../../../system/syscalls/tree-calls.js';

const OWNER_MAY_READ_AND_SEARCH = 0o500;
export const OWNER_MAY_ALL = 0o700;

/** True when a directory is the user's own and yet closed to him. */
export function isLocked({ mode, uid }: FileStatus): boolean {
  return uid === process.geteuid?.() && (mode & OWNER_MAY_READ_AND_SEARCH) !== OWNER_MAY_READ_AND_SEARCH;
}

/**
 * Directories of layers that an ordinary user opens to himself to copy them, with the modes that they get back. A process killed in between
 * leaves them open; images with such directories are too rare to keep a record on disk for.
 */
export class LockedDirectories {
  readonly #unlocked: { readonly layer: OpenDirectory; readonly path: BytePath; readonly mode: number }[] = [];

  /** Opens a directory to its owner if it is locked. */
  unlock(layer: OpenDirectory, path: BytePath): void {
    inParent(layer, path, (parent, name) => {
      const status = parent.status(name);
      if (!isLocked(status)) return;
      this.#unlocked.push({ layer, path, mode: status.mode });
      parent.setDirectoryMode(name, status.mode | OWNER_MAY_ALL);
    });
  }

  /** The mode that a directory had before `unlock`; undefined when it was not locked. */
  modeOf(layer: OpenDirectory, path: BytePath): number | undefined {
    return this.#unlocked.find((directory) => directory.layer === layer && directory.path === path)?.mode;
  }

  /** Gives all of them their modes back, the deepest first, since the way there may end with the ones above. */
  lock(): void {
    for (const { layer, path, mode } of this.#unlocked.splice(0).reverse()) {
      inParent(layer, path, (parent, name) => parent.setDirectoryMode(name, mode));
    }
  }
}

function inParent(root: OpenDirectory, path: BytePath, use: (parent: OpenDirectory, name: BytePath) => void): void {
  const cut = path.lastIndexOf('/');
  const parent = root.openDirectory(path.slice(0, Math.max(0, cut)));
  try {
    use(parent, path.slice(cut + 1) || '.');
  } finally {
    parent.close();
  }
}
