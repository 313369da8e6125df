import { malformed } from '../base/malformed.js';
import { FileChecksum } from '../files/contents/file-checksum.js';
import type { InodeNumbers } from '../files/contents/inode-numbers.js';
import type { BytePath } from '../system/syscalls/byte-path.js';
import type { FileTree } from '../system/syscalls/syscalls.js';
import type { TarEntry } from '../system/tar/tar-entry.js';
import type { EntryAttributes } from './entry-attributes.js';

/**
 * Writes the regular files of a layer, one after the other: begun with the entry, filled piece by piece, ended with the attributes. The content's checksum is
 * taken as the pieces pass by.
 */
export class FileWriter {
  readonly #tree: FileTree;
  readonly #attributes: EntryAttributes;
  readonly #checksums: InodeNumbers;
  readonly #checksum = new FileChecksum();
  #descriptor = -1;
  #entry: TarEntry | undefined;
  #path: BytePath = '';
  #size = 0;
  #segment = 0;
  #segmentDone = 0;
  /** Which of the archive's payloads it is; to be set when it has been begun. */
  payload: number | undefined;

  /** @param checksums gets those of all files that are not empty; its places are one more than their payload, and 0 for a file that is none */
  constructor(tree: FileTree, attributes: EntryAttributes, checksums: InodeNumbers) {
    this.#tree = tree;
    this.#attributes = attributes;
    this.#checksums = checksums;
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
    this.#size = size;
    this.payload = undefined;
    this.#checksum.reset();
    this.#segment = 0;
    this.#segmentDone = 0;
    if (entry.sparse !== undefined) this.#tree.setFileSize(this.#descriptor, size);
  }

  write(chunk: Buffer, start: number, end: number): void {
    const sparse = this.#entry?.sparse;
    if (sparse !== undefined) {
      this.#writeSegments(sparse.segments, chunk, start, end);
      return;
    }
    // One view for both: a million of them would be felt.
    const piece = chunk.subarray(start, end);
    this.#tree.writeFile(this.#descriptor, piece, 0, piece.length);
    this.#checksum.update(piece);
  }

  end(): void {
    if (this.#entry !== undefined) {
      this.#attributes.applyToFile(this.#descriptor, this.#path, this.#entry);
      if (this.#size > 0)
        this.#checksums.set(
          this.#tree.fileInode(this.#descriptor),
          this.#checksum.value(this.#size),
          this.payload === undefined ? 0 : this.payload + 1,
        );
    }
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
        const position = segment.offset + this.#segmentDone;
        this.#tree.writeFileAt(this.#descriptor, chunk, at, length, position);
        this.#checksum.update(chunk.subarray(at, at + length), position);
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
