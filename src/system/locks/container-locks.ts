import { ReadWriteLock } from './read-write-lock.js';

/**
 * One operation at a time for each container, within one process. Work on a container shares its ancestors and has the container itself
 * alone, and with it everything nested in it: `destroy('a/b')` waits for `provision('a/b/c')` and keeps `provision('a')` waiting, while
 * `a/x` goes its way.
 *
 * Locks are taken from the outermost id inwards, always, so two calls never wait for each other.
 */
export class ContainerLocks {
  readonly #locks = new Map<string, { readonly lock: ReadWriteLock; users: number }>();

  async withContainer<T>(containerId: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const parts = containerId.split('/');
    const path = parts.map((_, index) => parts.slice(0, index + 1).join('/'));
    return this.#descend(path, 0, work, signal);
  }

  #descend<T>(
    path: readonly string[],
    depth: number,
    work: () => Promise<T>,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    const id = path[depth] as string;
    const isLast = depth === path.length - 1;
    return this.#using(id, (lock) =>
      isLast
        ? lock.withExclusive(work, signal)
        : lock.withShared(() => this.#descend(path, depth + 1, work, signal), signal),
    );
  }

  async #using<T>(id: string, use: (lock: ReadWriteLock) => Promise<T>): Promise<T> {
    const entry = this.#locks.get(id) ?? { lock: new ReadWriteLock(), users: 0 };
    this.#locks.set(id, entry);
    entry.users++;
    try {
      return await use(entry.lock);
    } finally {
      entry.users--;
      if (entry.users === 0) this.#locks.delete(id);
    }
  }
}
