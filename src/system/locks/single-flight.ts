import { throwIfAborted } from '../../base/errors.js';
import { orAborted } from './or-aborted.js';

interface Flight<T> {
  readonly result: Promise<T>;
  readonly cancel: AbortController;
  waiters: number;
}

/**
 * Shares one run of some work among all who ask for the same key while it goes on. A caller that gives up is free at once; the work itself
 * is cancelled when its last caller has given up. A cancelled run is shared with nobody new.
 */
export class SingleFlight<T> {
  readonly #flights = new Map<string, Flight<T>>();

  /** True while some caller's run of it goes on. */
  has(key: string): boolean {
    return this.#flights.has(key);
  }

  /** @throws whatever the work throws; `ERR_ABORTED` when `signal` aborts first */
  async run(key: string, work: (signal: AbortSignal) => Promise<T>, signal?: AbortSignal): Promise<T> {
    throwIfAborted(signal);
    const flight = this.#flights.get(key) ?? this.#start(key, work);
    flight.waiters++;
    try {
      return await orAborted(flight.result, signal);
    } finally {
      flight.waiters--;
      if (flight.waiters === 0 && this.#flights.get(key) === flight) {
        this.#flights.delete(key);
        flight.cancel.abort(signal?.reason);
      }
    }
  }

  #start(key: string, work: (signal: AbortSignal) => Promise<T>): Flight<T> {
    const cancel = new AbortController();
    const result = work(cancel.signal);
    const flight: Flight<T> = { result, cancel, waiters: 0 };
    this.#flights.set(key, flight);
    const land = () => {
      if (this.#flights.get(key) === flight) this.#flights.delete(key);
    };
    // Also keeps a failure that nobody waits for any more from ending the process.
    result.then(land, land);
    return flight;
  }
}
