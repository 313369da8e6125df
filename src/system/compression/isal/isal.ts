/**
 * ISA-L, Intel's Intelligent Storage Acceleration Library, where the system has it (Debian: libisal2): it inflates gzip in about
 * three fifths of the time that Node's zlib takes, and CRC-32 in a fifth. Load it with `loadIsal` of `load-isal.ts`.
 */
export interface Isal {
  gzipInflater(): GzipInflater;
  /** CRC-32 as zlib has it. @param crc of the bytes before; 0 at the beginning */
  readonly crc32: (bytes: Uint8Array, crc: number) => number;
}

/**
 * Inflates gzip data, one member after the other, checksums and lengths checked. One call at a time.
 *
 *   feed ──► inflate, until it leaves room ──► feed … ──► memberEnded ──► nextMember ──► inflate …
 *
 * @see RFC 1952
 */
export interface GzipInflater {
  /** The next input, when all of the one before has been taken. It must not change before that has happened again. */
  feed(input: Buffer): void;
  /**
   * Fills the output as far as the input goes, on another thread. Nobody may touch either of them meanwhile.
   * @returns bytes written; room is left when there is no more input, or when a member has ended
   * @throws Error in words of the format, when the data is damaged
   */
  inflate(output: Buffer): Promise<number>;
  /** As `inflate`, on this thread: half a millisecond for half a megabyte. For what takes less time than to ask another thread. */
  inflateHere(output: Buffer): number;
  /** The first byte of the input that has not been taken yet. */
  readonly next: number | undefined;
  readonly memberEnded: boolean;
  /** What follows is to be another member. */
  nextMember(): void;
}
