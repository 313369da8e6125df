import { existsSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ProvisionerError } from '#src/errors.js';
import { StorePaths } from '#src/paths.js';
import { Reserve } from '#src/store/reserve.js';
import { temporaryDirectory } from '../helpers/memory-store.js';

function bench() {
  const paths = new StorePaths(temporaryDirectory());
  const reserve = new Reserve(paths);
  const files = () => (existsSync(paths.reserve) ? readdirSync(paths.reserve).length : 0);
  return { paths, reserve, files };
}

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

  test('is made whole when a crash left a part of it', () => {
    const { paths, reserve, files } = bench();
    reserve.ensure();
    rmSync(join(paths.reserve, '3'));
    writeFileSync(join(paths.reserve, '2'), '');
    reserve.ensure();
    expect(files()).toBe(4);
    expect(statSync(join(paths.reserve, '2')).size).toBe(1024 * 1024);
  });

  test('is none, and in nobody’s way, where it cannot be made', () => {
    const { paths, reserve } = bench();
    writeFileSync(paths.reserve, 'a file');
    reserve.ensure();
    expect(existsSync(paths.reserve)).toBe(false);
    expect(reserve.release()).toBe(false);
  });

  test('is given up for work that fails for want of space, which is tried once more', async () => {
    const { reserve, files } = bench();
    reserve.ensure();
    const seen: number[] = [];
    const work = async () => {
      seen.push(files());
      return seen.length === 1 ? full() : 'done';
    };
    expect(await reserve.freeing(work)).toBe('done');
    expect(seen).toEqual([4, 0]);
  });

  test('is kept for any other failure, and when nothing is left to give up the failure passes through', async () => {
    const { reserve, files } = bench();
    reserve.ensure();
    await expect(reserve.freeing(() => Promise.reject(new Error('other')))).rejects.toThrow('other');
    expect(files()).toBe(4);
    await expect(reserve.freeing(full)).rejects.toMatchObject({ code: 'ERR_NO_SPACE' });
    let tries = 0;
    const counted = () => {
      tries += 1;
      return full();
    };
    await expect(reserve.freeing(counted)).rejects.toMatchObject({ code: 'ERR_NO_SPACE' });
    expect(tries).toBe(1);
  });
});
