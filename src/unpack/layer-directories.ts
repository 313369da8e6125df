import { malformed } from '../base/malformed.js';
import { WHITEOUT_PREFIX, type WhiteoutFormat } from '../files/tree/whiteouts.js';
import { ownCopy } from '../system/compression/own-copy.js';
import { type BytePath, printablePath } from '../system/syscalls/byte-path.js';
import type { FileTree } from '../system/syscalls/syscalls.js';
import type { TarEntry } from '../system/tar/tar-entry.js';
import { checkName, join, nameOf, parentOf, unlikeMark } from './entry-path.js';
import { type UnpackBudget, xattrBytes } from './unpack-budget.js';

/** What is kept of a directory's entry until the end. */
export type DirectoryAttributes = Pick<TarEntry, 'mode' | 'uid' | 'gid' | 'modified' | 'accessed' | 'xattrs'>;

/** A directory of the layer being unpacked. */
export interface LayerDirectory {
  /** What its entry says; undefined while the archive only implies it. */
  attributes: DirectoryAttributes | undefined;
  /** Nothing of the layers below shows in it. */
  opaque: boolean;
  /** It hides a directory below by a whiteout, so an implied one gets attributes of its own. */
  fresh: boolean;
  /** Names of directories in it, to forget them with it. */
  children: Set<BytePath> | undefined;
}

/** As many symlinks as the kernel follows. @see path_resolution(7) */
const SYMLINKS_MAX = 40;
/** Nobody but us enters a layer that is being unpacked, and directories get their own mode at the end. */
const UNFINISHED_MODE = 0o700;
/** Paths through symlinks to remember; more would be an archive that means to fill the memory. */
const REDIRECTIONS_MAX = 20_000;
/** What an attribute takes beside its bytes. */
const XATTR_OVERHEAD = 200;

/** What becomes of a directory on the way that is not in the layer: it is made, ends the search, or counts as if it was there. */
type Missing = 'make' | 'find' | 'imagine';

/**
 * Knows every directory that the layer has so far, which makes paths safe and cheap: a path whose parent is known needs no check, and
 * what is not known is created, or is a symlink of the same layer, which is followed inside the layer by hand.
 */
export class LayerDirectories {
  readonly #tree: FileTree;
  readonly #known = new Map<BytePath, LayerDirectory>();
  /** Where paths through symlinks of this layer lead. Emptied whenever an entry is replaced. */
  readonly #redirected = new Map<BytePath, BytePath>();
  readonly #budget: UnpackBudget;
  readonly #format: WhiteoutFormat;

  constructor(tree: FileTree, budget: UnpackBudget, format: WhiteoutFormat) {
    this.#tree = tree;
    this.#format = format;
    this.#budget = budget;
    this.#known.set('', { attributes: undefined, opaque: false, fresh: false, children: undefined });
  }

  get(path: BytePath): LayerDirectory | undefined {
    return this.#known.get(path);
  }

  entries(): IterableIterator<[BytePath, LayerDirectory]> {
    return this.#known.entries();
  }

  /** The paths of all of them, each before that of the directory it is in. */
  deepestFirst(): BytePath[] {
    // A directory becomes known after the one it is in, and a map keeps that order.
    return [...this.#known.keys()].reverse();
  }

  /** Where an entry lands: its parents made where they are missing, and symlinks of this layer among them followed. */
  place(path: BytePath): BytePath {
    checkName(path);
    const parent = parentOf(path);
    if (this.#known.has(parent)) return path;
    return join(this.#resolve(parent, 'make') as BytePath, nameOf(path));
  }

  /** Where `place` would have it land, making nothing; below what is no directory it is where it would be if that was one. */
  destination(path: BytePath): BytePath {
    const parent = parentOf(path);
    return this.#known.has(parent) ? path : join(this.#resolve(parent, 'imagine') as BytePath, nameOf(path));
  }

  /** As `place`, but makes nothing. @returns undefined when a parent is not in this layer */
  find(path: BytePath): BytePath | undefined {
    const parent = parentOf(path);
    if (this.#known.has(parent)) return path;
    const resolved = this.#resolve(parent, 'find');
    return resolved === undefined ? undefined : join(resolved, nameOf(path));
  }

  /** The directories that lie below an opaque one: whatever the layers below have in their place is hidden. */
  covered(): ReadonlySet<BytePath> {
    const covered = new Set<BytePath>();
    if (![...this.#known.values()].some(({ opaque }) => opaque)) return covered;
    // A directory becomes known after the one it is in.
    for (const path of this.#known.keys()) {
      const parent = parentOf(path);
      if (path !== '' && (covered.has(parent) || this.#known.get(parent)?.opaque)) covered.add(path);
    }
    return covered;
  }

  /** Records a directory that has just been made. @param entry undefined when the archive only implies it */
  add(path: BytePath, entry: TarEntry | undefined): void {
    this.#budget.keep(path.length);
    const directory: LayerDirectory = { attributes: undefined, opaque: false, fresh: false, children: undefined };
    if (entry !== undefined) this.describe(directory, entry);
    this.#known.set(path, directory);
    const parent = this.#known.get(parentOf(path)) as LayerDirectory;
    parent.children ??= new Set();
    parent.children.add(nameOf(path));
  }

  /** Lets an entry say what a directory is like. */
  describe(directory: LayerDirectory, { mode, uid, gid, modified, accessed, xattrs }: TarEntry): void {
    if (xattrs !== undefined) this.#budget.keep(xattrBytes(xattrs) + xattrs.size * XATTR_OVERHEAD);
    const kept = xattrs && new Map([...xattrs].map(([name, value]) => [name, ownCopy(value)]));
    directory.attributes = { mode, uid, gid, modified, accessed, xattrs: kept };
  }

  /** Forgets a directory that has been removed with everything in it. */
  forget(path: BytePath): void {
    this.#known.get(parentOf(path))?.children?.delete(nameOf(path));
    const rest = [path];
    for (let next = rest.pop(); next !== undefined; next = rest.pop()) {
      for (const child of this.#known.get(next)?.children ?? []) rest.push(join(next, child));
      this.#known.delete(next);
    }
  }

  /** Something that may have been a symlink is gone. */
  forgetRedirections(): void {
    this.#redirected.clear();
  }

  /** Walks a directory path component by component, as the kernel would inside a chroot. */
  #resolve(path: BytePath, missing: Missing): BytePath | undefined {
    const remembered = this.#redirected.get(path);
    if (remembered !== undefined && this.#known.has(remembered)) return remembered;
    // What is known is no symlink, and neither is what leads to it.
    let current = path;
    while (!this.#known.has(current)) {
      this.#budget.step(current.length);
      current = parentOf(current);
    }
    const todo = path
      .slice(current === '' ? 0 : current.length + 1)
      .split('/')
      .reverse();
    let symlinks = 0;
    for (let name = todo.pop(); name !== undefined; name = todo.pop()) {
      this.#budget.step(current.length);
      if (name === '' || name === '.') continue;
      if (name === '..') {
        // At the root it stays there, as in a chroot.
        current = parentOf(current);
        continue;
      }
      const next = join(current, name);
      if (this.#known.has(next)) {
        current = next;
        continue;
      }
      const target = this.#symlinkAt(next, missing === 'make');
      if (target === 'missing') {
        if (missing === 'find') return undefined;
        if (missing === 'make') this.#makeImplied(next);
        current = next;
        continue;
      }
      if (++symlinks > SYMLINKS_MAX) throw malformed(`too many symlinks in the way of ${printablePath(path)}`);
      if (target.symlink.startsWith('/')) current = '';
      todo.push(...target.symlink.split('/').reverse());
    }
    if (symlinks > 0) this.#remember(path, current);
    return current;
  }

  #makeImplied(path: BytePath): void {
    checkName(path);
    if (nameOf(path).startsWith(WHITEOUT_PREFIX)) {
      // The archive's own names have been looked at, but a symlink may lead anywhere.
      throw malformed(`something lies below the whiteout ${printablePath(path)}`);
    }
    unlikeMark(path, this.#format);
    this.#budget.impliedDirectory();
    this.#tree.makeDirectory(path, UNFINISHED_MODE);
    this.add(path, undefined);
  }

  #remember(path: BytePath, place: BytePath): void {
    if (this.#redirected.size >= REDIRECTIONS_MAX) this.#redirected.clear();
    this.#redirected.set(path, place);
  }

  #symlinkAt(path: BytePath, create: boolean): 'missing' | { symlink: BytePath } {
    try {
      const symlink = this.#tree.readLink(path);
      if (symlink !== undefined) return { symlink };
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      // Nothing is below a file.
      if (code === 'ENOENT' || (code === 'ENOTDIR' && !create)) return 'missing';
      throw error;
    }
    if (!create) return 'missing';
    throw malformed(`something lies below ${printablePath(path)}, which is no directory`);
  }
}
