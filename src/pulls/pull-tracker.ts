import type { LayerProgress } from '../events.js';
import type { LayerId } from '../image/digest.js';
import type { PullLayer } from '../metadata/pulls/pull-records.js';
import { Speedometer } from './speedometer.js';

export interface PullTrackerOptions {
  readonly pullId: string;
  readonly emit: (progress: LayerProgress) => void;
  /** Lets others see it: called at the start and then once a second at most, and never while the last call has not settled. Default: nobody sees it. */
  readonly save?: ((layers: readonly PullLayer[]) => Promise<void>) | undefined;
  /** Milliseconds of a clock that only goes forward. */
  readonly now?: () => number;
}

interface Tracked {
  phase: LayerProgress['phase'];
  bytes: number;
  readonly total: number;
  readonly speed: Speedometer;
  reportedAt: number;
}

/** So often, in milliseconds, each layer is reported, and what has changed is saved. */
const REPORT_INTERVAL = 1000;
/** Looks in that time: something may have happened to a layer, and then nothing any more, at any moment between. */
const LOOKS = 4;
/** A timer may be early by that. */
const SLACK = 50;

/**
 * How far one pull is, layer by layer. What happens is reported at once; a layer that nothing happens to is reported again after a second, so that
 * whoever looks on sees it wait or stall, and how long.
 */
export class PullTracker {
  readonly #options: PullTrackerOptions;
  readonly #now: () => number;
  readonly #layers = new Map<LayerId, Tracked>();
  #timer: NodeJS.Timeout | undefined;
  #saving: Promise<void> | undefined;
  #unsaved = false;
  #looks = 0;

  constructor(options: PullTrackerOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  /** The layers of the image that is being pulled now, bottom first. They all wait. */
  begin(layers: readonly { readonly diffId: LayerId; readonly size: number }[]): void {
    this.#layers.clear();
    const now = this.#now();
    for (const { diffId, size } of layers) {
      this.#layers.set(diffId, { phase: 'waiting', bytes: 0, total: size, speed: new Speedometer(), reportedAt: now });
    }
    this.#unsaved = true;
    this.#save();
    if (this.#timer !== undefined) return;
    this.#timer = setInterval(() => this.#look(), REPORT_INTERVAL / LOOKS);
    this.#timer.unref();
  }

  /** Reports that something has happened to a layer. */
  update(layer: LayerId, phase: LayerProgress['phase'], bytes: number): void {
    const tracked = this.#layers.get(layer);
    if (tracked === undefined) return;
    tracked.phase = phase;
    // The size of the whole, where nobody has said it.
    if (bytes >= 0) tracked.bytes = bytes;
    tracked.speed.add(this.#now(), bytes);
    this.#unsaved = true;
    this.#report(layer, tracked);
  }

  /** The same, for who looks from time to time. */
  updateIfChanged(layer: LayerId, phase: LayerProgress['phase'], bytes: number): void {
    const tracked = this.#layers.get(layer);
    if (tracked?.phase !== phase || tracked.bytes !== bytes) this.update(layer, phase, bytes);
  }

  /** Nothing is reported or saved after it. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#layers.clear();
    await this.#saving;
  }

  #look(): void {
    const now = this.#now();
    for (const [layer, tracked] of this.#layers) {
      const over = tracked.phase === 'done' || tracked.phase === 'stored';
      if (!over && now - tracked.reportedAt >= REPORT_INTERVAL - SLACK) this.#report(layer, tracked);
    }
    if (++this.#looks % LOOKS === 0) this.#save();
  }

  #report(layer: LayerId, tracked: Tracked): void {
    const { phase, bytes, total, speed } = tracked;
    tracked.reportedAt = this.#now();
    const isMoving = (phase === 'unpacking' || phase === 'shared') && bytes !== total;
    const bytesPerSecond = isMoving ? speed.bytesPerSecond(tracked.reportedAt) : 0;
    this.#options.emit({ pullId: this.#options.pullId, layer, phase, bytes, total, bytesPerSecond });
  }

  #save(): void {
    const { save } = this.#options;
    if (save === undefined || this.#saving !== undefined || !this.#unsaved) return;
    this.#unsaved = false;
    const layers = [...this.#layers].map(([layer, { phase, bytes, total }]) => ({ layer, phase, bytes, total }));
    this.#saving = save(layers).then(
      () => undefined,
      // It is for those who look on. A pull does not fail because they see less; where records cannot be written, it will find that out itself.
      () => undefined,
    );
    void this.#saving.then(() => {
      this.#saving = undefined;
    });
  }
}
