import { systemCode } from '../../../base/errors.js';
import { umaskTakesFromOwner } from '../../../base/own-files.js';
import type { BytePath } from '../../../system/syscalls/byte-path.js';
import { DIRECTORY, type OpenDirectory } from '../../../system/syscalls/tree-calls.js';
import type { LayerStack, MergedPath } from '../layer-stack.js';
import { type DirectoryPart, type MergedEntry, mergeDirectory } from '../merged-directory.js';
import type { WhiteoutFormat } from '../whiteouts.js';
import type { Attributes, XattrValues } from './copy-attributes.js';
import type { CopiedEntry, EntryCopier } from './copy-entry.js';
import type { ShareClaims } from './copy-share.js';

export interface TreeCopierOptions {
  readonly stack: LayerStack;
  readonly target: OpenDirectory;
  readonly copier: EntryCopier;
  readonly claims: ShareClaims;
  /** Undefined for one layer of which nothing is gone: all that is there is copied. */
  readonly whiteouts: WhiteoutFormat | undefined;
  /** See `CopyLayersOptions`. */
  readonly changing: boolean;
  /** Called often; throws when the copy is not wanted any more. */
  readonly pause: () => void;
}

/** A directory that has no attributes yet. */
interface Unfinished {
  readonly path: BytePath;
  readonly attributes: Attributes;
  readonly xattrs: XattrValues;
}

/** The kernel takes paths of 4095 bytes. */
const LONGEST_PATH = 4095;
const OWNER_MAY_ALL = 0o700;
/** What is said of a name that is not there any more, or is of something else. */
const GONE: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'ELOOP', 'ESTALE']);

/** One thread's copy of a merged tree; see `CopyShare` for what the threads do together. */
export class TreeCopier {
  readonly #options: TreeCopierOptions;
  readonly #givesBack = umaskTakesFromOwner();
  /** All directories, parents before their children. */
  readonly #unfinished: Unfinished[] = [];
  /** Those that the user has to unlock to copy them. */
  readonly #locked: MergedPath[] = [];
  /** The directory being worked on, for messages. */
  current: BytePath = '';

  constructor(options: TreeCopierOptions) {
    this.#options = options;
  }

  run(): void {
    const { stack, claims } = this.#options;
    this.#walk(stack.root, false);
    if (!claims.leave()) return;
    // Another thread would take an unlocked directory's mode for its own, so this comes when all have left.
    // (A file in one that has another name outside may have been copied by such a thread; here it becomes a second file.)
    for (const locked of this.#locked.splice(0)) this.#walk(locked, true);
    // Children first: an ordinary user's way to them may end with their parent's mode.
    for (const directory of this.#unfinished.reverse()) this.#finish(directory);
  }

  /** @param last when no other thread is there any more */
  #walk(start: MergedPath, last: boolean): void {
    const { stack, pause } = this.#options;
    const pending = [start];
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      const directory = next;
      pause();
      this.current = directory.path;
      let isOpen = false;
      try {
        const visited = stack.visit(directory, last, (parts) => {
          isOpen = true;
          this.#noteAttributes(directory.path, parts);
          for (const child of this.#copyEntries(directory.path, parts, last)) pending.push(child);
        });
        if (!visited) this.#locked.push(directory);
      } catch (error) {
        if (isOpen || !this.#isGone(error)) throw error;
        this.#removeEmpty(directory.path);
      }
    }
  }

  #noteAttributes(path: BytePath, [top]: readonly DirectoryPart[]): void {
    if (top === undefined) return;
    const { mode, uid, gid, accessed, modified } = top.directory.status('');
    const ownMode = this.#options.stack.lockedMode(top.layer, path) ?? mode;
    this.#unfinished.push({
      path,
      attributes: { mode: ownMode, uid, gid, accessed, modified },
      xattrs: this.#options.copier.attributes.readXattrs(top.directory.xattrs('')),
    });
  }

  /** @returns the subdirectories */
  #copyEntries(path: BytePath, parts: readonly DirectoryPart[], last: boolean): MergedPath[] {
    const { target, copier, whiteouts, pause } = this.#options;
    const directories: MergedPath[] = [];
    const sources = new Map(parts.map(({ layer, directory }) => [layer, directory]));
    let to: OpenDirectory | undefined;
    try {
      for (const entry of mergeDirectory(parts, whiteouts)) {
        const { name, type, layer, layers } = entry;
        const from = sources.get(layer);
        // Each entry comes from one of the parts.
        if (from === undefined) continue;
        if (type === DIRECTORY) {
          to ??= target.openDirectory(path);
          if (to.makeDirectory(name)) copier.entries++;
          // Whoever made it: the thread that did may not have come to it.
          if (this.#givesBack) to.setDirectoryMode(name, OWNER_MAY_ALL);
          directories.push({ path: path === '' ? name : `${path}/${name}`, layers });
        } else if (last || this.#take(from, entry)) {
          pause();
          to ??= target.openDirectory(path);
          this.#copyEntry({ name, type, from, to, path, layer });
        }
      }
    } catch (error) {
      // The directory itself: what was found in it until then is copied.
      if (!this.#isGone(error)) throw error;
    } finally {
      to?.close();
    }
    // The walk takes the last one first.
    return directories.reverse();
  }

  #copyEntry(entry: CopiedEntry): void {
    try {
      this.#options.copier.copy(entry);
    } catch (error) {
      if (!this.#isGone(error)) throw error;
    }
  }

  /** A directory that was made when it was listed, and could not be entered any more. */
  #removeEmpty(path: BytePath): void {
    const { target, copier } = this.#options;
    const cut = path.lastIndexOf('/');
    const above = target.openDirectory(path.slice(0, Math.max(0, cut)));
    try {
      above.removeDirectory(path.slice(cut + 1));
      copier.entries--;
    } finally {
      above.close();
    }
  }

  #isGone(error: unknown): boolean {
    return this.#options.changing && GONE.has(systemCode(error) ?? '');
  }

  #take(from: OpenDirectory, { name, layer, inode }: MergedEntry): boolean {
    const { claims } = this.#options;
    return claims.alone || claims.take(layer, inode ?? from.status(name).inode);
  }

  #finish({ path, attributes, xattrs }: Unfinished): void {
    const { target, copier, pause } = this.#options;
    pause();
    this.current = path;
    if (path.length <= LONGEST_PATH && xattrs.length === 0) {
      copier.attributes.copyToEntry(target, path, attributes, { hasMode: true, xattrs });
      return;
    }
    const directory = target.openDirectory(path);
    try {
      copier.attributes.copyToEntry(directory, '', attributes, { hasMode: true, xattrs });
    } finally {
      directory.close();
    }
  }
}
