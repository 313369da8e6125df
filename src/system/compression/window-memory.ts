import type { ZstdFrame } from './zstd-frames.js';

/**
 * Asks for memory that is shared by all who inflate, and waits until there is some.
 * @returns what gives it back
 * @throws ProvisionerError `ERR_ABORTED`
 */
export type TakeMemory = (bytes: number, signal: AbortSignal) => Promise<() => void>;

/** For who is alone. */
export const takeFreely: TakeMemory = async () => () => {};

/** A window up to this is had for the asking: every decoder should be able to hold it, and `zstd -19` uses no more. @see RFC 8878, 3.1.1.1.2 */
export const FREE_WINDOW = 8 * 1024 * 1024;

/** Memory for the window of a frame, if it is large. @returns what gives it back */
export async function takeFrameMemory(
  { memory }: ZstdFrame,
  takeMemory: TakeMemory,
  signal: AbortSignal,
): Promise<() => void> {
  return memory > FREE_WINDOW ? takeMemory(memory, signal) : () => {};
}

/** Holds the memory of a frame as long as it is inflated. */
export async function* withFrameMemory(
  frame: ZstdFrame,
  takeMemory: TakeMemory,
  inflate: () => AsyncGenerator<Buffer, void, undefined>,
): AsyncGenerator<Buffer, void, undefined> {
  const giveBack = await takeFrameMemory(frame, takeMemory, NEVER);
  try {
    yield* inflate();
  } finally {
    giveBack();
  }
}

const NEVER: AbortSignal = new AbortController().signal;
