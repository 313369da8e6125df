import type { Readable } from 'node:stream';

/**
 * Bytes in a piece. A socket gives 64 KiB at most, and inflating takes a turn of the thread for each piece: with such small ones a pull of 650 MB took 13.5 s,
 * and 11 s with these.
 */
const PIECE_SIZE = 512 * 1024;
/** Pieces that wait for the reader: what arrives while a worker writes files. */
const PIECES_AHEAD = 2;
/** A piece that has been filling for so long, in milliseconds, is handed on as it is: a slow connection shows its progress. */
const PATIENCE = 50;

/** Puts what comes from a socket together, up to a size that is known. */
export class BlobPieces {
  /** Bytes that are still to come. */
  #missing: number;
  /** Bytes to drop before them. */
  #skip: number;
  #piece: Buffer = Buffer.alloc(0);
  #filled = 0;
  #begun = 0;
  /** Memory of pieces that are done with: new memory for each made V8 collect garbage for 3 % of the time of a pull. */
  readonly #spare: ArrayBufferLike[] = [];
  #surplus = false;

  /** @param size bytes in all, without those to drop @param skip bytes to drop before them */
  constructor(size: number, skip = 0) {
    this.#missing = size;
    this.#skip = skip;
  }

  /** More has come than there should be; it was dropped. */
  get surplus(): boolean {
    return this.#surplus;
  }

  /** Takes a copy. @returns the pieces that it completes */
  *add(chunk: Buffer): Generator<Buffer, void, undefined> {
    const dropped = Math.min(this.#skip, chunk.length);
    this.#skip -= dropped;
    for (let at = dropped; at < chunk.length; ) {
      if (this.#missing === 0) {
        this.#surplus = true;
        return;
      }
      if (this.#filled === 0) this.#begin();
      const copied = chunk.copy(this.#piece, this.#filled, at, at + this.#missing);
      at += copied;
      this.#filled += copied;
      this.#missing -= copied;
      if (this.#filled === this.#piece.length || this.#missing === 0) yield this.take();
    }
  }

  /** Whether a piece has waited too long for the rest of it. */
  get overdue(): boolean {
    return this.#filled > 0 && performance.now() - this.#begun >= PATIENCE;
  }

  /** What is there of the piece that was begun; it may be empty. */
  take(): Buffer {
    const piece = this.#piece.subarray(0, this.#filled);
    this.#filled = 0;
    return piece;
  }

  /** Nobody needs this piece any more; another one will come to lie there. */
  recycle(piece: Buffer): void {
    if (piece.buffer.byteLength === PIECE_SIZE) this.#spare.push(piece.buffer);
  }

  #begin(): void {
    const spare = this.#spare.pop();
    this.#piece =
      spare === undefined ? Buffer.allocUnsafeSlow(Math.min(PIECE_SIZE, this.#missing)) : Buffer.from(spare);
    this.#begun = performance.now();
  }
}

/**
 * Reads a body ahead of whoever takes the pieces. What has arrived when the connection breaks is handed on before the error is thrown, which reading the
 * stream itself would not do: it drops what it holds.
 * @returns pieces that are good until the next one is asked for
 */
export async function* readPieces(body: Readable, pieces: BlobPieces): AsyncGenerator<Buffer, void, undefined> {
  const ready: Buffer[] = [];
  let wake: () => void = () => {};
  let end: { readonly error?: unknown } | undefined;
  const finish = (outcome: { readonly error?: unknown }) => {
    end ??= outcome;
    wake();
  };
  body.on('data', (chunk: Buffer) => {
    ready.push(...pieces.add(chunk));
    if (pieces.overdue) ready.push(pieces.take());
    if (pieces.surplus) finish({});
    if (ready.length >= PIECES_AHEAD) body.pause();
    wake();
  });
  body.on('end', () => finish({}));
  body.on('error', (error) => finish({ error }));
  body.on('close', () => finish({ error: new Error('the connection was closed') }));
  for (;;) {
    const piece = ready.shift();
    if (piece !== undefined) {
      if (body.isPaused()) body.resume();
      yield piece;
      pieces.recycle(piece);
    } else if (end === undefined) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    } else {
      const rest = pieces.take();
      if (rest.length > 0) yield rest;
      if (end.error !== undefined) throw end.error;
      return;
    }
  }
}
