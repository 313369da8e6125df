import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { copyLayers } from '#src/files/tree/copying/copy-layers.js';
import { removeTree } from '#src/files/tree/removal/remove-tree.js';
import { NativeFreeSyscalls } from '#src/system/syscalls/native-free/native-free-syscalls.js';
import { readTree, writeLayer } from '../plain-layer.js';

const syscalls = new NativeFreeSyscalls();
const TREE = { a: 'a', 'd/e/f': 'f', 'd/g': 'g', 'd/l': '-> g', x: 'x', 'y/z': 'z' };
/** How often a copy of that tree asks whether it is cancelled, and some more. */
const CALLS = 24;

describe('copying a tree in which somebody is at work', () => {
  let directory: string;
  let copies = 0;
  const at = (name: string) => join(directory, name);

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'copy-changing-'));
  });
  afterEach(() => {
    removeTree(directory, { syscalls });
  });

  /** Copies the tree, and has something happen to it at the `nth` look. @returns the paths of the tree and of the copy */
  function copiedWhile(nth: number, changing: boolean, happens: (tree: string) => void): readonly [string, string] {
    const tree = writeLayer(at(`tree-${copies}`), TREE);
    linkSync(join(tree, 'a'), join(tree, 'y/a'));
    chmodSync(join(tree, 'd/e'), 0o751);
    const target = at(`copy-${copies++}`);
    mkdirSync(target);
    let looks = 0;
    const isCancelled = () => {
      if (looks++ === nth) happens(tree);
      return false;
    };
    const how = { whiteouts: 'plain', privileged: false, asIs: true, syscalls } as const;
    copyLayers({ ...how, layers: [tree], target, changing, isCancelled });
    return [tree, target];
  }
  const failures = (happens: (tree: string) => void) => {
    let failed = 0;
    for (let nth = 0; nth < CALLS; nth++) {
      try {
        copiedWhile(nth, false, happens);
      } catch {
        failed++;
      }
    }
    return failed;
  };

  const removal = (tree: string) => {
    for (const name of ['a', 'd', 'y']) rmSync(join(tree, name), { recursive: true });
  };

  it('leaves out what vanishes, whenever it does, and fails only where nobody should be', () => {
    for (let nth = 0; nth < CALLS; nth++) {
      const [, target] = copiedWhile(nth, true, removal);
      const copy = readTree(target);
      expect({ ...TREE, d: '/', 'd/e': '/', y: '/', 'y/a': 'a' }).toMatchObject(copy);
      expect(copy).toMatchObject({ x: 'x' });
      if (existsSync(join(target, 'd/e/f'))) expect(statSync(join(target, 'd/e')).mode & 0o777).toBe(0o751);
    }
    expect(failures(removal)).toBeGreaterThan(0);
  });

  it('keeps what was there all the while, and no name of what became something else', () => {
    const exchange = (tree: string) => {
      rmSync(join(tree, 'd/g'));
      symlinkSync('/etc/passwd', join(tree, 'd/g'));
      renameSync(join(tree, 'd/e'), join(tree, 'moved'));
      writeFileSync(join(tree, 'd/e'), 'a file');
    };
    for (let nth = 0; nth < CALLS; nth++) {
      const copy = readTree(copiedWhile(nth, true, exchange)[1]);
      expect(copy).toMatchObject({ a: 'a', x: 'x', 'y/a': 'a', 'y/z': 'z' });
      // As it was, as it has become, or not at all.
      expect(['g', '-> /etc/passwd', undefined]).toContain(copy['d/g']);
      expect(['/', 'a file', undefined]).toContain(copy['d/e']);
    }
    expect(failures(exchange)).toBeGreaterThan(0);
  });
});
