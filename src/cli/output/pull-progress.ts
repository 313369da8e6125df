import type { LayerProgress, ProvisionerEvents } from '../../index.js';
import { formatDuration, formatSize } from './human-units.js';
import type { PullEvent } from './pull-display.js';
import { shortDigest } from './short-digest.js';

/**
 * Tells a pull in plain lines: one when it starts, one for each layer when something new happens to it, and one at the end. The
 * library reports a layer many times; only a change of phase is news.
 */
export class PullProgress {
  readonly #say: (line: string) => void;
  readonly #now: () => number;
  readonly #layers = new Map<string, { phase: LayerProgress['phase']; readonly since: number }>();

  /** @param now milliseconds of any clock that only goes forward */
  constructor(say: (line: string) => void, now: () => number = () => performance.now()) {
    this.#say = say;
    this.#now = now;
  }

  show(event: PullEvent): void {
    if (event.type === 'pullStarted') this.started(event);
    else if (event.type === 'pullWaiting') this.waiting(event);
    else if (event.type === 'layerProgress') this.layer(event);
    else if (event.type === 'pullFinished') this.finished(event);
    else this.#forget(event.pullId);
  }

  waiting({ source, pid }: ProvisionerEvents['pullWaiting'][0]): void {
    this.#say(`${source}: process ${pid} pulls it, waiting for that`);
  }

  started({ image, source, layers, bytes }: ProvisionerEvents['pullStarted'][0]): void {
    const size = bytes > 0 ? `, ${formatSize(bytes)}` : '';
    this.#say(`image ${shortDigest(image)} from ${source}: ${layers} ${layers === 1 ? 'layer' : 'layers'}${size}`);
  }

  layer({ pullId, layer, phase, total }: LayerProgress): void {
    const key = `${pullId} ${layer}`;
    const known = this.#layers.get(key);
    if (known?.phase === phase) return;
    // Its time begins with its turn.
    const since = known === undefined || known.phase === 'waiting' ? this.#now() : known.since;
    if (phase === 'done' || phase === 'stored') this.#layers.delete(key);
    else this.#layers.set(key, { phase, since });
    const news = this.#news(phase, total, since);
    if (news !== undefined) this.#say(`layer ${shortDigest(layer)}: ${news}`);
  }

  finished({ image, milliseconds }: ProvisionerEvents['pullFinished'][0]): void {
    this.#say(`image ${shortDigest(image)}: done in ${formatDuration(milliseconds)}`);
  }

  #forget(pullId: string): void {
    for (const key of this.#layers.keys()) if (key.startsWith(`${pullId} `)) this.#layers.delete(key);
  }

  #news(phase: LayerProgress['phase'], total: number, since: number): string | undefined {
    switch (phase) {
      case 'waiting':
        return undefined;
      case 'unpacking':
        return total >= 0 ? `unpacking ${formatSize(total)}` : 'unpacking';
      case 'shared':
        return 'another pull unpacks it, waiting for that';
      case 'stored':
        return 'already stored';
      case 'done':
        return `done in ${formatDuration(this.#now() - since)}`;
    }
  }
}
