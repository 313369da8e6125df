import type { LaunchRecord } from '../../../index.js';
import type { Isolator } from '../../isolators/isolator.js';

/** What isolators gave to launches goes back with their ends; who waits for an end does not wait for that. What is killed meanwhile, or fails, the next recovery does. */
export class Cleanings {
  readonly #isolators: Isolator;
  readonly #running = new Map<string, Promise<void>>();

  constructor(isolators: Isolator) {
    this.#isolators = isolators;
  }

  /** @param over is told when it is done */
  begin(launch: LaunchRecord, over: (cleaning: Promise<void>) => void): Promise<void> {
    const cleaning = this.#isolators
      .cleanUp(launch)
      .catch(() => undefined)
      .finally(() => {
        this.#running.delete(launch.id);
        over(cleaning);
      });
    this.#running.set(launch.id, cleaning);
    return cleaning;
  }

  /** Resolves when what goes on for a launch is done. */
  async of(launchId: string): Promise<void> {
    await this.#running.get(launchId);
  }
}
