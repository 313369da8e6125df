import { closeSync } from 'node:fs';

/**
 * Descriptors belong to the process. What a thread opened through Node goes with the thread; what it opened with system calls of ours would stay open if it is ended at
 * work, so it is noted where others can see it.
 */
let board: Int32Array | undefined;

/** Beyond this number none are noted. */
const DESCRIPTORS = 65_536;
const BITS = 32;

/** A bit for each descriptor, in memory that threads share. */
export function newDescriptorBoard(): Int32Array {
  return new Int32Array(new SharedArrayBuffer(DESCRIPTORS / 8));
}

/** @param shared has, from now on, the descriptors of this thread */
export function noteDescriptorsOn(shared: Int32Array): void {
  board = shared;
}

/** Notes what a system call has opened; a failure is no descriptor. */
export function noteOpened(descriptor: number): number {
  if (board !== undefined && descriptor >= 0 && descriptor < DESCRIPTORS) {
    board[descriptor >> 5] = (board[descriptor >> 5] as number) | (1 << (descriptor & (BITS - 1)));
  }
  return descriptor;
}

/** To be told before it is closed: from then on another thread may have the same number. */
export function noteClosing(descriptor: number): number {
  if (board !== undefined && descriptor >= 0 && descriptor < DESCRIPTORS) {
    board[descriptor >> 5] = (board[descriptor >> 5] as number) & ~(1 << (descriptor & (BITS - 1)));
  }
  return descriptor;
}

/** Closes what a thread that is no more has left open. */
export function closeNoted(shared: Int32Array): void {
  for (const [word, bits] of shared.entries()) {
    for (let bit = 0; bits !== 0 && bit < BITS; bit++) if ((bits & (1 << bit)) !== 0) closeQuietly(word * BITS + bit);
  }
  shared.fill(0);
}

function closeQuietly(descriptor: number): void {
  try {
    closeSync(descriptor);
  } catch {
    // Whoever was ended had got as far as that.
  }
}
