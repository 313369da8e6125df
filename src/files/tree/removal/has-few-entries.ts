import { opendirSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Whether a directory has so few entries, with all below it, that to remove them here and now takes less than to hand them to a thread. No more of them are looked at than that, and symlinks are not
 * followed. False for what cannot be read.
 * @param path absolute
 */
export function hasFewEntries(path: string, most: number): boolean {
  let count = 0;
  const directories = [path];
  try {
    for (let at = directories.pop(); at !== undefined; at = directories.pop()) {
      const directory = opendirSync(at);
      try {
        for (let entry = directory.readSync(); entry !== null; entry = directory.readSync()) {
          if (++count > most) return false;
          if (entry.isDirectory()) directories.push(join(at, entry.name));
        }
      } finally {
        directory.closeSync();
      }
    }
  } catch {
    return false;
  }
  return true;
}
