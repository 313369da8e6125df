/**
 * The system's libzstd (every Debian has it: libzstd1), the reference decoder. It inflates in an eighth of the time that the decoder in JavaScript takes, and
 * refuses at once what makes that one go round for ever. Load it with `loadZstd` of `load-zstd.ts`.
 */
export interface Zstd {
  /** @param window of the largest frame that it is to inflate, in bytes */
  frameInflater(window: number): FrameInflater;
}

/**
 * Inflates frames that were taken apart before, one after the other, checksums checked. One call at a time.
 *
 *   feed ──► inflate, until it leaves room ──► feed … ──► frameEnded ──► feed the next one …
 *
 * @see RFC 8878; zstd.h of zstd 1.5, "Streaming decompression"
 */
export interface FrameInflater {
  /** The largest window, in bytes. */
  readonly window: number;
  /** The next input, when all of the one before has been taken. It must not change before that has happened again. */
  feed(input: Buffer): void;
  /**
   * Fills the output as far as the input goes, on another thread. Nobody may touch either of them meanwhile.
   * @returns bytes written; room is left when there is no more input
   * @throws Error in words of the format, when the data is damaged
   */
  inflate(output: Buffer): Promise<number>;
  /** As `inflate`, on this thread. */
  inflateHere(output: Buffer): number;
  /** Nothing of a frame is left to be inflated. */
  readonly frameEnded: boolean;
  /** Gives its memory back. */
  close(): void;
}
