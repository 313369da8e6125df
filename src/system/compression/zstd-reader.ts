import { malformed } from '../../base/malformed.js';
import type { PieceFiller } from './inflate-ahead.js';
import { FREE_WINDOW, type TakeMemory, takeFrameMemory } from './window-memory.js';
import type { FrameInflater, Zstd } from './zstd/zstd.js';
import type { FramePiece, ZstdFrame } from './zstd-frames.js';

/** Blocks handed to the library at once, if they have come. */
const BLOCKS_AT_ONCE = 32;
/** Enough for most frames; a larger one gets an inflater of its own. */
const COMMON_WINDOW = 1024 * 1024;

/** Puts frames into the system's library, and sees to it that there is memory for their windows. */
export class ZstdReader implements PieceFiller {
  readonly #zstd: Zstd;
  readonly #frames: AsyncGenerator<ZstdFrame, void, undefined>;
  readonly #takeMemory: TakeMemory;
  /** Of the frame that is being read. */
  #pieces: AsyncGenerator<FramePiece, void, undefined> | undefined;
  #inflater: FrameInflater | undefined;
  #giveBack: () => void = () => {};
  /** The inflater has handed out all that it can without more input. */
  #drained = true;
  #ended = false;
  readonly #stop = new AbortController();

  constructor(zstd: Zstd, frames: AsyncGenerator<ZstdFrame, void, undefined>, takeMemory: TakeMemory) {
    this.#zstd = zstd;
    this.#frames = frames;
    this.#takeMemory = takeMemory;
  }

  async fill(output: Buffer, where: 'here' | 'aside'): Promise<number> {
    let filled = 0;
    let here = where === 'here';
    while (filled < output.length && !this.#ended) {
      // Some archives have a frame for each file: there is no asking another thread for each of those.
      if (this.#drained) here = (await this.#prepare()) || here;
      if (this.#ended) break;
      filled += await this.#inflated(output.subarray(filled), here);
      // An inflater whose frame has ended would take the next call for another one.
      this.#drained = filled < output.length || this.#inflater?.frameEnded === true;
    }
    return filled;
  }

  stop(): void {
    this.#ended = true;
    this.#stop.abort();
  }

  async close(): Promise<void> {
    this.#endFrame();
    this.#inflater?.close();
    // With it goes the input; a frame that has been begun has nothing of its own.
    await this.#frames.return();
  }

  /** Sees to it that there is input. @returns true when it is another frame's than before */
  async #prepare(): Promise<boolean> {
    let isNew = false;
    for (;;) {
      const piece = await this.#pieces?.next();
      if (piece !== undefined && !piece.done) {
        this.#inflater?.feed(piece.value.bytes);
        return isNew;
      }
      if (this.#pieces !== undefined && this.#inflater?.frameEnded === false)
        throw malformed('its zstd data is damaged: a frame does not end with its last block');
      this.#endFrame();
      const next = await this.#frames.next();
      if (next.done) {
        this.#ended = true;
        return isNew;
      }
      await this.#beginFrame(next.value);
      isNew = true;
    }
  }

  async #beginFrame(frame: ZstdFrame): Promise<void> {
    this.#giveBack = await takeFrameMemory(frame, this.#takeMemory, this.#stop.signal);
    if (this.#inflater === undefined || this.#inflater.window < frame.memory) {
      this.#inflater?.close();
      this.#inflater = this.#zstd.frameInflater(Math.max(frame.memory, COMMON_WINDOW));
    }
    this.#pieces = frame.pieces(BLOCKS_AT_ONCE);
  }

  #endFrame(): void {
    this.#pieces = undefined;
    // What was asked for is given back, and must be free by then.
    if (this.#inflater !== undefined && this.#inflater.window > FREE_WINDOW) {
      this.#inflater.close();
      this.#inflater = undefined;
    }
    this.#giveBack();
    this.#giveBack = () => {};
  }

  async #inflated(room: Buffer, here: boolean): Promise<number> {
    const inflater = this.#inflater as FrameInflater;
    try {
      return await (here ? inflater.inflateHere(room) : inflater.inflate(room));
    } catch (error) {
      throw malformed('its zstd data is damaged', error);
    }
  }
}
