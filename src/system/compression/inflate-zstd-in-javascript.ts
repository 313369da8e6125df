import { setImmediate } from 'node:timers/promises';
import { createContext, Script } from 'node:vm';
import { Decompress } from 'fzstd';
import xxhash from 'xxhash-wasm';
import { limitExceeded, malformed } from '../../base/malformed.js';
import { inflateError } from './inflate.js';
import { ownCopy } from './own-copy.js';
import { type TakeMemory, withFrameMemory } from './window-memory.js';
import type { FramePiece, ZstdFrame } from './zstd-frames.js';

/**
 * The decoder moves its whole window for each block, also for a block of one byte. A proper frame moves up to a thousand times what it inflates to; one that
 * would move more, beyond a start that takes some ten seconds, was made for that.
 */
const MOVED_FREELY = 2 ** 36;
const MOVED_PER_BYTE = 1024;
/**
 * Milliseconds for a piece, which takes some ten, beside the moves of its window, which are given 64 MiB a second: a busy machine may be that slow. Malformed data can
 * make the decoder go round: a table of codes with one symbol only, none of whose bits it takes, for ever; sequences that copy beyond a block, for minutes.
 */
const PATIENCE = 10_000;
const PATIENCE_PER_BYTE = 1000 / (64 * 2 ** 20);
/** Blocks in a piece: asking for a time limit takes a tenth of a millisecond. */
const BLOCKS_AT_ONCE = 8;

/**
 * Inflates frames without any library of the system, at an eighth of its speed. What the decoder lets pass is checked here: how much a frame inflates to, and its checksum.
 * @param patience milliseconds for a piece, beside the moves of its window
 * @throws ProvisionerError `ERR_LAYER_MALFORMED`, `ERR_LIMIT_EXCEEDED`
 */
export async function* inflateZstdInJavaScript(
  frames: AsyncGenerator<ZstdFrame, void, undefined>,
  takeMemory: TakeMemory,
  patience = PATIENCE,
): AsyncGenerator<Buffer, void, undefined> {
  const { create64 } = await xxhash();
  for await (const frame of frames) {
    yield* withFrameMemory(frame, takeMemory, () =>
      inflateFrame(frame, frame.hasChecksum ? create64() : undefined, patience),
    );
  }
}

type FrameHash = ReturnType<Awaited<ReturnType<typeof xxhash>>['create64']>;

async function* inflateFrame(
  { contentSize, window, pieces }: ZstdFrame,
  hash: FrameHash | undefined,
  patience: number,
): AsyncGenerator<Buffer, void, undefined> {
  let ready: Buffer[] = [];
  // A copy: the decoder goes on using its buffer.
  const decoder = new Decompress((bytes) => {
    if (bytes.length > 0) ready.push(Buffer.from(bytes));
  });
  let inflated = 0;
  let moved = 0;
  for await (const { bytes, blocks, checksumBytes, last } of held(pieces(BLOCKS_AT_ONCE))) {
    try {
      withinTime(() => decoder.push(bytes, last), Math.ceil(patience + window * blocks * PATIENCE_PER_BYTE));
    } catch (error) {
      throw timedOut(error)
        ? malformed('its zstd data takes the decoder round and round', error)
        : inflateError(error, 'zstd');
    }
    for (const part of ready) {
      inflated += part.length;
      hash?.update(part);
    }
    if (contentSize !== undefined && (inflated > contentSize || (last && inflated < contentSize)))
      throw malformed('a zstd frame has another size than it says');
    if (
      last &&
      hash !== undefined &&
      Number(hash.digest() & 0xffffffffn) !== bytes.readUInt32LE(bytes.length - checksumBytes)
    )
      throw malformed('a zstd frame has a wrong checksum');
    moved += window * blocks;
    if (moved > MOVED_FREELY + MOVED_PER_BYTE * inflated)
      throw limitExceeded('a zstd frame of tiny blocks', MOVED_PER_BYTE);
    yield* ready;
    ready = [];
    await setImmediate();
  }
}

/**
 * The decoder keeps what it is given, until it has 18 bytes, which a frame need not have; unless it is told that there are no more. So the header goes with the first
 * blocks, and all is copied.
 */
async function* held(pieces: AsyncGenerator<FramePiece, void, undefined>): AsyncGenerator<FramePiece, void, undefined> {
  let header: Buffer = Buffer.alloc(0);
  for await (const piece of pieces) {
    if (piece.blocks === 0) header = ownCopy(piece.bytes);
    else {
      yield { ...piece, bytes: Buffer.concat([header, piece.bytes]) };
      header = Buffer.alloc(0);
    }
  }
}

const surroundings: { run: () => void } = { run: () => {} };
let call: Script | undefined;

/** Code that never yields can be ended in no other way. @throws what it throws; `ERR_SCRIPT_EXECUTION_TIMEOUT` */
function withinTime(run: () => void, patience: number): void {
  if (call === undefined) {
    createContext(surroundings);
    call = new Script('run()');
  }
  surroundings.run = run;
  call.runInContext(surroundings, { timeout: patience });
}

function timedOut(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ERR_SCRIPT_EXECUTION_TIMEOUT';
}
