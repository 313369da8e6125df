import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll } from 'vitest';

/** A store that is filled, which nobody has open and in which nothing is mounted, and what was told when it was filled. */
interface Pattern<Told> {
  readonly root: string;
  readonly told: Told;
}

/** By kind, for this file of tests. */
const patterns = new Map<string, Promise<Pattern<unknown>>>();
const directories: string[] = [];

afterAll(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
});

/**
 * Puts a filled store at `root`, where nothing is yet. The first of its kind in a file of tests is filled, and all are copies of that one, which takes
 * hundredths of a second where a pull takes a process, a thread and a sync of everything. A store may be copied while nobody uses it: what its records and its
 * layers say of themselves does not tell where they lie. For tests whose subject comes after the filling.
 * @param kind the same for all that `fill` fills alike
 * @param fill closes what it opens, and leaves nothing mounted
 * @returns what `fill` returned for the first one
 */
export async function putFilledStore<Told>(
  root: string,
  kind: string,
  fill: (root: string) => Promise<Told>,
): Promise<Told> {
  const pattern = patterns.get(kind) ?? makePattern(fill);
  patterns.set(kind, pattern);
  const { root: from, told } = (await pattern) as Pattern<Told>;
  await promisify(execFile)('cp', ['-a', from, root]);
  return told;
}

async function makePattern<Told>(fill: (root: string) => Promise<Told>): Promise<Pattern<Told>> {
  const directory = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'provisioner-filled-'));
  directories.push(directory);
  const root = join(directory, 'store');
  return { root, told: await fill(root) };
}
