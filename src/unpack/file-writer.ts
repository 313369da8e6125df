import type { BytePath } from '../syscalls/byte-path.js';
import type { FileTree } from '../syscalls/syscalls.js';
import type { EntryAttributes } from './entry-attributes.js';
import { malformed } from './malformed.js';
import type { TarEntry } from './tar-entry.js';

/** Writes the regular files of a layer, one after the other: begun with the entry, filled piece by piece, ended with the attributes. */
export class FileWriter {
  readonly #tree: FileTree;
  readonly #attributes: EntryAttributes;
  #descriptor = -1;
  #entry: TarEntry | undefined;
  #path: BytePath = '';
  #segment = 0;
  #segmentDone = 0;

  constructor(tree: FileTree, attributes: EntryAttributes) {
    this.#tree = tree;
    this.#attributes = attributes;
  }

  /** A file has been begun and not ended. */
  get isWriting(): boolean {
    return this.#entry !== undefined;
  }

  /** @param size holes included @throws `EEXIST` and nothing has happened; whatever else comes of a full or broken disk */
  begin(entry: TarEntry, path: BytePath, size: number): void {
    // The mode it will have, so that the common file needs no chmod; nobody else can reach it yet.
    this.#descriptor = this.#tree.createFile(path, entry.mode & 0o777);
    this.#entry = entry;
    this.#path = path;
    this.#segment = 0;
    this.#segmentDone = 0;
    if (entry.sparse !== undefined) this.#tree.setFileSize(this.#descriptor, size);
  }

  write(chunk: Buffer, start: number, end: number): void {
    const sparse = this.#entry?.sparse;
    if (sparse === undefined) this.#tree.writeFile(this.#descriptor, chunk, start, end - start);
    else this.#writeSegments(sparse.segments, chunk, start, end);
  }

  end(): void {
    if (this.#entry !== undefined) this.#attributes.applyToFile(this.#descriptor, this.#path, this.#entry);
    this.close();
  }

  /** Gives up the file being written, if any. */
  close(): void {
    this.#entry = undefined;
    if (this.#descriptor >= 0) this.#tree.closeFile(this.#descriptor);
    this.#descriptor = -1;
  }

  #writeSegments(
    segments: NonNullable<TarEntry['sparse']>['segments'],
    chunk: Buffer,
    start: number,
    end: number,
  ): void {
    for (let at = start; at < end; ) {
      const segment = segments[this.#segment];
      if (segment === undefined) throw malformed('a sparse file has more data than its map says');
      const length = Math.min(end - at, segment.length - this.#segmentDone);
      if (length > 0) {
        this.#tree.writeFileAt(this.#descriptor, chunk, at, length, segment.offset + this.#segmentDone);
      }
      at += length;
      this.#segmentDone += length;
      if (this.#segmentDone === segment.length) {
        this.#segment++;
        this.#segmentDone = 0;
      }
    }
  }
}
