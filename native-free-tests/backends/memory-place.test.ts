import { existsSync, mkdirSync, readdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  isInMemory,
  isMemoryGone,
  keptIn,
  makeMemoryPlace,
  memoryUse,
  requireKeptInMemory,
  resizeMemory,
} from '#src/backends/memory-place.js';
import { NativeFreeSyscalls } from '#src/system/syscalls/native-free/native-free-syscalls.js';
import { openMemoryStore, temporaryDirectory } from '../helpers/memory-store.js';

const BYTES = 2 ** 20;

describe('the place of what is kept in memory', () => {
  it('is the scratch directory where there is none', () => {
    const scratch = temporaryDirectory();
    expect(keptIn(scratch)).toBe(scratch);
    expect([isInMemory(scratch), isMemoryGone(scratch), memoryUse(scratch)]).toEqual([false, false, undefined]);
    expect(keptIn(join(scratch, 'nowhere'))).toBe(join(scratch, 'nowhere'));
  });

  it('is told by its directory, before anything is mounted on it and after that is gone', () => {
    const scratch = temporaryDirectory();
    mkdirSync(join(scratch, 'memory'));
    expect(keptIn(scratch)).toBe(join(scratch, 'memory'));
    expect([isInMemory(scratch), isMemoryGone(scratch), memoryUse(scratch)]).toEqual([true, true, undefined]);
    const syscalls = new NativeFreeSyscalls();
    expect(resizeMemory(syscalls, scratch, BYTES)).toBe(false);
    rmdirSync(join(scratch, 'memory'));
    expect(isMemoryGone(scratch)).toBe(false);
  });

  it('stands before it is mounted, so that it is seen where that fails', () => {
    const scratch = temporaryDirectory();
    expect(() => makeMemoryPlace(new NativeFreeSyscalls(), scratch, BYTES, false)).toThrow(
      expect.objectContaining({ code: 'ERR_IO', message: expect.stringContaining('mount a tmpfs') }),
    );
    expect(readdirSync(scratch)).toEqual(['memory']);
  });

  it('is nothing for copies, before anything is pulled', async () => {
    expect(() => requireKeptInMemory({ name: 'overlay', keepsInMemory: true })).not.toThrow();
    const p = await openMemoryStore();
    await expect(p.provision('job', 'nowhere', { backend: 'copy', inMemoryBytes: BYTES })).rejects.toMatchObject({
      code: 'ERR_BAD_OPTION',
      message: expect.stringContaining('copy'),
      hint: expect.stringContaining('overlay'),
    });
    await expect(p.provision('job', 'nowhere', { inMemoryBytes: BYTES - 1 })).rejects.toMatchObject({
      code: 'ERR_BAD_OPTION',
    });
    expect(existsSync(join(p.root, 'containers/job'))).toBe(false);
  });
});
