import { ProvisionerError } from '#src/base/errors.js';
import type { ContainerEvent, EventSelection } from '#src/containerizer/index.js';
import type { FakeClock } from './fake-clock.js';

/** What has happened to containers, in memory. */
export class FakeEvents {
  readonly #clock: FakeClock;
  readonly #events: ContainerEvent[] = [];
  readonly #waiting = new Set<() => void>();

  constructor(clock: FakeClock) {
    this.#clock = clock;
  }

  get kinds(): string[] {
    return this.#events.map(({ kind }) => kind);
  }

  add(event: Omit<ContainerEvent, 'sequence' | 'at'>): void {
    this.#events.push({ sequence: this.#events.length + 1, at: this.#clock.now(), ...event });
    for (const wake of [...this.#waiting]) wake();
  }

  /** What happens from the call on counts, whenever the first event is asked for. */
  read({ since, until, follow = false, signal }: EventSelection): AsyncGenerator<ContainerEvent, void, undefined> {
    const from = follow && since === undefined && until === undefined ? this.#events.length : 0;
    const first = since?.getTime() ?? 0;
    const last = until?.getTime() ?? Number.POSITIVE_INFINITY;
    return this.#read(from, first, follow ? last : Math.min(last, this.#clock.now()), signal);
  }

  async *#read(
    from: number,
    first: number,
    last: number,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<ContainerEvent, void, undefined> {
    for (let next = from; ; ) {
      if (signal?.aborted) throw new ProvisionerError('ERR_ABORTED', 'it was given up');
      const event = this.#events[next];
      if (event !== undefined && event.at <= last) {
        next++;
        if (event.at >= first) yield event;
      } else if (event !== undefined || this.#clock.now() >= last) return;
      else await this.#next(last, signal);
    }
  }

  /** Resolves when something happens, or nothing more is to be told. */
  async #next(last: number, signal: AbortSignal | undefined): Promise<void> {
    let wake = () => {};
    const woken = new Promise<void>((resolve) => {
      wake = resolve;
    });
    const giveUp = Number.isFinite(last) ? this.#clock.after(last - this.#clock.now(), wake) : undefined;
    this.#waiting.add(wake);
    signal?.addEventListener('abort', wake, { once: true });
    await woken;
    giveUp?.();
    this.#waiting.delete(wake);
    signal?.removeEventListener('abort', wake);
  }
}
