import { throwIfAborted } from '../base/errors.js';
import type { LayerId } from '../image/digest.js';
import { SingleFlight } from '../system/locks/single-flight.js';

/**
 * Has each layer made once for all callers of this process. They share what comes of it, but not what goes wrong: that lies with whoever makes it, or with where he has it from. When he
 * fails, or gives up, the first of those who wait makes it from what he has himself, while the others go on waiting.
 */
export class LayerFlights {
  readonly #flights = new SingleFlight<void>();

  /** True while somebody makes it. */
  has(id: LayerId): boolean {
    return this.#flights.has(id);
  }

  /**
   * @param make called when it is this caller's turn; its signal aborts when nobody waits for it any more
   * @returns whether it was made by this call @throws what this caller's `make` throws; `ERR_ABORTED`
   */
  async run(id: LayerId, make: (signal: AbortSignal) => Promise<void>, signal: AbortSignal): Promise<boolean> {
    while (this.#flights.has(id)) {
      try {
        await this.#flights.run(id, make, signal);
        return false;
      } catch {
        throwIfAborted(signal);
      }
    }
    await this.#flights.run(id, make, signal);
    return true;
  }
}
