import type { Pace } from './pace.js';

/**
 * Bytes in a piece. A socket gives some 64 KiB at a time, and inflating takes a turn of the thread for each piece: with such small ones a pull of 650 MB took a quarter more
 * time.
 */
const PIECE_SIZE = 512 * 1024;
/** Pieces that wait for the reader: what arrives while a worker writes files. */
const PIECES_AHEAD = 2;
/** A piece that has been filling for so long, in milliseconds, is handed on as it is: a slow connection shows its progress. */
const PATIENCE = 50;

/** Where a body comes from. */
export interface BodySource {
  pause(): void;
  resume(): void;
  abort(reason: Error): void;
}

/**
 * The body of an answer, on its way: put together to pieces, some of them ahead of whoever reads. What has arrived when the connection breaks is handed on
 * before the error is thrown.
 */
export class ResponseBody implements AsyncIterable<Buffer> {
  readonly #source: BodySource;
  readonly #pieceSize: number;
  readonly #ready: Buffer[] = [];
  #piece: Buffer = Buffer.alloc(0);
  #filled = 0;
  #begun = 0;
  /** Memory of pieces that are done with: new memory for each made V8 collect garbage for 3 % of the time of a pull. */
  readonly #spare: ArrayBufferLike[] = [];
  #paused = false;
  #end: { readonly error?: unknown } | undefined;
  #wake: () => void = () => {};

  /** @param length bytes, where they are stated */
  constructor(source: BodySource, length: number | undefined) {
    this.#source = source;
    this.#pieceSize = Math.min(length || PIECE_SIZE, PIECE_SIZE);
  }

  /** Takes a copy: the memory of a chunk is that of its socket. */
  add(chunk: Buffer): void {
    for (let at = 0; at < chunk.length; ) {
      if (this.#filled === 0) this.#begin();
      const copied = chunk.copy(this.#piece, this.#filled, at);
      at += copied;
      this.#filled += copied;
      if (this.#filled === this.#piece.length) this.#handOn();
    }
    if (this.#filled > 0 && performance.now() - this.#begun >= PATIENCE) this.#handOn();
    if (this.#ready.length >= PIECES_AHEAD && !this.#paused) {
      this.#paused = true;
      this.#source.pause();
    }
  }

  /** @param outcome with the error, if it ended before its end */
  end(outcome: { readonly error?: unknown } = {}): void {
    if (this.#end !== undefined) return;
    if (this.#filled > 0) this.#handOn();
    this.#end = outcome;
    this.#wake();
  }

  /** Nobody wants the rest: unless it has all come, the connection is closed. */
  destroy(): void {
    if (this.#end !== undefined) return;
    const error = new Error('nobody wants the rest of it');
    this.end({ error });
    this.#source.abort(error);
  }

  /** The start of it, of a length that can be kept in memory. The rest is not waited for. @param limit bytes, at most @throws TooSlow */
  async start(limit: number, pace: Pace): Promise<Buffer> {
    const pieces: Buffer[] = [];
    let length = 0;
    for await (const piece of pace.of(this)) {
      pieces.push(Buffer.from(piece));
      length += piece.length;
      if (length >= limit) break;
    }
    return Buffer.concat(pieces, Math.min(length, limit));
  }

  /** To be read once. @returns pieces that are good until the next one is asked for */
  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void, undefined> {
    try {
      for (;;) {
        const piece = this.#ready.shift();
        if (piece !== undefined) {
          if (this.#paused) this.#resume();
          yield piece;
          this.#spare.push(piece.buffer);
        } else if (this.#end === undefined) {
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
        } else if (this.#end.error !== undefined) {
          throw this.#end.error;
        } else {
          return;
        }
      }
    } finally {
      this.destroy();
    }
  }

  #begin(): void {
    const spare = this.#spare.pop();
    this.#piece = spare === undefined ? Buffer.allocUnsafeSlow(this.#pieceSize) : Buffer.from(spare);
    this.#begun = performance.now();
  }

  #handOn(): void {
    this.#ready.push(this.#piece.subarray(0, this.#filled));
    this.#filled = 0;
    this.#wake();
  }

  #resume(): void {
    this.#paused = false;
    this.#source.resume();
  }
}
