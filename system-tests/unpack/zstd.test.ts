import { createHash } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { inflateZstd, nodeHasZstd, type ZstdDecoder } from '#src/system/compression/inflate-zstd.js';
import { inflateZstdInJavaScript } from '#src/system/compression/inflate-zstd-in-javascript.js';
import { takeFreely } from '#src/system/compression/window-memory.js';
import { loadZstd } from '#src/system/compression/zstd/load-zstd.js';
import type { Zstd } from '#src/system/compression/zstd/zstd.js';
import { zstdFrames } from '#src/system/compression/zstd-frames.js';
import { describeZstd } from '../../native-free-tests/contracts/zstd.js';
import { inPieces, text } from '../../native-free-tests/helpers/pieces.js';
import {
  ENDLESS,
  endlessCopies,
  REAL_FRAME,
  SKIPPABLE,
  zstdCommand,
} from '../../native-free-tests/helpers/zstd-samples.js';

/** @param hasSpareProcessor default: every other time */
function options(hasSpareProcessor = everyOtherTime(), takeMemory = takeFreely) {
  return { chunkSize: 1 << 19, highWaterMark: 1 << 20, hasSpareProcessor, takeMemory };
}

function everyOtherTime(): () => boolean {
  let asked = 0;
  return () => asked++ % 2 === 0;
}

/** It is among the packages that the tests install. */
function libzstd(): Zstd {
  const loaded = loadZstd();
  if (loaded === null) throw new Error('libzstd is not installed');
  return loaded;
}

describeZstd('libzstd on another thread', (pieces, takeMemory) =>
  inflateZstd(
    pieces,
    options(() => true, takeMemory),
    libzstd(),
  ),
);
describeZstd('libzstd on the same thread', (pieces, takeMemory) =>
  inflateZstd(
    pieces,
    options(() => false, takeMemory),
    libzstd(),
  ),
);
describeZstd('libzstd on either thread in turn', (pieces, takeMemory) =>
  inflateZstd(pieces, options(undefined, takeMemory), libzstd()),
);

/** What comes of it: the digest of what it inflates to, or that it is refused. Damage may look like an early end to one, and like nonsense to the other. */
async function verdict(stored: Buffer, size: number, by: ZstdDecoder): Promise<string> {
  const hash = createHash('sha256');
  const pieces = inPieces(stored, size);
  const inflating =
    by === 'javascript'
      ? inflateZstdInJavaScript(zstdFrames(pieces), takeFreely, 2000)
      : inflateZstd(pieces, options(), by);
  try {
    for await (const chunk of inflating) hash.update(chunk);
    return hash.digest('hex');
  } catch (error) {
    expect((error as { code: string }).code).toMatch(/^ERR_(LAYER_(MALFORMED|TRUNCATED)|LIMIT_EXCEEDED)$/);
    return 'refused';
  }
}

/** The same numbers in every run. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

describe('libzstd', () => {
  it('takes and refuses the same data as the other decoders', async () => {
    const random = numbers(11);
    // With checksums: without, damage that one decoder sees and another takes for data is for the diff ID to find.
    const originals = [
      REAL_FRAME,
      ...['-1', '-19', '--fast=3'].map((level) => zstdCommand(text.subarray(0, 20_000), level, '--check')),
    ];
    const others: readonly ZstdDecoder[] = ['javascript', ...(nodeHasZstd ? (['node'] as const) : [])];
    const tally = { inflated: 0, refused: 0 };
    for (let round = 0; round < 300; round++) {
      let blob = Buffer.concat([
        originals[random(4)] as Buffer,
        ...(round % 3 === 0 ? [SKIPPABLE[random(2)] as Buffer, originals[random(4)] as Buffer] : []),
      ]);
      for (let change = random(3); change > 0; change--) {
        blob[random(3) === 0 ? random(20) : random(blob.length)] = random(256);
      }
      if (random(5) === 0) blob = blob.subarray(0, random(blob.length));
      // A flag that there is no checksum, which lets other damage through.
      if (((blob[4] ?? 0) & 4) === 0) continue;
      const size = [1 << 20, 997, 61][random(3)] as number;
      const found = await verdict(blob, size, libzstd());
      for (const other of others) expect(await verdict(blob, size, other), `round ${round}, ${other}`).toBe(found);
      tally[found === 'refused' ? 'refused' : 'inflated']++;
    }
    expect(Math.min(tally.inflated, tally.refused)).toBeGreaterThan(40);
  });

  it('refuses at once what makes the decoder in JavaScript go round', async () => {
    const started = performance.now();
    for (const blob of [ENDLESS, endlessCopies()]) expect(await verdict(blob, 1 << 20, libzstd())).toBe('refused');
    expect(performance.now() - started).toBeLessThan(1000);
  });

  it('does not outlive a thread that is ended while it inflates', async () => {
    const program = fileURLToPath(new URL('./zstd-for-ever.mjs', import.meta.url));
    for (let round = 0; round < 15; round++) {
      const worker = new Worker(program);
      await new Promise((resolve) => worker.once('message', resolve));
      await new Promise((resolve) => setTimeout(resolve, round));
      expect(await worker.terminate()).toBe(1);
    }
  });
});
