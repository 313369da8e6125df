import { existsSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { measureTree } from '#src/files/tree/measure-tree.js';
import { removeTree } from '#src/files/tree/removal/remove-tree.js';
import { NativeFreeSyscalls } from '#src/system/syscalls/native-free/native-free-syscalls.js';
import { writeLayer } from '../plain-layer.js';

const syscalls = new NativeFreeSyscalls();

describe('removing a tree with plain Node', () => {
  let directory: string;
  const at = (name: string) => join(directory, name);

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'remove-tree-'));
  });
  afterEach(() => {
    rmSync(directory, { recursive: true });
  });

  it('removes all that is in it, and counts as much as was measured', () => {
    writeLayer(at('tree'), { 'a/b/c': 'text', 'a/d': 'text', e: '-> /', f: '/' });
    const size = measureTree(at('tree'), { syscalls });
    expect(size.entries).toBe(7);
    expect(removeTree(at('tree'), { syscalls })).toEqual(size);
    expect(existsSync(at('tree'))).toBe(false);
  });

  it('removes a single file', () => {
    writeLayer(directory, { file: 'text', kept: 'text' });
    expect(removeTree(at('file'), { syscalls }).entries).toBe(1);
    expect(readdirSync(directory)).toEqual(['kept']);
  });

  it('removes a symlink and not what it points to', () => {
    writeLayer(at('outside'), { kept: 'text' });
    symlinkSync(at('outside'), at('link'));
    removeTree(at('link'), { syscalls });
    expect(readdirSync(directory)).toEqual(['outside']);
    expect(readdirSync(at('outside'))).toEqual(['kept']);
  });

  it('is content when there is nothing', () => {
    expect(removeTree(at('nothing'), { syscalls })).toEqual({ entries: 0, bytes: 0 });
  });

  it('stops when it is cancelled, and can be called again', () => {
    writeLayer(at('tree'), { a: '1', 'd/b': '2', 'd/e/c': '3' });
    let asked = 0;
    const isCancelled = () => ++asked > 2;
    expect(() => removeTree(at('tree'), { syscalls, isCancelled })).toThrow(
      expect.objectContaining({ code: 'ERR_ABORTED' }),
    );
    removeTree(at('tree'), { syscalls });
    expect(existsSync(at('tree'))).toBe(false);
  });

  it('measures nothing but an error where there is nothing', () => {
    expect(() => measureTree(at('nothing'), { syscalls })).toThrow(expect.objectContaining({ code: 'ENOENT' }));
  });
});
