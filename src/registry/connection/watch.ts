import type { Pace } from './pace.js';

/** A connection is watched for so long, in milliseconds, before something is said of it. */
const WATCHED_TIME = 300;
/** Of that time its reader waits so much of it: else it is not the network that is slow. */
const WAITING_SHARE = 0.5;

/** Whether a connection is what its reader waits for, and how much it brings. */
export class Watch {
  readonly #pace: Pace;
  #offset: number;
  #since = performance.now();
  #waited: number;

  /** @param offset of the blob, where the connection begins */
  constructor(pace: Pace, offset: number) {
    this.#pace = pace;
    this.#offset = offset;
    this.#waited = pace.waited;
  }

  /** @param offset as far as it has come @returns undefined when it has not been watched for long enough, or when it is not what was waited for; then it is watched anew */
  bytesPerSecond(offset: number): number | undefined {
    const now = performance.now();
    const time = now - this.#since;
    if (time < WATCHED_TIME) return undefined;
    const [bytes, waited] = [offset - this.#offset, this.#pace.waited - this.#waited];
    [this.#since, this.#offset, this.#waited] = [now, offset, this.#pace.waited];
    return waited < time * WAITING_SHARE ? undefined : (bytes * 1000) / time;
  }
}
