import type { FileHandle } from 'node:fs/promises';
import type { SparseMap } from './sparse.js';

/** Reads a sparse file whose data lies in another file, piece after piece, from its first byte to its last; holes are zeros. */
export class SparseReader {
  readonly #file: FileHandle;
  readonly #map: SparseMap;
  /** Where the next stored byte lies. */
  #stored: number;
  #position = 0;
  #segment = 0;

  /** @param offset of the first stored byte */
  constructor(file: FileHandle, offset: number, map: SparseMap) {
    this.#file = file;
    this.#stored = offset;
    this.#map = map;
  }

  /** @returns bytes read; fewer than there is room for at the end, or before a piece of data, and none where that is cut */
  async read(buffer: Buffer): Promise<number> {
    const { size, segments } = this.#map;
    let segment = segments[this.#segment];
    while (segment !== undefined && this.#position === segment.offset + segment.length)
      segment = segments[++this.#segment];
    const wanted = Math.min(buffer.length, size - this.#position);
    if (segment === undefined || this.#position < segment.offset) {
      const hole = Math.min(wanted, (segment?.offset ?? size) - this.#position);
      buffer.fill(0, 0, hole);
      this.#position += hole;
      return hole;
    }
    const length = Math.min(wanted, segment.offset + segment.length - this.#position);
    const { bytesRead } = await this.#file.read(buffer, 0, length, this.#stored);
    this.#stored += bytesRead;
    this.#position += bytesRead;
    return bytesRead;
  }
}
