import * as zlib from 'node:zlib';
import type { GzipInflater, Isal } from '../isal/isal.js';
import { loadIsal } from '../isal/load-isal.js';
import { type Chunks, through } from './inflate.js';
import { malformed, truncated } from './malformed.js';

/** The first of the two bytes that tell gzip. @see RFC 1952, 2.3.1 */
const MEMBER_BEGIN = 0x1f;

/**
 * Inflates gzip data: any number of members, then zeros or nothing. With ISA-L if the system has it, else with Node's zlib, in 1.7 times the time; either works
 * ahead on another thread, so a layer keeps two cores busy: one inflates, the worker's own hashes and writes.
 * @param options of zlib: room for one inflated piece, and what may wait to be read
 * @param isal default: what the system has; null: none
 * @returns pieces that are good until the next one is asked for
 */
export function inflateGzip(
  stored: Chunks,
  options: { readonly chunkSize: number; readonly highWaterMark: number },
  isal: Isal | null = loadIsal(),
): AsyncGenerator<Buffer, void, undefined> {
  if (isal === null) return through(zlib.createGunzip(options), stored, 'gzip');
  return ahead(new GzipReader(isal.gzipInflater(), stored[Symbol.asyncIterator]()), options.chunkSize);
}

/** Fills one buffer while the reader has the other: they are all the memory that inflating takes, however large the layer. */
async function* ahead(reader: GzipReader, size: number): AsyncGenerator<Buffer, void, undefined> {
  let [idle, busy] = [Buffer.allocUnsafeSlow(size), Buffer.allocUnsafeSlow(size)];
  let filling = reader.fill(busy);
  try {
    for (;;) {
      const length = await filling;
      if (length === 0) return;
      [idle, busy] = [busy, idle];
      filling = reader.fill(busy);
      // Its error is told when its turn comes; the reader may be done with us before that.
      filling.catch(() => {});
      yield idle.subarray(0, length);
    }
  } finally {
    reader.stop();
    // The other thread writes into the buffer until then.
    await filling.catch(() => {});
    await reader.close();
  }
}

/** Puts pieces into an inflater, and knows when another is wanted. */
class GzipReader {
  readonly #inflater: GzipInflater;
  readonly #input: AsyncIterator<Buffer>;
  /** The inflater has handed out all that it can without more input. */
  #drained = true;
  #padded = false;
  #ended = false;
  #stopped = false;

  constructor(inflater: GzipInflater, input: AsyncIterator<Buffer>) {
    this.#inflater = inflater;
    this.#input = input;
  }

  /** @returns bytes written: all that there is room for, but at the end of the data */
  async fill(output: Buffer): Promise<number> {
    let filled = 0;
    // Some archives have a member for each file (eStargz): there is no asking another thread for each of those.
    let memberPassed = false;
    while (filled < output.length && !this.#ended) {
      if (this.#drained) memberPassed = (await this.#prepare()) || memberPassed;
      if (this.#padded && filled === 0) await this.#skipPadding();
      if (this.#padded || this.#ended) break;
      const room = output.subarray(filled);
      filled += await this.#inflated(() =>
        memberPassed ? this.#inflater.inflateHere(room) : this.#inflater.inflate(room),
      );
      this.#drained = filled < output.length;
    }
    return filled;
  }

  /** Nobody wants the rest. */
  stop(): void {
    this.#ended = true;
    this.#stopped = true;
  }

  async close(): Promise<void> {
    await this.#input.return?.();
  }

  /** Sees to it that there is input, and that it is a member's. @returns true when it is another member's than before */
  async #prepare(): Promise<boolean> {
    const inflater = this.#inflater;
    while (inflater.next === undefined) {
      const next = await this.#input.next();
      if (!next.done) inflater.feed(next.value);
      else if (inflater.memberEnded) this.#ended = true;
      else throw truncated('its gzip data ends too early');
      if (this.#ended) return false;
    }
    if (!inflater.memberEnded) return false;
    // Tape blocks are filled up with zeros.
    if (inflater.next === 0) this.#padded = true;
    else if (inflater.next === MEMBER_BEGIN) inflater.nextMember();
    else throw malformed('something other than gzip data follows in it');
    return true;
  }

  async #inflated(inflate: () => number | Promise<number>): Promise<number> {
    try {
      return await inflate();
    } catch (error) {
      throw malformed('its gzip data is damaged', error);
    }
  }

  /** It is read, because it counts for the digest. */
  async #skipPadding(): Promise<void> {
    while (!this.#stopped && !(await this.#input.next()).done);
    this.#ended = true;
  }
}
