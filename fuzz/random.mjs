/** Numbers that look random and are the same for the same seed, so that every case can be made again. */
export class Random {
  #state;

  /** @param {number} seed @param {number} [stream] one of many independent sequences of the seed */
  constructor(seed, stream = 0) {
    this.#state = (Math.imul(seed | 0, 0x9e3779b1) ^ Math.imul((stream | 0) + 1, 0x85ebca6b)) >>> 0;
    for (let i = 0; i < 4; i++) this.#next();
  }

  /** 32 bits by Marsaglia's xorshift over a Weyl sequence. */
  #next() {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let bits = this.#state;
    bits ^= bits << 13;
    bits ^= bits >>> 17;
    bits ^= bits << 5;
    bits = Math.imul(bits ^ (bits >>> 15), 0x2c1b3c6d);
    bits = Math.imul(bits ^ (bits >>> 12), 0x297a2d39);
    return (bits ^ (bits >>> 15)) >>> 0;
  }

  /** From 0 up to, not including, `limit`. @param {number} limit */
  below(limit) {
    return limit <= 1 ? 0 : this.#next() % limit;
  }

  /** @param {number} low @param {number} high both included */
  between(low, high) {
    return low + this.below(high - low + 1);
  }

  /** @param {number} probability 0 to 1 */
  chance(probability) {
    return this.#next() < probability * 2 ** 32;
  }

  /** @template T @param {readonly T[]} items at least one @returns {T} */
  pick(items) {
    return /** @type {T} */ (items[this.below(items.length)]);
  }

  /** @param {number} length */
  bytes(length) {
    const bytes = Buffer.alloc(length);
    for (let i = 0; i < length; i++) bytes[i] = this.#next() & 0xff;
    return bytes;
  }
}
