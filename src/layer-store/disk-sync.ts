import { closeSync, fsyncSync, openSync } from 'node:fs';
import type { WorkerPool } from '../workers/worker-pool.js';

/** Brings what was written to the device, so that a power cut cannot take it away; or not, for a store that its owner can do without. */
export class DiskSync {
  readonly #place: string;
  readonly #pool: WorkerPool;
  readonly #enabled: boolean;

  /** @param place any directory on the store's file system */
  constructor(place: string, pool: WorkerPool, enabled: boolean) {
    this.#place = place;
    this.#pool = pool;
    this.#enabled = enabled;
  }

  /** Everything written so far on the store's file system. */
  async all(): Promise<void> {
    if (this.#enabled) await this.#pool.run('sync-file-system', { path: this.#place });
  }

  /** The names in a directory: what was renamed into it stays there. */
  directory(path: string): void {
    if (!this.#enabled) return;
    const descriptor = openSync(path, 'r');
    try {
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
  }
}
