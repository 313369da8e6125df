import { setImmediate } from 'node:timers/promises';

export interface AheadOptions {
  /** Room for one inflated piece, in bytes. */
  readonly chunkSize: number;
  /** Whether a processor is free for another thread. */
  readonly hasSpareProcessor: () => boolean;
}

/** Inflates into buffers that it is given, one call at a time. */
export interface PieceFiller {
  /** @param where this thread inflates, or another one @returns bytes written: all that there is room for, but at the end of the data */
  fill(output: Buffer, where: 'here' | 'aside'): Promise<number>;
  /** Nobody wants the rest: a call under way comes back soon. */
  stop(): void;
  close(): Promise<void>;
}

/**
 * Fills one buffer while the reader has the other, if it works ahead: they are all the memory that inflating takes, however large the layer.
 * @returns pieces that are good until the next one is asked for
 */
export async function* inflateAhead(
  filler: PieceFiller,
  { chunkSize, hasSpareProcessor }: AheadOptions,
): AsyncGenerator<Buffer, void, undefined> {
  let [ready, other] = [Buffer.allocUnsafeSlow(chunkSize), Buffer.allocUnsafeSlow(chunkSize)];
  let ahead: Promise<number> | undefined;
  try {
    for (;;) {
      let length: number;
      if (ahead === undefined) {
        // Else nobody here would have a turn before the next stored piece, and so many zeros fit into one that this takes seconds.
        await setImmediate();
        length = await filler.fill(ready, 'here');
      } else {
        length = await ahead;
        [ready, other] = [other, ready];
      }
      if (length === 0) return;
      ahead = hasSpareProcessor() ? filler.fill(other, 'aside') : undefined;
      // Its error is told when its turn comes; the reader may be done with us before that.
      ahead?.catch(() => {});
      yield ready.subarray(0, length);
    }
  } finally {
    filler.stop();
    // The other thread writes into the buffer until then.
    await ahead?.catch(() => {});
    await filler.close();
  }
}
