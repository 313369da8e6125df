/**
 * A thread that is ended while it loads a native module takes the whole process with it. So a thread of a pool tells when it does that, and whoever wants to end it
 * first says so, and then waits until nothing is being loaded.
 */
let shared: Int32Array | undefined;

/** Memory that both threads see: how many native modules are being loaded, and whether the thread is to be ended. */
export function newLoadingState(): Int32Array {
  return new Int32Array(new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT));
}
const LOADING = 0;
const ENDING = 1;

/** @param state where this thread tells from now on */
export function tellNativeLoading(state: Int32Array): void {
  shared = state;
}

/** Loads something native. @throws what `load` throws */
export function loadNative<Loaded>(load: () => Loaded): Loaded {
  if (shared === undefined) return load();
  Atomics.add(shared, LOADING, 1);
  try {
    if (Atomics.load(shared, ENDING) === 1) throw new Error('this thread is being ended');
    return load();
  } finally {
    Atomics.sub(shared, LOADING, 1);
  }
}

/** Whether a thread may be ended now: asked until it is so, since from the first time on it loads nothing more. */
export function mayBeEnded(state: Int32Array): boolean {
  Atomics.store(state, ENDING, 1);
  return Atomics.load(state, LOADING) === 0;
}
