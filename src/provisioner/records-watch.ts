import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { watchDirectory } from '../base/watch-directory.js';
import type { StorePaths } from '../paths.js';

/** Milliseconds. SQLite writes into its log, waits for the disk, and only then lets others see what it wrote, by memory that they share: the log has changed before there is anything to see. */
const SETTLING = 1000;
const SETTLING_PAUSE = 25;
/** What a disk that takes longer held back is seen then. */
const IDLE_PAUSE = 2000;
/** Where nothing tells of changes: no more watches are to be had, or the records are in memory. */
const BLIND_PAUSE = 100;

/** Says when it is time to look at the records again, since some process may have changed them. */
export class RecordsWatch {
  readonly #watcher: ReturnType<typeof watchDirectory>;
  #changedAt = -Infinity;
  #wake: (() => void) | undefined;

  constructor({ root, metadata }: Pick<StorePaths, 'root' | 'metadata'>) {
    const records = basename(metadata);
    if (!existsSync(metadata)) return;
    this.#watcher = watchDirectory(root, (name) => {
      if (name !== null && !name.startsWith(records)) return;
      this.#changedAt = performance.now();
      this.#wake?.();
    });
  }

  /** Resolves when it is time to look, or the signal aborts. @param most milliseconds; then it is time in any case */
  async changed(most: number, signal: AbortSignal | undefined): Promise<void> {
    if (signal?.aborted) return;
    const isSettling = performance.now() - this.#changedAt < SETTLING;
    const idlePause = this.#watcher === undefined ? BLIND_PAUSE : IDLE_PAUSE;
    const pause = Math.min(isSettling ? SETTLING_PAUSE : idlePause, Math.max(most, 0));
    await new Promise<void>((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', wake);
        this.#wake = undefined;
        resolve();
      };
      const timer = setTimeout(wake, pause);
      signal?.addEventListener('abort', wake, { once: true });
      if (!isSettling) this.#wake = wake;
    });
  }

  close(): void {
    this.#watcher?.close();
  }
}
