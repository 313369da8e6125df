import type { BytePath } from '../syscalls/byte-path.js';
import { DIRECTORY, type FileStatus, type OpenDirectory, type TreeCalls } from '../syscalls/tree-calls.js';
import { readXattrs } from '../tree/copy-attributes.js';
import { EntryCopier } from '../tree/copy-entry.js';
import { OPAQUE_MARKER, opaqueXattr, WHITEOUT_PREFIX, type WhiteoutFormat } from '../tree/whiteouts.js';
import { nameOf, parentOf } from '../unpack/entry-path.js';
import type { StackView } from './stack-view.js';

/** Where a directory of the seam takes its attributes from. */
export interface AttributeSource {
  readonly view: StackView;
  readonly layer: number;
  readonly path: BytePath;
}

/** Writes the files of one seam. */
export class SeamWriter {
  readonly #calls: TreeCalls;
  readonly #root: OpenDirectory;
  readonly #copier: EntryCopier;
  readonly #whiteouts: WhiteoutFormat;
  readonly #sourceOf: (path: BytePath) => AttributeSource;
  readonly #directories = new Map<BytePath, { source: AttributeSource; opaque: boolean }>();
  #entries = 0;
  #hasWhiteouts = false;

  /** @param sourceOf what a directory looks like that the seam needs on its way to something else */
  constructor(
    calls: TreeCalls,
    target: string,
    options: { readonly whiteouts: WhiteoutFormat; readonly privileged: boolean },
    sourceOf: (path: BytePath) => AttributeSource,
  ) {
    this.#calls = calls;
    this.#root = calls.openDirectory(target);
    this.#copier = new EntryCopier(calls, this.#root, options.privileged, () => {});
    this.#whiteouts = options.whiteouts;
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
    this.#in(path, (parent, name) => parent.makeDirectory(name));
    this.#directories.set(path, { source: source ?? this.#sourceOf(path), opaque });
    this.#entries++;
  }

  /** Copies one entry that is no directory. @returns false when the seam has something there already */
  copy(from: OpenDirectory, name: BytePath, status: FileStatus, layer: number, path: BytePath): boolean {
    return this.#in(path, (to, toName, directory) => {
      if (toName !== name) throw new Error('a seam keeps the names of what it copies');
      if (this.#exists(to, name)) return false;
      this.#copier.copy({ name, type: status.type, from, to, path: directory, layer });
      this.#entries++;
      return true;
    });
  }

  /** Gives a file of the seam a second name. */
  link(existing: BytePath, path: BytePath): void {
    if (existing === path) return;
    this.#in(path, (to, name) => {
      if (this.#exists(to, name)) to.removeFile(name);
      this.#in(existing, (from, fromName) => to.makeHardLink(from, fromName, name));
      this.#entries++;
    });
  }

  /** Says that an entry is gone. */
  whiteout(path: BytePath): void {
    this.#hasWhiteouts = true;
    this.#in(path, (to, name) => {
      const mark = this.#whiteouts === 'plain' ? WHITEOUT_PREFIX + name : name;
      if (this.#exists(to, mark)) return;
      if (this.#whiteouts === 'plain') this.#empty(to, mark);
      else to.makeNode(mark, 0o020000, { major: 0, minor: 0 });
    });
  }

  /** Gives directories their attributes, when nothing happens in them any more. */
  finish(): void {
    for (const [path, { source, opaque }] of this.#directories) {
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
    this.#root.close();
  }

  #makeOpaque(directory: OpenDirectory): void {
    this.#hasWhiteouts = true;
    if (this.#whiteouts === 'plain') this.#empty(directory, OPAQUE_MARKER);
    else directory.xattrs('').set(opaqueXattr(this.#whiteouts), Buffer.from('y'));
  }

  #empty(directory: OpenDirectory, name: BytePath): void {
    this.#calls.closeFile(directory.createFile(name, 0o600));
  }

  #exists(directory: OpenDirectory, name: BytePath): boolean {
    return directory.list().some((entry) => entry.name === name && entry.type !== DIRECTORY);
  }

  /** Opens the seam's directory that holds `path`, made when missing, while `use` runs. */
  #in<T>(path: BytePath, use: (parent: OpenDirectory, name: BytePath, directory: BytePath) => T): T {
    const directory = parentOf(path);
    this.directory(directory);
    const parent = this.#root.openDirectory(directory);
    try {
      return use(parent, nameOf(path), directory);
    } finally {
      parent.close();
    }
  }
}
