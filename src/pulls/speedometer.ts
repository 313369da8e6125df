/** What counts as now, in milliseconds. */
const WINDOW = 5000;
/** Between two samples that are kept. */
const STEP = 250;

/** How fast a count of bytes has grown over the last few seconds. */
export class Speedometer {
  #samples: { readonly at: number; readonly bytes: number }[] = [];
  #bytes = 0;

  /** @param at milliseconds of a clock that only goes forward */
  add(at: number, bytes: number): void {
    // A layer that is begun anew.
    if (bytes < this.#bytes) this.#samples = [];
    this.#bytes = bytes;
    const last = this.#samples.at(-1);
    if (last === undefined || at - last.at >= STEP) this.#samples.push({ at, bytes });
    this.#forget(at);
  }

  bytesPerSecond(at: number): number {
    this.#forget(at);
    const [first] = this.#samples;
    if (first === undefined || at - first.at < STEP) return 0;
    return Math.round(((this.#bytes - first.bytes) * 1000) / (at - first.at));
  }

  /** The newest sample outside of the window is its beginning. */
  #forget(at: number): void {
    while ((this.#samples[1]?.at ?? at) < at - WINDOW) this.#samples.shift();
    if ((this.#samples[0]?.at ?? at) < at - WINDOW && this.#samples.length === 1) {
      this.#samples = [{ at: at - WINDOW, bytes: this.#bytes }];
    }
  }
}
