import { closeSync, fsyncSync, openSync } from 'node:fs';

/** What a rename has done must last before the next one builds on it. */
export function syncDirectories(...directories: readonly string[]): void {
  for (const directory of directories) {
    const descriptor = openSync(directory, 'r');
    try {
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
  }
}
