import { MessageChannel } from 'node:worker_threads';
import type { InflateArchive } from '../unpack/inflate-archive.js';
import { sendThrough } from './byte-port.js';
import type { WorkerPool } from './worker-pool.js';

/** Inflates archives on threads of a pool. */
export function inflateOnThread(pool: WorkerPool): InflateArchive {
  return async (from, target, signal) => {
    if (from.kind === 'file') return pool.run('inflate-archive', { ...target, from }, { signal });
    const { port1: ours, port2: port } = new MessageChannel();
    // Nobody listens before a thread is free; the stream keeps its error until it is asked for.
    from.stream.on('error', () => {});
    // When the caller gives up, the thread may be waiting for the next piece.
    const close = () => ours.close();
    try {
      // The stream stays who has given it to us: it is not destroyed.
      void sendThrough(from.stream.iterator({ destroyOnReturn: false }), ours);
      signal.addEventListener('abort', close, { once: true });
      return await pool.run(
        'inflate-archive',
        { ...target, from: { kind: 'port', port } },
        { signal, transfer: [port] },
      );
    } finally {
      signal.removeEventListener('abort', close);
      ours.close();
    }
  };
}
