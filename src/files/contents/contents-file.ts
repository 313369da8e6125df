import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { systemCode } from '../../base/errors.js';
import { layerContents } from '../../paths.js';
import { Totals, type TreeEntry, type TreeTotals, type TreeVisitor } from './contents.js';
import { decodeEntries, EntryEncoder } from './entry-codec.js';
import { BLOCK_SIZE, RecordFileReader, RecordFileWriter } from './record-file.js';

/** The contents record of a layer: what its files were like when it was complete. Its blocks hold entries, see `entry-codec.ts`. */
const MAGIC = Buffer.from('provisioner contents 1\n');

/** What stands beside a layer's files and belongs to it. */
export interface BesideFiles {
  /** SHA-256 of the file that says what the layer says about those below, in hex; null where there is none. */
  readonly stacking: string | null;
  /** The checksum of the layer's tar record, in hex; null where there is none. */
  readonly tar: string | null;
}

/** The record's last part. */
export interface ContentsSummary extends TreeTotals, BesideFiles {}

export class ContentsWriter implements TreeVisitor {
  readonly totals = new Totals();
  readonly #file: RecordFileWriter;
  readonly #encoder = new EntryEncoder();

  /** @throws like Node's `fs` */
  constructor(layerDirectory: string) {
    this.#file = new RecordFileWriter(layerContents(layerDirectory), MAGIC);
  }

  enter(directory: TreeEntry): void {
    this.entry(directory);
  }
  entry(entry: TreeEntry): void {
    this.totals.add(entry);
    this.#encoder.entry(entry);
    if (this.#encoder.bytes.length >= BLOCK_SIZE) this.#endBlock();
  }
  leave(): void {
    this.#encoder.leave();
  }

  finish({ stacking, tar }: BesideFiles): void {
    this.#endBlock();
    const { entries, size } = this.totals;
    const summary: ContentsSummary = { entries, size, stacking, tar };
    this.#file.finish(summary);
  }

  close(): void {
    this.#file.close();
  }

  #endBlock(): void {
    const { written } = this.#encoder.bytes;
    if (written.length === 0) return;
    this.#file.block(written);
    this.#encoder.reset();
  }
}

/** A record whose checksum has been found right. Close it. */
export class ContentsReader {
  readonly summary: ContentsSummary;
  readonly #file: RecordFileReader;

  /**
   * Opens a layer's record and checks all of it.
   * @throws RecordFileError; else like Node's `fs`
   */
  static open(layerDirectory: string): ContentsReader {
    return new ContentsReader(RecordFileReader.open(layerContents(layerDirectory), MAGIC));
  }

  private constructor(file: RecordFileReader) {
    this.#file = file;
    // Those of before store format 2 do not know of tar records.
    const { entries, size, stacking, tar = null } = file.summary as ContentsSummary;
    this.summary = { entries, size, stacking, tar };
  }

  /** Goes through all entries. @param pause called between blocks of some thousands; may throw */
  read(visitor: TreeVisitor, pause: () => void): void {
    for (const block of this.#file.blocks()) {
      pause();
      decodeEntries(block, visitor);
    }
  }

  close(): void {
    this.#file.close();
  }
}

/** SHA-256 of a small file, in hex; null where there is none. */
export function digestOfFile(path: string): string | null {
  try {
    return createHash('sha256').update(readFileSync(path)).digest('hex');
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return null;
    throw error;
  }
}
