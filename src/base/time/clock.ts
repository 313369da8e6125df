/** Time that is handed in. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /**
   * Calls back after so many milliseconds.
   * @param isQuiet whether a process that has nothing else to do ends meanwhile. Default: false
   * @returns gives it up
   */
  after(milliseconds: number, call: () => void, isQuiet?: boolean): () => void;
}

/** Wall time that does not jump while it is used, whatever is done to the machine's clock. */
export function machineClock(): Clock {
  const begun = Date.now() - performance.now();
  return {
    now: () => Math.round(begun + performance.now()),
    after: (milliseconds, call, isQuiet = false) => {
      const timer = setTimeout(call, milliseconds);
      if (isQuiet) timer.unref();
      return () => clearTimeout(timer);
    },
  };
}
