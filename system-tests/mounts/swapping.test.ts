import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { describeWith } from '../helpers/requirements.js';
import { temporaryDirectory } from '../helpers/test-store.js';
import { inOwnMounts, writeImage } from './in-own-mounts.js';

interface Outcome {
  readonly moves: number;
  readonly lost: number;
  readonly errors: readonly string[];
  readonly store: number;
  readonly left: readonly string[];
}

async function destroyWhile(how: 'exchange' | 'rename'): Promise<Outcome> {
  const directory = temporaryDirectory();
  await writeImage(join(directory, 'layout'));
  mkdirSync(join(directory, 'work'));
  return inOwnMounts('swapping.mjs', [join(directory, 'work'), join(directory, 'layout'), '3', how]);
}

describeWith(['root', 'mount', 'chroot'], 'a process in a copy that moves what leads to mounts', () => {
  test('cannot have a mount of the host unmounted by exchanging a directory with a symlink, and cannot keep its own', async () => {
    const { moves, ...outcome } = await destroyWhile('exchange');
    expect(outcome).toEqual({ lost: 0, errors: [], store: 0, left: [] });
    expect(moves).toBeGreaterThan(5000);
  });

  test('cannot have one unmounted by renaming a directory all the time, and can at most put the destroy off until it has ended', async () => {
    const { moves, errors, ...outcome } = await destroyWhile('rename');
    expect(outcome).toEqual({ lost: 0, store: 0, left: [] });
    for (const error of errors) expect(error).toMatch(/^ERR_PERMISSION cannot let go of what is mounted at .*\/data\//);
    expect(moves).toBeGreaterThan(5000);
  });
});
