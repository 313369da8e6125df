import type { LaunchRecord, Provisioner } from '../../index.js';
import { isOwnLaunch } from '../launches/kept/launch-notes.js';

/** Milliseconds between looks. */
const LOOK_AGAIN = 1000;
/** Milliseconds: what was recorded so long before this moment was seen then. */
const EARLIER = 2 * LOOK_AGAIN;
/** Events at once. */
const MANY = 1000;

/** Sees that containers are started once more which are known here, by whatever process, within a second. Keeps no process alive. */
export class LaterStarts {
  readonly #launches: Pick<Provisioner['launches'], 'events' | 'get'>;
  readonly #started: (launch: LaunchRecord) => void;
  readonly #known = new Set<string>();
  #since = 0;
  #last = 0;
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;

  /** @param started is told of each, perhaps more than once */
  constructor(launches: Pick<Provisioner['launches'], 'events' | 'get'>, started: (launch: LaunchRecord) => void) {
    this.#launches = launches;
    this.#started = started;
  }

  know(containerId: string): void {
    this.#known.add(containerId);
    if (this.#timer !== undefined) return;
    this.#since = Date.now() - EARLIER;
    this.#timer = setInterval(() => {
      this.#looking ??= this.#look()
        // The records are busy, or being closed: the next look finds the same.
        .catch(() => undefined)
        .finally(() => {
          this.#looking = undefined;
        });
    }, LOOK_AGAIN).unref();
  }

  async #look(): Promise<void> {
    // The clock may be set back. It is needed only until there is an event to begin from.
    this.#since = Math.min(this.#since, Date.now() - EARLIER);
    for (let isMore = true; isMore; ) {
      const from = this.#last > 0 ? { after: this.#last } : { since: this.#since };
      const events = await this.#launches.events({ ...from, limit: MANY });
      isMore = events.length === MANY;
      for (const { kind, containerId, sequence } of events) {
        if (this.#known.has(containerId)) {
          if (kind === 'destroy') this.#known.delete(containerId);
          const launch = kind === 'start' ? await this.#launches.get(containerId) : undefined;
          if (launch !== undefined && isOwnLaunch(launch)) this.#started(launch);
        }
        this.#last = sequence;
      }
    }
  }

  /** Resolves when nothing is looked at any more. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#looking;
  }
}
