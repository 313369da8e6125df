import { describe, expect, it } from 'vitest';
import { inflateZstd, nodeHasZstd } from '#src/system/compression/inflate-zstd.js';
import { inflateZstdInJavaScript } from '#src/system/compression/inflate-zstd-in-javascript.js';
import { takeFreely } from '#src/system/compression/window-memory.js';
import { zstdFrames } from '#src/system/compression/zstd-frames.js';
import { describeZstd } from '../../contracts/zstd.js';

/** Milliseconds until what goes round is told. */
const HASTE = 1000;
const OPTIONS = { chunkSize: 1 << 19, highWaterMark: 1 << 20, hasSpareProcessor: () => true };

describeZstd(
  'the decoder in JavaScript',
  (pieces, takeMemory = takeFreely) => inflateZstdInJavaScript(zstdFrames(pieces), takeMemory),
  (pieces, takeMemory = takeFreely) => inflateZstdInJavaScript(zstdFrames(pieces), takeMemory, HASTE),
);

describe.skipIf(!nodeHasZstd)(`Node's own${nodeHasZstd ? '' : ' (skipped: this version has none)'}`, () => {
  describeZstd("Node's own decoder", (pieces, takeMemory = takeFreely) =>
    inflateZstd(pieces, { ...OPTIONS, takeMemory }, 'node'),
  );
});

describe('the decoder in JavaScript', () => {
  it('gives its thread a turn between pieces', async () => {
    let turns = 0;
    const timer = setInterval(() => turns++, 0);
    const block = Buffer.from([2, 0, 16, 0]);
    const stored = async function* (): AsyncGenerator<Buffer> {
      yield Buffer.concat([Buffer.from('28b52ffd0058', 'hex'), ...Array.from({ length: 4000 }, () => block)]);
      yield Buffer.from([1, 0, 0]);
    };
    let length = 0;
    for await (const piece of inflateZstdInJavaScript(zstdFrames(stored()), takeFreely)) length += piece.length;
    clearInterval(timer);
    expect(length).toBe(4000 * 128 * 1024);
    expect(turns).toBeGreaterThan(20);
  });
});
