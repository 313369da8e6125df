import { abortedError, throwIfAborted } from '../../base/errors.js';
import { ConnectionBoard, type ShareOfConnections } from './connection-share.js';
import type { RegistryBlob } from './registry-blob.js';

interface Host {
  /** Layers that are fetched from it now. */
  atWork: number;
  /** In the order in which they came. */
  readonly waiting: Waiting[];
}

interface Waiting {
  readonly limit: number;
  readonly begin: () => void;
}

/**
 * Lets so many layers be fetched from one host at a time. Who comes first is served first. Each pull has a limit of its own: it begins with no layer while so many are at
 * work for whomever, so there are never more than the largest limit allows; and one with a small limit is not passed by for ever, since those behind it wait for it.
 */
export class HostLimits {
  /** Those in use. */
  readonly #hosts = new Map<string, Host>();
  readonly #board = new ConnectionBoard();

  /**
   * Waits for the turn of a blob at the first host that it will be asked from; where that one fails, the next one gets no more connections than
   * this one had.
   * @param work gets the blob's place among those who fetch from that host, for as long as it lasts
   */
  async withBlob<T>(
    { sources, connectionsPerHost }: Pick<RegistryBlob, 'sources' | 'connectionsPerHost'>,
    work: (share: ShareOfConnections | undefined) => Promise<T>,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    const name = sources[0]?.endpoint.host ?? '';
    const host = this.#hosts.get(name) ?? { atWork: 0, waiting: [] };
    this.#hosts.set(name, host);
    try {
      await turn(host, connectionsPerHost, signal);
      const share = this.#board.enter(name, connectionsPerHost);
      try {
        return await work(share);
      } finally {
        if (share !== undefined) this.#board.leave(share);
        host.atWork--;
        beginNext(host);
      }
    } finally {
      if (host.atWork === 0 && host.waiting.length === 0) this.#hosts.delete(name);
    }
  }
}

/** Resolves when the layer counts as being at work. @throws ProvisionerError `ERR_ABORTED` */
async function turn(host: Host, limit: number, signal: AbortSignal | undefined): Promise<void> {
  throwIfAborted(signal);
  let giveUp = () => {};
  try {
    await new Promise<void>((resolve, reject) => {
      const waiting: Waiting = { limit, begin: resolve };
      host.waiting.push(waiting);
      giveUp = () => {
        const at = host.waiting.indexOf(waiting);
        // It may have been begun in this very turn of the event loop: then its work finds out.
        if (at === -1) return;
        host.waiting.splice(at, 1);
        reject(abortedError(signal as AbortSignal));
        // Those behind it may have waited for nothing but this one.
        beginNext(host);
      };
      signal?.addEventListener('abort', giveUp, { once: true });
      beginNext(host);
    });
  } finally {
    signal?.removeEventListener('abort', giveUp);
  }
}

function beginNext(host: Host): void {
  for (let [next] = host.waiting; next !== undefined && host.atWork < next.limit; [next] = host.waiting) {
    host.waiting.shift();
    host.atWork++;
    next.begin();
  }
}
