import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findProgram } from '#src/system/syscalls/find-program.js';

let path = '';
beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), 'programs-'));
});
afterEach(() => {
  rmSync(path, { recursive: true, force: true });
});

/** A program in a directory of its own. @returns that directory */
function place(directory: string, { mode = 0o755, directoryMode = 0o755 } = {}): string {
  const where = join(path, directory);
  mkdirSync(where);
  writeFileSync(join(where, 'xz'), '#!/bin/sh\n');
  chmodSync(join(where, 'xz'), mode);
  chmodSync(where, directoryMode);
  return where;
}

describe('a program', () => {
  it('is found in the first directory of PATH that has it', () => {
    const [first, second] = [place('first'), place('second')];
    mkdirSync(join(path, 'none'));
    expect(findProgram('xz', { PATH: `${join(path, 'none')}:${first}/:${second}` })).toBe(join(first, 'xz'));
    expect(findProgram('bzip2', { PATH: `${first}:${second}` })).toBeUndefined();
    expect(findProgram('xz', { PATH: '' })).toBeUndefined();
  });

  it('is found where systems have their programs when the environment says nothing', () => {
    expect(findProgram('sh', {})).toMatch(/\/bin\/sh$/);
  });

  it('may be a symlink, or lie behind one', () => {
    const real = place('real');
    symlinkSync(real, join(path, 'link'));
    mkdirSync(join(path, 'links'));
    symlinkSync(join(real, 'xz'), join(path, 'links', 'xz'));
    for (const directory of ['link', 'links'])
      expect(findProgram('xz', { PATH: join(path, directory) })).toBe(join(path, directory, 'xz'));
  });

  it.each([
    ['a file that others can write to', { mode: 0o757 }],
    ['what is in a directory that others can write to', { directoryMode: 0o777 }],
    ['a file that is not executable', { mode: 0o644 }],
  ])('is none of these: %s', (_what, modes) => {
    const good = place('good');
    expect(findProgram('xz', { PATH: `${place('odd', modes)}:${good}` })).toBe(join(good, 'xz'));
  });

  it('is no directory, and is not looked for in directories that depend on where the process was started', () => {
    mkdirSync(join(path, 'odd', 'xz'), { recursive: true });
    const good = place('good');
    expect(findProgram('xz', { PATH: `${join(path, 'odd')}::.:${relative(process.cwd(), good)}` })).toBeUndefined();
  });
});
