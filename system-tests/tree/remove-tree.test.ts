import { execFileSync, spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { measureTree } from '#src/files/tree/measure-tree.js';
import { removeTree } from '#src/files/tree/removal/remove-tree.js';
import { loadSyscalls } from '#src/system/syscalls/load-syscalls.js';
import { loadTreeCalls } from '#src/system/syscalls/load-tree-calls.js';
import { NativeFreeSyscalls } from '#src/system/syscalls/native-free/native-free-syscalls.js';
import { LayerBuilder } from './layer-builder.js';

describe.each([
  ['native', loadSyscalls()],
  ['native-free', new NativeFreeSyscalls()],
] as const)('removing and measuring a tree with %s calls', (kind, syscalls) => {
  let directory: string;
  const at = (name: string) => join(directory, name);

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'remove-tree-'));
  });
  afterEach(() => {
    for (const name of ['tree/mounted', 'tree', 'other/mounted']) spawnSync('umount', ['-l', at(name)]);
    removeTree(directory);
  });

  it('measures what du and find do, and gives back as much', () => {
    new LayerBuilder(at('tree'))
      .file('file', Buffer.alloc(100_000))
      .hardLink('sub/link', 'file')
      .hardLink('sub/another', 'file')
      .symlink('sub/symlink', '/etc')
      .symlink('sub/long', 'x'.repeat(3000))
      .directory('sub/empty')
      .file('sub/\xff\n', 'odd name')
      .node('sub/fifo', 0o010000);
    const size = measureTree(at('tree'), { syscalls });
    const du = execFileSync('du', ['-s', '--block-size=1', at('tree')], { encoding: 'utf8' });
    const names = execFileSync('find', [at('tree'), '-printf', 'x'], { encoding: 'utf8' });
    expect(size).toEqual({ bytes: Number.parseInt(du, 10), entries: names.length });
    expect(removeTree(at('tree'), { syscalls })).toEqual(size);
    expect(readdirSync(directory)).toEqual([]);
  });

  it('counts the bytes of a file only when its last name goes', () => {
    new LayerBuilder(at('tree')).file('one', Buffer.alloc(50_000));
    new LayerBuilder(at('kept')).directory('');
    execFileSync('ln', [at('tree/one'), at('kept/two')]);
    const { bytes } = removeTree(at('tree'), { syscalls });
    expect(bytes).toBeLessThan(50_000);
    expect(removeTree(at('kept'), { syscalls }).bytes).toBeGreaterThanOrEqual(50_000);
  });

  it('removes symlinks and not what they point to', () => {
    new LayerBuilder(at('outside')).file('kept');
    new LayerBuilder(at('tree')).symlink('directory', at('outside')).symlink('file', at('outside/kept'));
    symlinkSync(at('outside'), at('link'));
    removeTree(at('tree'), { syscalls });
    expect(removeTree(at('link'), { syscalls }).entries).toBe(1);
    expect(readdirSync(directory)).toEqual(['outside']);
    expect(readdirSync(at('outside'))).toEqual(['kept']);
  });

  it('is content with what is not there', () => {
    expect(removeTree(at('nothing'), { syscalls })).toEqual({ entries: 0, bytes: 0 });
    expect(removeTree(at('nothing/below'), { syscalls })).toEqual({ entries: 0, bytes: 0 });
  });

  it('finds the tree by way of a symlink above it', () => {
    new LayerBuilder(at('real')).file('tree/file');
    symlinkSync(at('real'), at('link'));
    expect(removeTree(at('link/tree'), { syscalls }).entries).toBe(2);
    expect(readdirSync(at('real'))).toEqual([]);
  });

  it('does not go into a file system that is mounted in the tree, names it, and does not measure it', () => {
    mkdirSync(at('tree/mounted'), { recursive: true });
    const before = measureTree(at('tree'), { syscalls });
    execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', at('tree/mounted')]);
    new LayerBuilder(at('tree/mounted')).file('kept', Buffer.alloc(10_000));
    expect(() => removeTree(at('tree'), { syscalls })).toThrow(
      expect.objectContaining({ code: 'EBUSY', path: at('tree/mounted') }),
    );
    expect(existsSync(at('tree/mounted/kept'))).toBe(true);
    const { bytes, entries } = measureTree(at('tree'), { syscalls });
    expect({ bytes, entries }).toEqual({ bytes: before.bytes - statSync(directory).blocks * 512, entries: 1 });
  });

  it('does not go into a file system that is mounted on the tree', () => {
    mkdirSync(at('tree'));
    execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', at('tree')]);
    new LayerBuilder(at('tree')).file('kept');
    expect(() => removeTree(at('tree'), { syscalls })).toThrow(
      expect.objectContaining({ code: 'EBUSY', path: at('tree') }),
    );
    expect(existsSync(at('tree/kept'))).toBe(true);
  });

  // Plain Node cannot tell such a mount from a directory; see `CopyBackend.destroy` for what keeps it from being met.
  if (kind === 'native') {
    it('does not go into a directory of the same file system that is mounted a second time', () => {
      new LayerBuilder(at('layer')).file('kept');
      mkdirSync(at('tree/mounted'), { recursive: true });
      execFileSync('mount', ['--bind', at('layer'), at('tree/mounted')]);
      expect(() => removeTree(at('tree'), { syscalls })).toThrow(
        expect.objectContaining({ code: 'EBUSY', path: at('tree/mounted') }),
      );
      expect(existsSync(at('layer/kept'))).toBe(true);
    });
  }

  it('removes and measures a tree whose paths are longer than any call takes', () => {
    mkdirSync(at('tree'));
    const calls = loadTreeCalls(loadSyscalls());
    const name = 'n'.repeat(200);
    let deepest = calls.openDirectory(at('tree'));
    for (let depth = 0; depth < 2000; depth++) {
      deepest.makeDirectory(name);
      if (depth % 2 === 0) closeSync(deepest.createFile('file', 0o600));
      const next = deepest.openDirectory(name);
      deepest.close();
      deepest = next;
    }
    deepest.close();
    expect(measureTree(at('tree'), { syscalls }).entries).toBe(3001);
    expect(removeTree(at('tree'), { syscalls }).entries).toBe(3001);
    expect(existsSync(at('tree'))).toBe(false);
  });

  it('removes a directory of so many entries with long names that listing it takes many calls', () => {
    const layer = new LayerBuilder(at('tree')).file('.hidden').file('...').file('..b');
    for (let index = 0; index < 3000; index++) layer.file(`${index}${'\xe9'.repeat(200)}`, '');
    layer.file('sub/file');
    expect(removeTree(at('tree'), { syscalls }).entries).toBe(3006);
    expect(existsSync(at('tree'))).toBe(false);
  });

  it('does not mind entries that somebody else removes meanwhile', () => {
    const layer = new LayerBuilder(at('tree'));
    for (let index = 0; index < 200; index++)
      layer.file(`d${index % 20}/f${index}`).directory(`d${index % 20}/e${index}`);
    let asked = 0;
    const isCancelled = () => {
      asked++;
      if (asked === 5)
        for (const name of ['d3', 'd4', 'd5']) rmSync(at(`tree/${name}`), { recursive: true, force: true });
      if (asked === 30) execFileSync('find', [at('tree'), '-type', 'f', '-delete']);
      if (asked === 60) execFileSync('find', [at('tree'), '-mindepth', '1', '-delete']);
      return false;
    };
    removeTree(at('tree'), { syscalls, isCancelled });
    expect(existsSync(at('tree'))).toBe(false);
  });

  it('removes what somebody else adds meanwhile', () => {
    const layer = new LayerBuilder(at('tree')).file('a').file('b').file('c');
    let asked = 0;
    const isCancelled = () => {
      if (++asked === 3) layer.file('new/file').file('z');
      return false;
    };
    removeTree(at('tree'), { syscalls, isCancelled });
    expect(existsSync(at('tree'))).toBe(false);
  });

  it('does not follow a symlink that takes the place of a directory before its turn', () => {
    new LayerBuilder(at('outside')).file('kept');
    const layer = new LayerBuilder(at('tree'));
    const names = Array.from({ length: 8 }, (_, index) => `sub${index}`);
    for (const name of names) layer.file(`${name}/file`);
    let asked = 0;
    const isCancelled = () => {
      // First about the tree itself; then about one that has been read as a directory, and is gone into next, whatever the order in which a file system lists them.
      if (++asked !== 2) return false;
      for (const name of names) {
        rmSync(at(`tree/${name}`), { recursive: true });
        layer.symlink(name, at('outside'));
      }
      return false;
    };
    const { entries } = removeTree(at('tree'), { syscalls, isCancelled });
    expect(asked).toBeGreaterThan(2);
    // The links themselves were removed, not only found to be gone.
    expect(entries).toBe(names.length + 1);
    expect(existsSync(at('tree'))).toBe(false);
    expect(readdirSync(at('outside'))).toEqual(['kept']);
  });

  /** Directories within each other, each with a file beside the next one. @returns the path of each below the tree */
  function deepTree(depth: number): string[] {
    const layer = new LayerBuilder(at('tree'));
    const paths = Array.from({ length: depth }, (_, level) =>
      Array(level + 1)
        .fill('d')
        .join('/'),
    );
    for (const path of paths) layer.file(`${path}/file`);
    return paths;
  }

  it('measures what is left when somebody moves a directory that the way back leads through', () => {
    const paths = deepTree(200);
    let moves = 0;
    const pause = () => {
      // By then the measurement is at its deepest, and half of its way is not open.
      if (++moves === 390) renameSync(at(`tree/${paths[80]}`), at('aside'));
    };
    const { entries } = measureTree(at('tree'), { syscalls, pause });
    // Looked at again, since what was moved is not the whole of what was lost.
    expect(entries).toBe(1 + 2 * 80);
    expect(measureTree(at('aside'), { syscalls }).entries).toBe(2 * 120);
    removeTree(at('aside'), { syscalls });
  });

  it('measures what it can when somebody moves directories again and again', () => {
    const paths = deepTree(200);
    let [asked, aside] = [0, false];
    const pause = () => {
      if (++asked % 100 !== 90) return;
      renameSync(at(aside ? 'aside' : `tree/${paths[80]}`), at(aside ? `tree/${paths[80]}` : 'aside'));
      aside = !aside;
    };
    expect(measureTree(at('tree'), { syscalls, pause }).entries).toBeGreaterThan(100);
    if (aside) removeTree(at('aside'), { syscalls });
  });

  it('removes what is left when somebody moves a directory that the way back leads through, and nothing outside', () => {
    const paths = deepTree(200);
    new LayerBuilder(at('outside')).file('kept').file('sub/kept');
    let moved = false;
    const isCancelled = () => {
      if (!moved && !existsSync(at(`tree/${paths[150]}/file`))) {
        moved = true;
        renameSync(at(`tree/${paths[80]}`), at('outside/moved'));
      }
      return false;
    };
    removeTree(at('tree'), { syscalls, isCancelled });
    expect(moved).toBe(true);
    expect(existsSync(at('tree'))).toBe(false);
    expect(readdirSync(at('outside')).sort()).toEqual(['kept', 'moved', 'sub']);
    expect(readdirSync(at('outside/sub'))).toEqual(['kept']);
  });

  it('takes a directory for what it has become since it was listed', () => {
    const layer = new LayerBuilder(at('tree')).file('sub/file').file('other/file');
    let asked = 0;
    const pause = () => {
      if (++asked !== 2) return;
      rmSync(at('tree/sub'), { recursive: true });
      rmSync(at('tree/other'), { recursive: true });
      layer.symlink('sub', '/').file('other');
    };
    expect(measureTree(at('tree'), { syscalls, pause }).entries).toBeLessThanOrEqual(4);
  });

  it('removes directories that are wide at every level', () => {
    const layer = new LayerBuilder(at('tree'));
    for (let level = 0; level < 150; level++) {
      const path = Array(level).fill('d').join('/');
      for (let index = 0; index < 20; index++) layer.file(`${path}/${index}${'n'.repeat(200)}`, '');
    }
    const size = measureTree(at('tree'), { syscalls });
    expect(size.entries).toBe(150 * 21);
    expect(removeTree(at('tree'), { syscalls })).toEqual(size);
    expect(existsSync(at('tree'))).toBe(false);
  });

  it('leaves what is left when it is cancelled, and can be called again', () => {
    new LayerBuilder(at('tree')).file('a').file('b').file('c');
    let asked = 0;
    expect(() => removeTree(at('tree'), { syscalls, isCancelled: () => ++asked > 2 })).toThrow(
      expect.objectContaining({ code: 'ERR_ABORTED' }),
    );
    expect(existsSync(at('tree'))).toBe(true);
    removeTree(at('tree'), { syscalls });
    expect(existsSync(at('tree'))).toBe(false);
  });

  it('leaves no descriptor open', () => {
    const open = () => readdirSync('/proc/self/fd').length;
    new LayerBuilder(at('tree')).file(`${Array.from({ length: 150 }, () => 'd').join('/')}/f`);
    closeSync(openSync('/dev/null', 'r'));
    const before = open();
    measureTree(at('tree'), { syscalls });
    let asked = 0;
    expect(() => removeTree(at('tree'), { syscalls, isCancelled: () => ++asked > 100 })).toThrow();
    removeTree(at('tree'), { syscalls });
    expect(open()).toBe(before);
  });
});
