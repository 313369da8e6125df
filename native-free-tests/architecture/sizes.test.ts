import { posix } from 'node:path';
import { describe, expect, it } from 'vitest';
import { sourceFiles } from './source-files.js';

/** A file is read in one sitting, and a folder is looked over at a glance. */
const MOST_LINES = 400;
const MOST_FILES = 16;

/** Folders that hold more, and why. */
const LARGER: Readonly<Record<string, string>> = {};

/** How many files of a list are right in each folder. */
function filesByFolder(paths: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const path of paths) {
    const folder = posix.dirname(path);
    counts.set(folder, (counts.get(folder) ?? 0) + 1);
  }
  return counts;
}

describe('the sources', () => {
  it('have no file that is too long to be read in one sitting', () => {
    const long = sourceFiles().filter(({ text }) => text.split('\n').length - 1 > MOST_LINES);
    expect(long.map(({ path }) => path)).toEqual([]);
  });

  it('have no folder that cannot be looked over at a glance, but for those with a reason', () => {
    const counts = filesByFolder(sourceFiles().map(({ path }) => path));
    const large = [...counts].filter(([, count]) => count > MOST_FILES).map(([folder]) => folder);
    expect(large.sort()).toEqual(Object.keys(LARGER).sort());
  });

  it('are counted folder by folder', () => {
    expect(filesByFolder(['src/a.ts', 'src/b/c.ts', 'src/b/d.ts', 'src/b/e/f.ts'])).toEqual(
      new Map([
        ['src', 1],
        ['src/b', 2],
        ['src/b/e', 1],
      ]),
    );
  });
});
