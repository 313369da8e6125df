import { renameSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { systemCode } from '../errors.js';
import type { ProvisionerEmitter } from '../events.js';
import type { StorePaths } from '../paths.js';
import type { WorkerPool } from '../workers/worker-pool.js';

/**
 * Retires directories into `gc/` by rename, which is quick and cannot be half done, and deletes them from there on a worker thread.
 * What cannot be deleted now stays for the next sweep and keeps nobody waiting.
 */
export class Sweeper {
  readonly #paths: StorePaths;
  readonly #pool: WorkerPool;
  readonly #events: ProvisionerEmitter;
  readonly #sweeping = new Set<Promise<void>>();

  constructor(paths: StorePaths, pool: WorkerPool, events: ProvisionerEmitter) {
    this.#paths = paths;
    this.#pool = pool;
    this.#events = events;
  }

  /** Takes a directory out of sight and has it deleted later. Harmless when it is not there. @param name tells what it was, in `gc/` */
  retire(directory: string, name: string): void {
    const retired = this.#paths.retired(name, wallClockNanoseconds());
    try {
      renameSync(directory, retired);
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return;
      throw error;
    }
    this.#sweep(retired);
  }

  /** Has everything deleted that earlier runs left in `gc/`. */
  async sweepAll(): Promise<void> {
    for (const name of await readdir(this.#paths.gc)) this.#sweep(join(this.#paths.gc, name));
    await this.idle();
  }

  /** Resolves when nothing is being deleted. */
  async idle(): Promise<void> {
    while (this.#sweeping.size > 0) await Promise.all(this.#sweeping);
  }

  #sweep(path: string): void {
    const sweep = this.#pool
      .run('remove-tree', { path })
      .then(
        () => {},
        (error: unknown) => {
          const message = error instanceof Error ? error.message : String(error);
          this.#events.emit('warning', {
            code: 'SWEEP_FAILED',
            message: `cannot delete ${path} now, the next sweep will try again: ${message}`,
            details: { path },
          });
        },
      )
      .finally(() => this.#sweeping.delete(sweep));
    this.#sweeping.add(sweep);
  }
}

function wallClockNanoseconds(): bigint {
  // Two retirements within one millisecond differ in the monotonic part.
  return BigInt(Date.now()) * 1_000_000n + (process.hrtime.bigint() % 1_000_000n);
}
