import { createHash } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { constants, crc32, deflateRawSync, gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { crc32OfZeros } from '#src/files/contents/crc32.js';
import { inflateGzip } from '#src/system/compression/inflate-gzip.js';
import type { Isal } from '#src/system/compression/isal/isal.js';
import { loadIsal } from '#src/system/compression/isal/load-isal.js';
import { describeGzip } from '../../native-free-tests/contracts/gzip.js';
import { inPieces, text } from '../../native-free-tests/helpers/pieces.js';

/** @param hasSpareProcessor default: every other time */
function options(hasSpareProcessor = everyOtherTime()) {
  return { chunkSize: 1 << 19, highWaterMark: 1 << 20, hasSpareProcessor };
}

function everyOtherTime(): () => boolean {
  let asked = 0;
  return () => asked++ % 2 === 0;
}

describeGzip('ISA-L on another thread', (pieces) =>
  inflateGzip(
    pieces,
    options(() => true),
    isal(),
  ),
);
describeGzip('ISA-L on the same thread', (pieces) =>
  inflateGzip(
    pieces,
    options(() => false),
    isal(),
  ),
);
describeGzip('ISA-L on either thread in turn', (pieces) => inflateGzip(pieces, options(), isal()));

/** It is among the packages that the tests install. */
function isal(): Isal {
  const loaded = loadIsal();
  if (loaded === null) throw new Error('ISA-L is not installed');
  return loaded;
}

/** What comes of it: the digest of what it inflates to, or that it is refused. Damage may look like an early end to one, and like nonsense to the other. */
async function verdict(stored: Buffer, size: number, by: Isal | null): Promise<string> {
  const hash = createHash('sha256');
  try {
    for await (const chunk of inflateGzip(inPieces(stored, size), options(), by)) hash.update(chunk);
    return hash.digest('hex');
  } catch (error) {
    expect((error as { code: string }).code).toMatch(/^ERR_LAYER_(MALFORMED|TRUNCATED)$/);
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

describe('ISA-L', () => {
  it('takes and refuses the same data as zlib', async () => {
    const random = numbers(7);
    const original = [1, 6, 9].map((level) => gzipSync(text.subarray(0, 20_000), { level }));
    const tally = { inflated: 0, refused: 0 };
    for (let round = 0; round < 800; round++) {
      let blob = Buffer.concat([
        original[random(3)] as Buffer,
        round % 3 === 0 ? (original[random(3)] as Buffer) : Buffer.alloc(0),
      ]);
      for (let change = random(3); change > 0; change--) {
        // The four bytes of time, and the two about the writer, mean nothing: changes there are taken by both.
        const at = random(2) === 0 ? random(40) : random(blob.length);
        // zlib refuses the flags that are reserved, ISA-L passes over them.
        blob[at] = at === 3 ? random(32) : random(256);
      }
      if (random(5) === 0) blob = blob.subarray(0, random(blob.length));
      const size = [1 << 20, 997, 61][random(3)] as number;
      // A head that is no longer gzip's is not given to either.
      if (blob[0] !== 0x1f || blob[1] !== 0x8b) continue;
      const [fast, slow] = [await verdict(blob, size, isal()), await verdict(blob, size, null)];
      expect(fast, `round ${round}`).toBe(slow);
      tally[fast === 'refused' ? 'refused' : 'inflated']++;
    }
    expect(Math.min(tally.inflated, tally.refused)).toBeGreaterThan(60);
  });

  it('inflates more than 4 GiB, beyond which its counters begin anew', async () => {
    const size = 2 ** 32 + 2 ** 26;
    const part = deflateRawSync(Buffer.alloc(2 ** 26), { level: 1, finishFlush: constants.Z_FULL_FLUSH });
    const trailer = Buffer.alloc(8);
    trailer.writeUInt32LE(crc32OfZeros(0, size));
    trailer.writeUInt32LE(size % 2 ** 32, 4);
    const stored = Buffer.concat([
      gzipSync('').subarray(0, 10),
      ...Array<Buffer>(size / 2 ** 26).fill(part),
      deflateRawSync(''),
      trailer,
    ]);
    let length = 0;
    for await (const chunk of inflateGzip(inPieces(stored, 1 << 20), options(), isal())) length += chunk.length;
    expect(length).toBe(size);
  });

  it('lets its thread hear of others between pieces, also where it inflates itself', async () => {
    const stored = gzipSync(Buffer.alloc(2 ** 26));
    let turns = 0;
    const timer = setInterval(() => turns++, 0);
    let pieces = 0;
    for await (const _ of inflateGzip(
      inPieces(stored, 1 << 20),
      options(() => false),
      isal(),
    )) {
      pieces++;
      // Some work for each, so that a timer is due.
      for (const begun = performance.now(); performance.now() < begun + 2; );
    }
    clearInterval(timer);
    expect(pieces).toBe(128);
    expect(turns).toBeGreaterThan(pieces / 2);
  });

  it('takes the same checksums as zlib', () => {
    for (const length of [0, 1, 15, 16, 17, 255, 4096, text.length]) {
      expect(isal().crc32(text.subarray(3, 3 + length), 0x12345678)).toBe(
        crc32(text.subarray(3, 3 + length), 0x12345678),
      );
    }
  });

  it('does not outlive a thread that is ended while it inflates', async () => {
    const program = fileURLToPath(new URL('./inflate-for-ever.mjs', import.meta.url));
    for (let round = 0; round < 15; round++) {
      const worker = new Worker(program);
      await new Promise((resolve) => worker.once('message', resolve));
      await new Promise((resolve) => setTimeout(resolve, round));
      expect(await worker.terminate()).toBe(1);
    }
  });
});
