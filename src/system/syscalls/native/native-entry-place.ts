import { constants as os } from 'node:os';
import { type BytePath, cPath } from '../byte-path.js';
import { syscallError } from '../syscalls.js';
import { close, lastErrno, lastError, openDirectoryBeneath } from './libc/libc.js';

/** ENOSYS: before Linux 5.6. EPERM: a sandbox that does not know the call. */
const NOT_HERE = new Set([os.errno.ENOSYS, os.errno.EPERM]);

/** Whether this kernel can check a way itself. @param root an open directory */
export function canCheckWays(root: number): boolean {
  const descriptor = openDirectoryBeneath(root, '.');
  if (descriptor >= 0) close(descriptor);
  else if (!NOT_HERE.has(lastErrno())) throw lastError('openat2');
  return descriptor >= 0;
}

interface Opened {
  readonly path: BytePath;
  readonly descriptor: number;
}
const NONE: Opened = { path: '', descriptor: -1 };

/**
 * Where an entry of a tree is: the open directory that holds it, and its name there. The kernel itself makes sure that the way to that directory
 * stays in the tree and leads over no symlink, whatever has been made of the path before. The way is walked once for entries
 * of one directory that come together, as most do. Two directories stay open: entries often alternate between a directory and the one above it.
 */
export class EntryPlace {
  /** Good until another place has been asked for twice. */
  directory: number;
  /** One component; the whole path where ways are not checked. Good until the next call of `of`. */
  name: BytePath = '.';

  readonly #root: number;
  readonly #checked: boolean;
  #latest = NONE;
  #other = NONE;

  /** @param root an open directory, which stays the caller's @param checked false where `canCheckWays` says so */
  constructor(root: number, checked: boolean) {
    this.#root = root;
    this.#checked = checked;
    this.directory = root;
  }

  /**
   * @param path '' for the root itself
   * @returns this
   * @throws `EXDEV` for a path that leads out by `..` or an absolute name, `ELOOP` for a symlink on the way; `ENOENT`, `ENOTDIR`
   */
  of(path: BytePath): this {
    const slash = path.lastIndexOf('/');
    if (slash < 0 || !this.#checked) {
      this.directory = this.#root;
      this.name = path || '.';
    } else {
      if (!isAt(this.#latest, path, slash)) this.#enter(path, slash);
      this.directory = this.#latest.descriptor;
      this.name = path.slice(slash + 1);
    }
    if (this.#checked && this.name === '..') throw syscallError('EXDEV', 'open', path);
    return this;
  }

  /** A directory of this path is about to be made: what is open under its name, or below it, is another one. */
  forget(path: BytePath): void {
    if (this.#latest.path.startsWith(path) || this.#other.path.startsWith(path)) this.close();
  }

  close(): void {
    for (const { descriptor } of [this.#latest, this.#other]) if (descriptor >= 0) close(descriptor);
    this.#latest = NONE;
    this.#other = NONE;
  }

  #enter(path: BytePath, slash: number): void {
    const opened = isAt(this.#other, path, slash) ? this.#other : this.#open(path.slice(0, slash));
    this.#other = this.#latest;
    this.#latest = opened;
  }

  #open(path: BytePath): Opened {
    const descriptor = openDirectoryBeneath(this.#root, cPath(path));
    if (descriptor < 0) throw lastError('openat2', path);
    if (this.#other.descriptor >= 0) close(this.#other.descriptor);
    return { path, descriptor };
  }
}

/** Compared in place, which is cheaper than cutting the directory's path out. */
function isAt({ path, descriptor }: Opened, entry: BytePath, slash: number): boolean {
  return path.length === slash && descriptor >= 0 && entry.startsWith(path);
}
