import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { describeWith } from '../helpers/requirements.js';
import { temporaryDirectory } from '../helpers/test-store.js';
import { inOwnMounts, writeImage } from './in-own-mounts.js';

/** @returns what `scenes.mjs` tells of it */
async function play(scene: string): Promise<unknown> {
  const directory = temporaryDirectory();
  await writeImage(join(directory, 'layout'));
  mkdirSync(join(directory, 'work'));
  return inOwnMounts('scenes.mjs', [join(directory, 'work'), join(directory, 'layout'), scene]);
}

describeWith(['root', 'overlay', 'mount'], 'letting go of mounts', () => {
  test('recovery lets go of what is mounted on and in what dead pulls left, and the host loses nothing', async () => {
    expect(await play('staging')).toEqual({ retired: 4, left: [], store: 0, lost: 0 });
  });

  test('destroy lets go of what is mounted on the scratch directory of an overlay', async () => {
    expect(await play('beside')).toEqual({ destroyed: true, left: [], store: 0, host: 3 });
  });

  test('what only a more privileged user namespace may unmount is told of, and nothing is deleted through it', async () => {
    expect(await play('locked')).toEqual({
      codes: ['ERR_PERMISSION', 'ERR_PERMISSION'],
      precious: 'precious',
      overlay: true,
      destroyed: [true, true],
    });
  });

  test('300 mounts upon each other are let go of', async () => {
    expect(await play('many')).toEqual({ before: 300, after: 0 });
  });

  test('the calls of older kernels make mounts private, and read-only binds whose mounts do not show in what is bound', async () => {
    expect(await play('classic')).toEqual({ seen: 0, made: [true, false, false], place: 0, host: 3 });
  });

  test('a directory of the same file system that is mounted a second time is told from others as by newer kernels', async () => {
    const no = [false, false];
    expect(await play('untold')).toEqual({ told: [no, [true, true], no, no, no] });
  });

  test('mounts are found by a symlink that leads to a directory, and by a second mount of it', async () => {
    expect(await play('names')).toEqual({ names: [1, 1, 1], after: 0 });
  });

  test('without /proc a rootfs is let go of, and what is mounted in a copy keeps its files until somebody unmounts it', async () => {
    expect(await play('blind')).toEqual({ outcomes: [true, true], postponed: 1, host: 3, file: 'of the host' });
  });
});
