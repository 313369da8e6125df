/** What identifies a file within its file system: the halves of its inode number. */
export interface Inode {
  readonly inode: number;
  readonly inodeHigh: number;
}

const FIRST_SLOTS = 1024;
/** 32 MiB, and 48 while they are being filled. */
const MOST_SLOTS = 2 ** 22;

/** A set of inodes that takes 32 MiB at most: a container can have more files than an agent has memory. */
export class InodeSet {
  #slots = new Uint32Array(2 * FIRST_SLOTS);
  #size = 0;

  /** @returns whether it is there already; undefined when it is not, and there is no room for more */
  add({ inode, inodeHigh }: Inode): boolean | undefined {
    const at = this.#find(inode, inodeHigh);
    if (!this.#isFree(at)) return true;
    const slots = this.#slots.length / 2;
    if (this.#size * 4 >= slots * 3) {
      if (slots === MOST_SLOTS) return undefined;
      this.#grow();
      return this.add({ inode, inodeHigh });
    }
    this.#slots[at] = inode;
    this.#slots[at + 1] = inodeHigh;
    this.#size++;
    return false;
  }

  /** No inode has the number 0. */
  #isFree(at: number): boolean {
    return this.#slots[at] === 0 && this.#slots[at + 1] === 0;
  }

  /** Where an inode is, or the free slot where it would go. */
  #find(inode: number, inodeHigh: number): number {
    const slots = this.#slots;
    const last = slots.length / 2 - 1;
    // Numbers that follow each other land in slots that follow each other.
    for (let slot = (inode + Math.imul(inodeHigh, 0x9e3779b1)) & last; ; slot = (slot + 1) & last) {
      const at = 2 * slot;
      if (this.#isFree(at) || (slots[at] === inode && slots[at + 1] === inodeHigh)) return at;
    }
  }

  #grow(): void {
    const old = this.#slots;
    this.#slots = new Uint32Array(2 * old.length);
    for (let at = 0; at < old.length; at += 2) {
      const [inode = 0, inodeHigh = 0] = [old[at], old[at + 1]];
      if (inode === 0 && inodeHigh === 0) continue;
      const to = this.#find(inode, inodeHigh);
      this.#slots[to] = inode;
      this.#slots[to + 1] = inodeHigh;
    }
  }
}
