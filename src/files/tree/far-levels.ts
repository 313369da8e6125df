/** What is kept of a directory on a way that is too long for all of it to be kept: what tells it from others, and where its reading goes on. */
export interface FarLevel {
  /** The halves of its inode number. */
  readonly inode: number;
  readonly inodeHigh: number;
  /** Equal for nearly all, since few file systems have others in them. */
  readonly fileSystem: string;
  /** For `OpenDirectory.cursor`. */
  readonly position: bigint;
}

const FIRST_ROOM = 256;

/** A stack of them in tables of numbers: 24 bytes for each, so that a hundred thousand levels are no more than the buffers of some files. */
export class FarLevels {
  #inodes = new Uint32Array(2 * FIRST_ROOM);
  #positions = new BigInt64Array(FIRST_ROOM);
  readonly #fileSystems: string[] = [];
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push({ inode, inodeHigh, fileSystem, position }: FarLevel): void {
    if (this.#length === this.#positions.length) this.#grow();
    const at = this.#length++;
    this.#inodes[2 * at] = inode;
    this.#inodes[2 * at + 1] = inodeHigh;
    this.#positions[at] = position;
    // The text of the level above, where that is the same, so that there is one for all.
    const above = this.#fileSystems[at - 1];
    this.#fileSystems[at] = above === fileSystem ? above : fileSystem;
  }

  pop(): FarLevel | undefined {
    if (this.#length === 0) return undefined;
    const at = --this.#length;
    return {
      inode: this.#inodes[2 * at] ?? 0,
      inodeHigh: this.#inodes[2 * at + 1] ?? 0,
      fileSystem: this.#fileSystems.pop() ?? '',
      position: this.#positions[at] ?? 0n,
    };
  }

  clear(): void {
    this.#length = 0;
    this.#fileSystems.length = 0;
  }

  #grow(): void {
    const inodes = new Uint32Array(2 * this.#inodes.length);
    inodes.set(this.#inodes);
    this.#inodes = inodes;
    const positions = new BigInt64Array(2 * this.#positions.length);
    positions.set(this.#positions);
    this.#positions = positions;
  }
}
