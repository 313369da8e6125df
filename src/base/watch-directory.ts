import { type FSWatcher, watch } from 'node:fs';

/**
 * Tells of what happens right in a directory.
 * @param tell is given the name of what has changed, null where the system does not say
 * @returns undefined where no more watches are to be had: whoever waits has to look again by itself
 */
export function watchDirectory(path: string, tell: (name: string | null) => void): FSWatcher | undefined {
  try {
    const watcher = watch(path, (_, name) => tell(name));
    watcher.on('error', () => watcher.close());
    return watcher;
  } catch {
    return undefined;
  }
}
