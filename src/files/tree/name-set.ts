import { randomInt } from 'node:crypto';
import type { BytePath } from '../../system/syscalls/byte-path.js';

const FIRST_SLOTS = 16;
/** Two starting values that nobody outside can know: else an image could be made of names that are taken for one another. */
const [SEED, OTHER_SEED] = [randomInt(2 ** 32), randomInt(2 ** 32)];

/**
 * A set of names by 64 bits of each, in a table of numbers: 11 to 22 bytes for a name, where a set of texts takes up to 300. Two names of a million are taken for
 * one another once in thirty million times.
 */
export class NameSet {
  #slots = new Uint32Array(2 * FIRST_SLOTS);
  #size = 0;

  add(name: BytePath): void {
    const [one, other] = hash(name);
    this.#put(one, other);
  }

  addAll(others: NameSet): void {
    const slots = others.#slots;
    for (let at = 0; at < slots.length; at += 2) {
      const [one = 0, other = 0] = [slots[at], slots[at + 1]];
      if (one !== 0 || other !== 0) this.#put(one, other);
    }
  }

  #put(one: number, other: number): void {
    if (this.#size * 8 >= this.#slots.length * 3) this.#grow();
    const at = this.#find(one, other);
    if (this.#slots[at] !== 0 || this.#slots[at + 1] !== 0) return;
    this.#slots[at] = one;
    this.#slots[at + 1] = other;
    this.#size++;
  }

  has(name: BytePath): boolean {
    const [one, other] = hash(name);
    const at = this.#find(one, other);
    return this.#slots[at] !== 0 || this.#slots[at + 1] !== 0;
  }

  /** Where a name is, or the free slot where it would go. */
  #find(one: number, other: number): number {
    const slots = this.#slots;
    const last = slots.length / 2 - 1;
    for (let slot = one & last; ; slot = (slot + 1) & last) {
      const at = 2 * slot;
      if ((slots[at] === 0 && slots[at + 1] === 0) || (slots[at] === one && slots[at + 1] === other)) return at;
    }
  }

  #grow(): void {
    const old = this.#slots;
    this.#slots = new Uint32Array(2 * old.length);
    for (let at = 0; at < old.length; at += 2) {
      const [one = 0, other = 0] = [old[at], old[at + 1]];
      if (one === 0 && other === 0) continue;
      const to = this.#find(one, other);
      this.#slots[to] = one;
      this.#slots[to + 1] = other;
    }
  }
}

/** Two sums of 32 bits over the bytes of a name; never both 0. @see Murmur hash, version 3, for how each is mixed in the end */
function hash(name: BytePath): readonly [number, number] {
  let one = SEED;
  let other = OTHER_SEED;
  for (let at = 0; at < name.length; at++) {
    const byte = name.charCodeAt(at) + 1;
    one = Math.imul(one ^ byte, 0x85ebca6b);
    one ^= one >>> 15;
    other = Math.imul(other ^ byte, 0xc2b2ae35);
    other ^= other >>> 13;
  }
  return [mixed(one) || 1, mixed(other)];
}

function mixed(value: number): number {
  const half = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  return (half ^ (half >>> 13)) >>> 0;
}
