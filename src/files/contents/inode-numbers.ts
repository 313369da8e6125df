import type { Inode } from '../tree/inode-set.js';

const FIRST_ROOM = 1024;
/** Words of a slot: low and high half of the inode number, the number kept for it, and one more than its place; 0 for a free slot. */
const WORDS = 4;

/**
 * A number of 32 bits for each of some inodes: the checksums of the files of one layer from the moment that they are written until the record is, or which of its
 * files with several names it is; and a place, such as which of the archive's files it was. A table of numbers, because a layer may have two million files: 32 to
 * 64 bytes for each, where a map of paths could take kilobytes.
 */
export class InodeNumbers {
  #slots = new Uint32Array(FIRST_ROOM * WORDS);
  #size = 0;

  /** The last word about an inode counts: its number may have been that of a file which was removed. @param place below 2^32 - 1 */
  set({ inode, inodeHigh }: Inode, number: number, place = 0): void {
    if (this.#size * 2 >= this.#slots.length / WORDS) this.#grow();
    const at = this.#find(inode, inodeHigh);
    if (this.#slots[at + 3] === 0) this.#size++;
    this.#put(at, inode, inodeHigh, number, place);
  }

  get({ inode, inodeHigh }: Inode): number | undefined {
    const at = this.#find(inode, inodeHigh);
    return this.#slots[at + 3] === 0 ? undefined : this.#slots[at + 2];
  }

  placeOf({ inode, inodeHigh }: Inode): number | undefined {
    const used = this.#slots[this.#find(inode, inodeHigh) + 3] as number;
    return used === 0 ? undefined : used - 1;
  }

  #put(at: number, inode: number, inodeHigh: number, number: number, place: number): void {
    this.#slots[at] = inode;
    this.#slots[at + 1] = inodeHigh;
    this.#slots[at + 2] = number;
    this.#slots[at + 3] = place + 1;
  }

  /** The slot of an inode, or the free one where it would go. */
  #find(inode: number, inodeHigh: number): number {
    const slots = this.#slots;
    const last = slots.length / WORDS - 1;
    // Numbers that follow each other, as those of new files do, land in slots that follow each other.
    for (let slot = (inode + Math.imul(inodeHigh, 0x9e3779b1)) & last; ; slot = (slot + 1) & last) {
      const at = slot * WORDS;
      if (slots[at + 3] === 0 || (slots[at] === inode && slots[at + 1] === inodeHigh)) return at;
    }
  }

  #grow(): void {
    const old = this.#slots;
    this.#slots = new Uint32Array(old.length * 2);
    for (let at = 0; at < old.length; at += WORDS) {
      if (old[at + 3] === 0) continue;
      const [inode, inodeHigh, number] = [old[at] as number, old[at + 1] as number, old[at + 2] as number];
      this.#put(this.#find(inode, inodeHigh), inode, inodeHigh, number, (old[at + 3] as number) - 1);
    }
  }
}
