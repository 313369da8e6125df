import { umaskTakesFromOwner } from '../base/own-files.js';
import { ENTRY_BYTES, type SpaceWatch } from '../files/space/space-watch.js';
import { readXattrs } from '../files/tree/copying/copy-attributes.js';
import { EntryCopier } from '../files/tree/copying/copy-entry.js';
import { statusOf } from '../files/tree/merged-directory.js';
import { isOverlayFormat, markNames, opaqueXattr, type WhiteoutFormat } from '../files/tree/whiteouts.js';
import type { BytePath } from '../system/syscalls/byte-path.js';
import {
  DIRECTORY,
  type FileStatus,
  type OpenDirectory,
  REGULAR_FILE,
  type TreeCalls,
} from '../system/syscalls/tree-calls.js';
import { nameOf, parentOf } from '../unpack/entry-path.js';
import type { UnpackBudget } from '../unpack/unpack-budget.js';
import type { StackView } from './stack-view.js';

/** Where a directory of the seam takes its attributes from. */
export interface AttributeSource {
  readonly view: StackView;
  readonly layer: number;
  readonly path: BytePath;
}

export interface SeamWriterOptions {
  readonly whiteouts: WhiteoutFormat;
  readonly privileged: boolean;
  readonly budget: UnpackBudget;
  readonly space: SpaceWatch;
  /** Called often; throws when the seam is not wanted any more. */
  readonly pause: () => void;
}

const OWNER_MAY_ALL = 0o700;

/** Writes the files of one seam. Its work is in proportion to what it is told to write, which the budget counts as it does for a layer. */
export class SeamWriter {
  readonly #calls: TreeCalls;
  readonly #root: OpenDirectory;
  readonly #copier: EntryCopier;
  readonly #options: SeamWriterOptions;
  readonly #givesBack = umaskTakesFromOwner();
  readonly #sourceOf: (path: BytePath) => AttributeSource;
  readonly #directories = new Map<BytePath, { source: AttributeSource; opaque: boolean }>();
  /** The directory that was written in last: most entries go where the one before went. */
  #open: { readonly path: BytePath; readonly directory: OpenDirectory } | undefined;
  #entries = 0;
  #hasWhiteouts = false;

  /** @param sourceOf what a directory looks like that the seam needs on its way to something else */
  constructor(
    calls: TreeCalls,
    target: string,
    options: SeamWriterOptions,
    sourceOf: (path: BytePath) => AttributeSource,
  ) {
    this.#calls = calls;
    this.#root = calls.openDirectory(target);
    const pause = () => {
      options.pause();
      options.space.look();
    };
    const { privileged } = options;
    this.#copier = new EntryCopier(calls, this.#root, { privileged, asIs: false, changing: false, pause });
    this.#options = options;
    this.#sourceOf = sourceOf;
  }

  get entries(): number {
    return this.#entries;
  }

  get hasWhiteouts(): boolean {
    return this.#hasWhiteouts;
  }

  /** Makes a directory and those that lead to it. @param source default: what `sourceOf` says; a later call with one has the last word */
  directory(path: BytePath, source?: AttributeSource, opaque = false): void {
    if (path === '') return;
    const known = this.#directories.get(path);
    if (known !== undefined) {
      if (source !== undefined) known.source = source;
      known.opaque ||= opaque;
      return;
    }
    const missing: BytePath[] = [];
    for (let at = path; at !== '' && !this.#directories.has(at); at = parentOf(at)) missing.push(at);
    for (const at of missing.reverse()) {
      this.#count(0);
      this.#options.budget.keep(at.length);
      this.#parentOf(at).makeDirectory(nameOf(at));
      if (this.#givesBack) this.#parentOf(at).setDirectoryMode(nameOf(at), OWNER_MAY_ALL);
      const isLast = at === path;
      this.#directories.set(at, {
        source: (isLast ? source : undefined) ?? this.#sourceOf(at),
        opaque: isLast && opaque,
      });
      this.#entries++;
    }
  }

  /** Copies one entry that is no directory. @returns false when the seam has something there already */
  copy(from: OpenDirectory, name: BytePath, status: FileStatus, layer: number, path: BytePath): boolean {
    return this.#in(path, (to, as, directory) => {
      if (this.#exists(to, as)) return false;
      this.#count(status.type === REGULAR_FILE ? Math.min(status.size, status.disk) : 0);
      this.#copier.copy({ name, as, type: status.type, from, to, path: directory, layer });
      this.#entries++;
      return true;
    });
  }

  /** Gives a file of the seam a second name. */
  link(existing: BytePath, path: BytePath): void {
    if (existing === path) return;
    this.#count(0);
    this.#in(path, (to, name) => {
      if (this.#exists(to, name)) to.removeFile(name);
      const from = parentOf(existing) === parentOf(path) ? to : this.#root.openDirectory(parentOf(existing));
      try {
        to.makeHardLink(from, nameOf(existing), name);
      } finally {
        if (from !== to) from.close();
      }
      this.#entries++;
    });
  }

  /** Says that an entry is gone. */
  whiteout(path: BytePath): void {
    this.#hasWhiteouts = true;
    this.#count(0);
    const marks = markNames(this.#options.whiteouts);
    this.#in(path, (to, name) => {
      const mark = marks === undefined ? name : marks.prefix + name;
      if (this.#exists(to, mark)) return;
      if (marks !== undefined) this.#empty(to, mark);
      else to.makeNode(mark, 0o020000, { major: 0, minor: 0 });
    });
  }

  /** Gives directories their attributes, when nothing happens in them any more. */
  finish(): void {
    this.#letGo();
    for (const [path, { source, opaque }] of this.#directories) {
      this.#step(path);
      source.view.inDirectory(source.path, source.layer, (from) => {
        const directory = this.#root.openDirectory(path);
        try {
          if (opaque) this.#makeOpaque(directory);
          const xattrs = readXattrs(from.xattrs(''));
          this.#copier.attributes.copyToEntry(directory, '', from.status(''), { hasMode: true, xattrs });
        } finally {
          directory.close();
        }
      });
    }
  }

  close(): void {
    this.#letGo();
    this.#root.close();
  }

  #makeOpaque(directory: OpenDirectory): void {
    this.#hasWhiteouts = true;
    const { whiteouts } = this.#options;
    if (!isOverlayFormat(whiteouts)) this.#empty(directory, markNames(whiteouts).opaque);
    else directory.xattrs('').set(opaqueXattr(whiteouts), Buffer.from('y'));
  }

  #empty(directory: OpenDirectory, name: BytePath): void {
    this.#calls.closeFile(directory.createFile(name, 0o600));
  }

  #exists(directory: OpenDirectory, name: BytePath): boolean {
    const status = statusOf(directory, name);
    return status !== undefined && status.type !== DIRECTORY;
  }

  /** An entry is to be made, with so many bytes of data. */
  #count(bytes: number): void {
    this.#options.pause();
    this.#options.budget.entry(bytes);
    this.#options.space.count(ENTRY_BYTES + bytes);
  }

  #step(path: BytePath): void {
    this.#options.pause();
    this.#options.budget.step(path.length);
  }

  /** Runs `use` in the seam's directory that holds `path`, made when missing. */
  #in<T>(path: BytePath, use: (parent: OpenDirectory, name: BytePath, directory: BytePath) => T): T {
    const directory = parentOf(path);
    this.directory(directory);
    return use(this.#parentOf(path), nameOf(path), directory);
  }

  /** The seam's directory that holds `path`, which has been made; open until the next one is asked for. */
  #parentOf(path: BytePath): OpenDirectory {
    const directory = parentOf(path);
    if (this.#open?.path !== directory) {
      this.#step(directory);
      this.#letGo();
      this.#open = { path: directory, directory: this.#root.openDirectory(directory) };
    }
    return this.#open.directory;
  }

  #letGo(): void {
    this.#open?.directory.close();
    this.#open = undefined;
  }
}
