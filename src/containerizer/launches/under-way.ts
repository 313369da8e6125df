import { setTimeout as sleep } from 'node:timers/promises';
import { ProvisionerError, throwIfAborted } from '../../base/errors.js';
import type { LaunchRecord, Provisioner } from '../../index.js';
import type { Endings } from './endings.js';

/** Milliseconds between looks at a launch that somebody else begins. */
const BEGINNING = 20;

/** What is begun here and must come to its end before all is closed: what had been given up in between would run on all the same, and nobody be told. */
export class UnderWay {
  readonly #closing = new AbortController();
  readonly #running = new Set<Promise<unknown>>();

  /** @throws ProvisionerError `ERR_CLOSED` when nothing may begin any more, and what the work throws */
  async run<T>(work: () => Promise<T>): Promise<T> {
    this.#closing.signal.throwIfAborted();
    const running = work();
    this.#running.add(running);
    try {
      return await running;
    } finally {
      this.#running.delete(running);
    }
  }

  /**
   * Resolves when a launch is no longer just beginning, which may take as long as a pull: where somebody else begins it, a close does not wait for that. What somebody began who has died is ended here.
   * @throws ProvisionerError `ERR_CLOSED`, `ERR_ABORTED`
   */
  async begun(
    { launches }: Pick<Provisioner, 'launches'>,
    endings: Endings,
    { containerId, id }: LaunchRecord,
    wanted?: AbortSignal,
  ): Promise<void> {
    const { signal } = this.#closing;
    for (;;) {
      const isLeft = endings.isAbandoned(id);
      const now = await launches.get(containerId);
      if (now?.id !== id || now.state !== 'starting') return;
      // Whoever began it has died, and perhaps left a monitor that waits for him.
      if (isLeft) await endings.endStarting(now);
      if (isLeft || !endings.isAttended(id)) return void (await endings.finish(now));
      signal.throwIfAborted();
      throwIfAborted(wanted);
      await sleep(BEGINNING);
    }
  }

  /** Lets nothing begin any more. Resolves when what is under way has come to its end. */
  async close(): Promise<void> {
    this.#closing.abort(new ProvisionerError('ERR_CLOSED', 'the containerizer has been closed'));
    while (this.#running.size > 0) await Promise.allSettled(this.#running);
  }
}
