import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect, it } from 'vitest';
import { takeFreely } from '#src/system/compression/window-memory.js';
import { inflateArchive } from '#src/unpack/inflate-archive.js';
import { temporaryDirectory } from '../helpers/memory-store.js';

it.each([true, false])(
  'what is no tar is told while its sender says nothing more (another thread inflates: %s)',
  async (isSpare) => {
    const stored = gzipSync(randomBytes(3_000_000));
    let giveUp = () => {};
    const silent = async function* () {
      yield stored.subarray(0, 2_000_000);
      await new Promise<void>((resolve) => {
        giveUp = resolve;
      });
      throw new Error('the stream was closed');
    };
    const target = { path: join(temporaryDirectory(), 'a.tar'), label: 'the archive', freeSpaceReserve: 0 };
    const context = {
      signal: new AbortController().signal,
      hasSpareProcessor: () => isSpare,
      takeMemory: takeFreely,
    };
    expect(await inflateArchive(silent(), target, context, () => giveUp())).toEqual({ isTar: false });
  },
);
