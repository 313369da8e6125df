const FIRST_ROOM = 64 * 1024;
/** Digits of a number in base 128. 2^53 - 1 has eight of them. */
const DIGITS_MAX = 8;
const COPIED_ONE_BY_ONE = 32;

/** Writes numbers and texts one behind the other into memory that grows. */
export class ByteWriter {
  #buffer = Buffer.allocUnsafe(FIRST_ROOM);
  #length = 0;

  get length(): number {
    return this.#length;
  }
  /** What has been written, until the next write. */
  get written(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  clear(): void {
    this.#length = 0;
  }
  byte(value: number): void {
    this.#reserve(1);
    this.#buffer[this.#length++] = value;
  }
  /** @param value whole, from 0 to 2^53 - 1 */
  number(value: number): void {
    this.#reserve(DIGITS_MAX);
    let rest = value;
    while (rest >= 128) {
      this.#buffer[this.#length++] = (rest % 128) | 128;
      rest = Math.floor(rest / 128);
    }
    this.#buffer[this.#length++] = rest;
  }
  /** @param value whole, within 2^52 of 0 */
  signed(value: number): void {
    this.number(value >= 0 ? value * 2 : -value * 2 - 1);
  }
  /** @param value 32 bits */
  word(value: number): void {
    this.#reserve(4);
    this.#length = this.#buffer.writeUInt32LE(value, this.#length);
  }
  /** @param value one character per byte */
  text(value: string): void {
    this.number(value.length);
    this.#reserve(value.length);
    this.#length += this.#buffer.write(value, this.#length, value.length, 'latin1');
  }
  data(value: Uint8Array): void {
    this.number(value.length);
    this.bytes(value, 0, value.length);
  }
  /** The bytes from `start` to `end` of `source`, without their number. */
  bytes(source: Uint8Array, start: number, end: number): void {
    this.#reserve(end - start);
    // A view costs more than a few bytes do.
    if (end - start > COPIED_ONE_BY_ONE) this.#buffer.set(source.subarray(start, end), this.#length);
    else for (let at = start; at < end; at++) this.#buffer[this.#length + at - start] = source[at] as number;
    this.#length += end - start;
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#length + bytes));
    this.#buffer.copy(larger, 0, 0, this.#length);
    this.#buffer = larger;
  }
}

/** Reads what a `ByteWriter` wrote. @throws RangeError where the bytes end too early or make no sense */
export class ByteReader {
  readonly #buffer: Buffer;
  #at = 0;

  constructor(buffer: Buffer) {
    this.#buffer = buffer;
  }

  get atEnd(): boolean {
    return this.#at >= this.#buffer.length;
  }

  byte(): number {
    const value = this.#buffer[this.#at++];
    if (value === undefined) throw new RangeError('the bytes end too early');
    return value;
  }
  number(): number {
    let value = 0;
    let scale = 1;
    for (let digits = 0; digits < DIGITS_MAX; digits++) {
      const digit = this.byte();
      value += (digit & 127) * scale;
      if (digit < 128) return value;
      scale *= 128;
    }
    throw new RangeError('a number has too many digits');
  }
  signed(): number {
    const value = this.number();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }
  word(): number {
    return this.take(4).readUInt32LE();
  }
  text(): string {
    return this.take(this.number()).toString('latin1');
  }
  data(): Buffer {
    return Buffer.from(this.take(this.number()));
  }

  /** The next bytes; a view of the reader's own. */
  take(length: number): Buffer {
    const end = this.#at + length;
    if (end > this.#buffer.length) throw new RangeError('the bytes end too early');
    const taken = this.#buffer.subarray(this.#at, end);
    this.#at = end;
    return taken;
  }
}
