import { Semaphore } from 'async-mutex';
import { orAborted } from '../locks/or-aborted.js';
import type { RegistryBlob } from './registry-blob.js';

/** Lets so many layers be fetched from one host at a time. Who comes first is served first. */
export class HostLimits {
  readonly #hosts = new Map<string, Semaphore>();

  /**
   * Waits for the turn of a blob at the first host that it will be asked from; where that one fails, the next one gets no more connections than
   * this one had. While a host is in use, its limit is that of the pull that came first.
   */
  async withBlob<T>(
    { sources, connectionsPerHost }: Pick<RegistryBlob, 'sources' | 'connectionsPerHost'>,
    work: () => Promise<T>,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    const host = sources[0]?.endpoint.host ?? '';
    const semaphore = this.#hosts.get(host) ?? new Semaphore(connectionsPerHost);
    this.#hosts.set(host, semaphore);
    let release: (() => void) | undefined;
    const turn = semaphore.acquire().then(([, give]) => {
      release = give;
    });
    try {
      await orAborted(turn, signal);
      return await work();
    } finally {
      // A turn that comes after its caller has gone is passed on at once.
      if (release === undefined) void turn.then(() => release?.());
      else release();
      if (semaphore.getValue() === connectionsPerHost) this.#hosts.delete(host);
    }
  }
}
