import type { UnpackLimits } from '../base/config.js';
import { systemCode } from '../base/errors.js';
import { malformed } from '../base/malformed.js';
import { InodeNumbers } from '../files/contents/inode-numbers.js';
import type { KnownFiles } from '../files/contents/write-contents.js';
import { ENTRY_BYTES, type SpaceWatch } from '../files/space/space-watch.js';
import type { Inode } from '../files/tree/inode-set.js';
import { isOverlayFormat, OPAQUE_MARKER, WHITEOUT_PREFIX, type WhiteoutFormat } from '../files/tree/whiteouts.js';
import { type BytePath, printablePath } from '../system/syscalls/byte-path.js';
import type { FileTree } from '../system/syscalls/syscalls.js';
import type { SparseMap } from '../system/tar/sparse.js';
import type { TarEntry } from '../system/tar/tar-entry.js';
import type { TarHandler } from '../system/tar/tar-reader.js';
import { AufsLinks } from './aufs-links.js';
import { EntryAttributes, type Skipped } from './entry-attributes.js';
import { entryPath, join, unlikeMark, unsafe } from './entry-path.js';
import { FileWriter } from './file-writer.js';
import { LayerDirectories, type LayerDirectory } from './layer-directories.js';
import { writeWhiteouts } from './layer-whiteouts.js';
import { LowerLinks } from './lower-links.js';
import type { Stacking } from './stacking.js';
import { UnpackBudget } from './unpack-budget.js';

export interface LayerWriterOptions {
  /** The layer's root: an empty directory that nobody else uses. */
  readonly tree: FileTree;
  /** Looks after the room on its file system. */
  readonly space: SpaceWatch;
  readonly format: WhiteoutFormat;
  /** Try to apply owners and make devices, as root does. What cannot be had is skipped and counted. */
  readonly privileged: boolean;
  readonly limits: UnpackLimits;
  /** Removes a directory of the layer with all that is in it. */
  readonly removeDirectoryTree: (path: BytePath) => void;
  /** Is told what becomes of the data, so that the archive can be made again. Default: nobody is. */
  readonly tar?: KeptData | undefined;
}

/** Keeps what of an archive's data the layer does not have. */
export interface KeptData {
  /** An entry's data becomes a file. @returns the payload's number */
  payload(path: BytePath, length: number, segments: SparseMap['segments'] | undefined): number;
  /** Data that becomes none. */
  kept(chunk: Buffer, start: number, end: number): void;
  /**
   * What is at a path, with all that is in it, is about to be removed.
   * @param placeOf one more than the payload that a file was, 0 for one without data; undefined for one that is not known
   */
  removing(path: BytePath, placeOf: (file: Inode) => number | undefined): void;
}

/** What came of a layer. */
export interface WrittenLayer {
  readonly entries: number;
  readonly opaqueRoot: boolean;
  readonly whiteouts: boolean;
  readonly describesRoot: boolean;
  readonly stacking: Stacking;
  readonly skipped: Skipped;
  /** For the record of its contents. */
  readonly known: KnownFiles;
}

const S_IFBLK = 0o060000;
const S_IFCHR = 0o020000;
const S_IFIFO = 0o010000;
const NO_NODES = new Set(['ENOTSUP', 'EPERM']);

/**
 * Writes the entries of a layer below its root. A later entry of a path replaces an earlier one, directories keep what is in them.
 * Whiteouts concern the layers below only, so they are collected and written at the end, wherever they stand in the archive.
 * Directories get their attributes last of all: nothing that happens in them can change these any more, and none of them
 * passes its group or its default ACL on.
 *
 * @see OCI image-spec, layer.md, "Applying Changesets"
 */
export class LayerWriter implements TarHandler {
  readonly #options: LayerWriterOptions;
  readonly #tree: FileTree;
  readonly #directories: LayerDirectories;
  readonly #attributes: EntryAttributes;
  readonly #budget: UnpackBudget;

  readonly #whiteouts = new Set<BytePath>();
  readonly #opaque = new Set<BytePath>();
  readonly #lowerLinks: LowerLinks;
  readonly #aufsLinks: AufsLinks;
  readonly #file: FileWriter;
  readonly #checksums = new InodeNumbers();
  readonly #space: SpaceWatch;

  constructor(options: LayerWriterOptions) {
    this.#options = options;
    this.#tree = options.tree;
    this.#budget = new UnpackBudget(options.limits);
    this.#space = options.space;
    this.#directories = new LayerDirectories(options.tree, this.#budget, options.format);
    const hasRoom = () => this.#space.hasRoom();
    this.#attributes = new EntryAttributes(options.tree, { privileged: options.privileged, hasRoom });
    this.#lowerLinks = new LowerLinks(this.#directories, this.#budget);
    this.#aufsLinks = new AufsLinks(options.tree, this.#directories);
    this.#file = new FileWriter(options.tree, this.#attributes, this.#checksums);
  }

  entry(entry: TarEntry): void {
    this.#budget.entry(entry.dataSize);
    if (entry.xattrs !== undefined) this.#budget.xattrs(entry.xattrs);
    this.#space.count(ENTRY_BYTES);
    const path = entryPath(entry.path);
    if (path.includes(WHITEOUT_PREFIX) && this.#isWhiteout(path, entry)) return;
    unlikeMark(path, this.#options.format);
    if (path === '') this.#root(entry);
    else this.#write(entry, this.#directories.place(path));
  }

  data(chunk: Buffer, start: number, end: number): void {
    if (!this.#file.isWriting) {
      this.#options.tar?.kept(chunk, start, end);
      return;
    }
    this.#space.count(end - start);
    this.#file.write(chunk, start, end);
  }

  endEntry(): void {
    if (this.#file.isWriting) this.#file.end();
  }

  /** Gives up the file being written, if any. */
  closeFile(): void {
    this.#file.close();
  }

  /** Writes whiteouts and the attributes of directories. */
  finish(): WrittenLayer {
    const { format } = this.#options;
    if (this.#aufsLinks.directory !== undefined) this.#remove(this.#aufsLinks.directory);
    const whiteoutDirectories = writeWhiteouts(this.#tree, this.#directories, format, this.#whiteouts, this.#opaque);
    const covered = this.#directories.covered();
    const implied: BytePath[] = [];
    // The deepest first: an ordinary user may lose the way to what lies below with the mode of a directory above.
    for (const path of this.#directories.deepestFirst()) {
      const directory = this.#directories.get(path) as LayerDirectory;
      const opaque = directory.opaque && path !== '' && isOverlayFormat(format) ? format : undefined;
      this.#attributes.applyToDirectory(path, directory.attributes, opaque);
      if (directory.attributes === undefined && !directory.fresh && !covered.has(path)) implied.push(path);
    }
    implied.reverse();
    const opaqueRoot = this.#directories.get('')?.opaque ?? false;
    return {
      entries: this.#budget.entries,
      opaqueRoot,
      whiteouts: this.#whiteouts.size + this.#opaque.size > 0,
      describesRoot: this.#directories.get('')?.attributes !== undefined,
      stacking: { implied, whiteoutDirectories, lowerLinks: this.#lowerLinks.remaining() },
      skipped: this.#attributes.skipped,
      known: {
        checksum: (file) => this.#checksums.get(file),
        mayHaveXattrs: (directory) => this.#attributes.directoriesWithXattrs.has(directory),
      },
    };
  }

  /** Takes whiteouts and opaque markers out of the archive's entries, and what was the union file system's own. */
  #isWhiteout(path: BytePath, entry: TarEntry): boolean {
    const components = path.split('/');
    const name = components.pop() as BytePath;
    // The union file system aufs kept its own records under such names; they never were part of a container.
    if (components.some((component) => component.startsWith('.wh..wh.'))) {
      const kept = entry.type === 'file' || entry.type === 'hardlink' ? this.#aufsLinks.place(path) : undefined;
      if (kept !== undefined) this.#write(entry, kept);
      return true;
    }
    const within = components.find((component) => component.startsWith(WHITEOUT_PREFIX));
    if (within !== undefined) throw malformed(`something lies below the whiteout ${printablePath(within)}`);
    if (!name.startsWith(WHITEOUT_PREFIX)) return false;
    const parent = components.join('/');
    if (name === OPAQUE_MARKER) {
      this.#budget.keep(parent.length);
      this.#opaque.add(parent);
    } else if (!name.startsWith('.wh..wh.')) {
      const hidden = name.slice(WHITEOUT_PREFIX.length);
      if (hidden === '' || hidden === '.' || hidden === '..')
        throw unsafe(path, 'it would remove a directory it stands in');
      this.#addWhiteout(join(parent, hidden));
    }
    return true;
  }

  #addWhiteout(path: BytePath): void {
    this.#budget.keep(path.length);
    this.#whiteouts.add(path);
  }

  #root(entry: TarEntry): void {
    if (entry.type !== 'directory') throw malformed('the root is no directory');
    const root = this.#directories.get('');
    if (root !== undefined) this.#directories.describe(root, entry);
  }

  #write(entry: TarEntry, path: BytePath): void {
    if (entry.type !== 'hardlink') this.#lowerLinks.remove(path);
    switch (entry.type) {
      case 'file':
        this.#beginFile(entry, path);
        return;
      case 'directory':
        this.#directory(entry, path);
        return;
      case 'hardlink':
        this.#hardLink(entry, path);
        return;
      case 'symlink':
        if (entry.linkPath === '') throw malformed(`the symlink ${printablePath(path)} points nowhere`);
        this.#replacing(path, () => this.#tree.makeSymlink(entry.linkPath, path));
        this.#attributes.apply(path, entry);
        return;
      case 'fifo':
        this.#node(entry, path, S_IFIFO);
        return;
      default:
        this.#device(entry, path);
    }
  }

  #beginFile(entry: TarEntry, path: BytePath): void {
    const size = entry.sparse?.size ?? entry.dataSize;
    this.#budget.fileSize(size);
    this.#replacing(path, () => this.#file.begin(entry, path, size));
    if (entry.dataSize > 0)
      this.#file.payload = this.#options.tar?.payload(path, entry.dataSize, entry.sparse?.segments);
  }

  #directory(entry: TarEntry, path: BytePath): void {
    const known = this.#directories.get(path);
    if (known !== undefined) {
      this.#directories.describe(known, entry);
      return;
    }
    this.#replacing(path, () => this.#tree.makeDirectory(path, 0o700));
    this.#directories.add(path, entry);
  }

  #hardLink(entry: TarEntry, path: BytePath): void {
    const named = entryPath(entry.linkPath);
    const kept = this.#aufsLinks.place(named);
    const target = kept ?? named;
    if (target === '') throw malformed(`the hard link ${printablePath(path)} has no target`);
    const existing = this.#directories.find(target);
    if (isBelowWhiteout(target)) {
      throw malformed(`the hard link ${printablePath(path)} points to the whiteout ${printablePath(target)}`);
    }
    if (existing === path) return;
    if (existing?.startsWith(`${path}/`)) {
      throw malformed(`the hard link ${printablePath(path)} takes the place of a directory with its own target`);
    }
    if (existing !== undefined && this.#directories.get(existing) !== undefined) {
      throw malformed(`the hard link ${printablePath(path)} points to a directory`);
    }
    // What that one means now: it may be replaced later.
    const lower = existing === undefined ? target : this.#lowerLinks.targetOf(existing);
    this.#lowerLinks.remove(path);
    if (existing !== undefined && lower === undefined && this.#link(existing, path)) return;
    if (kept !== undefined && lower === undefined) {
      throw malformed(
        `the hard link ${printablePath(path)} points to ${printablePath(named)}, which the layer does not have`,
      );
    }
    this.#remove(path);
    this.#lowerLinks.add(path, lower ?? existing ?? target);
  }

  /** @returns false when the target is not in this layer */
  #link(existing: BytePath, path: BytePath): boolean {
    try {
      this.#replacing(path, () => this.#tree.makeHardLink(existing, path));
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
      throw error;
    }
  }

  #device(entry: TarEntry, path: BytePath): void {
    if (entry.type === 'character' && entry.device.major === 0 && entry.device.minor === 0) {
      // Overlay and this store read that device as a whiteout, and nobody can open it: it hides what is below and shows nothing.
      this.#remove(path);
      this.#addWhiteout(path);
      this.#attributes.skipped.devices++;
    } else if (this.#options.privileged) {
      this.#node(entry, path, entry.type === 'block' ? S_IFBLK : S_IFCHR);
    } else {
      this.#remove(path);
      this.#attributes.skipped.devices++;
    }
  }

  /** A device or FIFO, left out where none can be made. */
  #node(entry: TarEntry, path: BytePath, type: number): void {
    try {
      this.#replacing(path, () => this.#tree.makeNode(path, type | 0o600, entry.device));
    } catch (error) {
      // ENOTSUP: not with native-free calls. EPERM: not by root of a user namespace, nor without CAP_MKNOD. See mknod(2).
      if (!NO_NODES.has(systemCode(error) ?? '')) throw error;
      this.#remove(path);
      this.#attributes.skipped.devices++;
      return;
    }
    this.#attributes.apply(path, entry);
  }

  /** Makes something new; what the layer had in its place goes first. Whether there is anything is only asked when making it fails. */
  #replacing(path: BytePath, make: () => void): void {
    try {
      make();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      this.#remove(path);
      make();
    }
  }

  #remove(path: BytePath): void {
    this.#options.tar?.removing(path, (file) => this.#checksums.placeOf(file));
    if (this.#directories.get(path) !== undefined) {
      this.#options.removeDirectoryTree(path);
      this.#directories.forget(path);
    } else {
      try {
        this.#tree.removeFile(path);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      }
    }
    this.#directories.forgetRedirections();
  }
}

/** Whether a component of the path is the name of a whiteout. */
function isBelowWhiteout(path: BytePath): boolean {
  return path.startsWith(WHITEOUT_PREFIX) || path.includes(`/${WHITEOUT_PREFIX}`);
}
