import { statSync } from 'node:fs';
import { dirname } from 'node:path';
import { systemCode } from '../../base/errors.js';
import { makeOwnDirectory } from '../../base/own-files.js';

/**
 * As `mkdir -p` with mode 0700 whatever the umask, beside others who remove empty directories on the way at the same time. Not `mkdirSync` with `recursive`: below
 * a directory that takes no entries and says ENOENT to that, such as /proc, it never returns (Node 20).
 * @param made is given those that it makes, outermost first, also when it fails in the end
 * @throws like Node's `fs`: `ENOENT` when the parent is there and will not take it, `EACCES`, `ENOTDIR`, `EEXIST` for a file, …
 */
export function makeDirectories(path: string, made: string[] = []): void {
  for (let attempt = 0; ; attempt++) {
    try {
      makeOwnDirectory(path);
      made.push(path);
      return;
    } catch (error) {
      const code = systemCode(error);
      if (code === 'EEXIST' && isDirectory(path)) return;
      const parent = dirname(path);
      // A parent that is there was either made between the two looks, which cannot go on for ever, or takes no entries.
      if (code !== 'ENOENT' || parent === path || (isDirectory(parent) && attempt === 100)) throw error;
      makeDirectories(parent, made);
    }
  }
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}
