import { existsSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ProvisionerError } from '#src/base/errors.js';
import { Reserve } from '#src/layer-store/reserve.js';
import { StorePaths } from '#src/paths.js';
import { temporaryDirectory } from '../helpers/memory-store.js';

function bench() {
  const paths = new StorePaths(temporaryDirectory());
  const reserve = new Reserve(paths);
  const files = () => (existsSync(paths.reserve) ? readdirSync(paths.reserve).length : 0);
  const sizes = () => readdirSync(paths.reserve).map((name) => statSync(join(paths.reserve, name)).size);
  return { paths, reserve, files, sizes };
}

const PIECE = 1024 * 1024;

const full = () => Promise.reject(new ProvisionerError('ERR_NO_SPACE', 'no space left'));

describe('the reserve', () => {
  test('holds space and inodes, which cannot be compressed away, once', () => {
    const { paths, reserve, files } = bench();
    reserve.ensure();
    expect(files()).toBe(4);
    const status = statSync(join(paths.reserve, '0'));
    expect(status.blocks * 512).toBeGreaterThanOrEqual(1024 * 1024);
    reserve.ensure();
    expect(statSync(join(paths.reserve, '0')).mtimeMs).toBe(status.mtimeMs);
  });

  test('is made whole when a crash left a part of it, or of a piece', () => {
    const { paths, reserve, sizes } = bench();
    reserve.ensure();
    rmSync(join(paths.reserve, '3'));
    writeFileSync(join(paths.reserve, '2'), 'a part');
    reserve.ensure();
    expect(sizes()).toEqual([PIECE, PIECE, PIECE, PIECE]);
  });

  test('is restored in part where there is room for a part, without the piece that came out too small', () => {
    const { paths, reserve, sizes } = bench();
    reserve.ensure();
    for (const name of ['1', '2', '3']) rmSync(join(paths.reserve, name));
    // Whatever is written there finds no space.
    symlinkSync('/dev/full', join(paths.reserve, '2'));
    reserve.ensure();
    expect(readdirSync(paths.reserve)).toEqual(['0', '1']);
    expect(sizes()).toEqual([PIECE, PIECE]);
    reserve.ensure();
    expect(sizes()).toEqual([PIECE, PIECE, PIECE, PIECE]);
  });

  test('is none, and in nobody’s way, where it cannot be made', async () => {
    const { paths, reserve } = bench();
    writeFileSync(paths.reserve, 'a file');
    reserve.ensure();
    expect(readFileSync(paths.reserve, 'utf8')).toBe('a file');
    expect(reserve.release()).toBe(false);
    await expect(reserve.freeing(full)).rejects.toMatchObject({ code: 'ERR_NO_SPACE' });
  });

  test('is given up a piece at a time, the last with the directory, which takes an inode', () => {
    const { paths, reserve, files } = bench();
    reserve.ensure();
    for (const left of [3, 2, 1, 0]) {
      expect(reserve.release()).toBe(true);
      expect(files()).toBe(left);
    }
    expect(existsSync(paths.reserve)).toBe(false);
    expect(reserve.release()).toBe(false);
  });

  test('gives up no more than it takes for work that fails for want of space, which is tried again for each piece', async () => {
    const { reserve, files } = bench();
    reserve.ensure();
    const seen: number[] = [];
    const work = async () => {
      seen.push(files());
      return seen.length < 3 ? full() : 'done';
    };
    expect(await reserve.freeing(work)).toBe('done');
    expect(seen).toEqual([4, 3, 2]);
    expect(files()).toBe(2);
  });

  test('is kept for any other failure, and when nothing is left to give up the failure passes through', async () => {
    const { reserve, files } = bench();
    reserve.ensure();
    await expect(reserve.freeing(() => Promise.reject(new Error('other')))).rejects.toThrow('other');
    expect(files()).toBe(4);
    const seen: number[] = [];
    const counted = () => {
      seen.push(files());
      return full();
    };
    await expect(reserve.freeing(counted)).rejects.toMatchObject({ code: 'ERR_NO_SPACE' });
    expect(seen).toEqual([4, 3, 2, 1, 0]);
    seen.length = 0;
    await expect(reserve.freeing(counted)).rejects.toMatchObject({ code: 'ERR_NO_SPACE' });
    expect(seen).toEqual([0]);
  });
});
