import fs, {
  chmodSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  mkdtempSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type CopyLayersOptions, copyLayers } from '#src/files/tree/copying/copy-layers.js';
import { createCopyShares } from '#src/files/tree/copying/copy-share.js';
import { removeTree } from '#src/files/tree/removal/remove-tree.js';
import { NativeFreeSyscalls } from '#src/system/syscalls/native-free/native-free-syscalls.js';
import { type Content, GONE, OPAQUE, readTree, writeLayer } from '../plain-layer.js';

const syscalls = new NativeFreeSyscalls();

describe('copying layers with plain Node', () => {
  let directory: string;
  let copies = 0;
  const at = (name: string) => join(directory, name);

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'copy-layers-'));
  });
  afterEach(() => {
    removeTree(directory, { syscalls });
  });

  function options(layers: readonly string[]): CopyLayersOptions {
    const target = at(`copy-${copies++}`);
    mkdirSync(target);
    return { layers, target, whiteouts: 'plain', privileged: false, syscalls };
  }
  function copied(...layers: Record<string, Content>[]): Record<string, Content> {
    const prefix = `stack-${copies}`;
    const copy = options(layers.map((layer, index) => writeLayer(at(`${prefix}-${index}`), layer)));
    copyLayers(copy);
    return readTree(copy.target);
  }

  it('shows the topmost of what has one name', () => {
    expect(copied({ a: '1', 'd/x': '1' }, { a: '2', 'd/y': '2' }, { 'd/x': '3' })).toEqual({
      a: '2',
      d: '/',
      'd/x': '3',
      'd/y': '2',
    });
  });

  it('hides what a whiteout names, and shows no whiteout', () => {
    expect(copied({ a: '1', 'd/x': '1', 'd/y': '1' }, { a: GONE, 'd/x': GONE, 'not/there': GONE })).toEqual({
      d: '/',
      'd/y': '1',
      not: '/',
    });
  });

  it('shows again what a layer above a whiteout adds, without what was below', () => {
    expect(copied({ 'd/x': '1' }, { d: GONE }, { 'd/y': '3' })).toEqual({ d: '/', 'd/y': '3' });
  });

  it('shows what a layer has beside its own whiteout of it', () => {
    expect(copied({ 'd/x': '1' }, { d: GONE, 'd/y': '2' })).toEqual({ d: '/', 'd/y': '2' });
  });

  it('hides what lies below an opaque directory, not what its own layer has in it', () => {
    expect(copied({ 'd/x': '1', 'd/e/x': '1' }, { d: OPAQUE, 'd/y': '2' }, { 'd/z': '3' })).toEqual({
      d: '/',
      'd/y': '2',
      'd/z': '3',
    });
  });

  it('takes an opaque root for the end of the stack', () => {
    expect(copied({ x: '1' }, { '.': OPAQUE, y: '2' })).toEqual({ y: '2' });
  });

  it('lets a file or a symlink hide a directory, and a directory hide a file', () => {
    const below = { 'file/x': '1', 'symlink/x': '1', directory: '1', 'pointed/x': '1' };
    expect(copied(below, { file: '2', symlink: '-> pointed', 'directory/x': '2' })).toEqual({
      directory: '/',
      'directory/x': '2',
      file: '2',
      pointed: '/',
      'pointed/x': '1',
      symlink: '-> pointed',
    });
  });

  it('does not merge a directory with one that a file between them hides', () => {
    expect(copied({ 'd/x': '1' }, { d: '2' }, { 'd/y': '3' })).toEqual({ d: '/', 'd/y': '3' });
  });

  it('counts a layer that is there twice as its topmost copy', () => {
    const a = writeLayer(at('a'), { x: 'a', only: 'a' });
    const b = writeLayer(at('b'), { x: 'b', only: GONE });
    const copy = options([a, b, a]);
    copyLayers(copy);
    expect(readTree(copy.target)).toEqual({ only: 'a', x: 'a' });
  });

  it('makes of any stack what its layers, applied one after the other, would make', () => {
    const name = fc.constantFrom('a', 'b', 'c');
    const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => names.join('/'));
    const content = fc.constantFrom('text', '-> a', '/', GONE, OPAQUE);
    const layer = fc.array(fc.tuple(path, content), { maxLength: 8 }).map(consistent);
    fc.assert(
      fc.property(
        fc.array(layer, { minLength: 1, maxLength: 4 }),
        fc.integer({ min: 1, max: 3 }),
        (layers, threads) => {
          const stack = layers.map((entries, index) => writeLayer(at(`${copies}-${index}`), entries));
          const copy = options(stack);
          copyInterleaved(copy, threads);
          expect(readTree(copy.target)).toEqual(applied(layers));
        },
      ),
      { numRuns: 150 },
    );
  });

  it('keeps modes, times and hard links', () => {
    const layer = writeLayer(at('layer'), { 'd/one': 'text', 'e/other': 'text', symlink: '-> d' });
    linkSync(join(layer, 'd/one'), join(layer, 'e/two'));
    chmodSync(join(layer, 'd/one'), 0o604);
    chmodSync(join(layer, 'd'), 0o1770);
    for (const path of ['d/one', 'symlink', 'd', '.'])
      lutimesSync(join(layer, path), 1_000_000_000.5, 1_100_000_000.25);
    const copy = options([layer]);
    const { entries, bytes } = copyLayers(copy);
    expect({ entries, bytes }).toEqual({ entries: 6, bytes: 8 });
    expect(lstatSync(join(copy.target, 'd/one')).ino).toBe(lstatSync(join(copy.target, 'e/two')).ino);
    for (const path of ['d/one', 'symlink', 'd', '.']) {
      const [expected, actual] = [lstatSync(join(layer, path)), lstatSync(join(copy.target, path))];
      expect({ path, mode: actual.mode, mtime: actual.mtimeMs }).toEqual({
        path,
        mode: expected.mode,
        mtime: 1_100_000_000_250,
      });
    }
    expect(statSync(join(copy.target, 'd/one')).atimeMs).toBe(1_000_000_000_500);
  });

  it('keeps holes', () => {
    mkdirSync(at('layer'));
    const descriptor = fs.openSync(join(at('layer'), 'sparse'), 'w');
    fs.writeSync(descriptor, Buffer.from('data'), 0, 4, 5_000_000);
    fs.ftruncateSync(descriptor, 20_000_000);
    fs.closeSync(descriptor);
    const copy = options([at('layer')]);
    copyLayers(copy);
    const [before, after] = [join(at('layer'), 'sparse'), join(copy.target, 'sparse')].map((path) =>
      fs.readFileSync(path),
    );
    expect(after?.equals(before ?? Buffer.alloc(0))).toBe(true);
    const { blocks } = statSync(join(copy.target, 'sparse'));
    expect(blocks * 512).toBeLessThanOrEqual(Math.max(64 * 1024, statSync(join(at('layer'), 'sparse')).blocks * 512));
  });

  it('copies a file of many pieces byte for byte', () => {
    mkdirSync(at('layer'));
    const content = Buffer.alloc(3_000_001, 'pieces of eight ');
    writeFileSync(join(at('layer'), 'large'), content);
    const copy = options([at('layer')]);
    copyLayers(copy);
    expect(fs.readFileSync(join(copy.target, 'large')).equals(content)).toBe(true);
  });

  it('stops at any entry when it is cancelled', () => {
    const layer = writeLayer(at('layer'), { a: '1', 'd/b': '2', 'd/e/c': '3' });
    let steps = 0;
    copyLayers({ ...options([layer]), isCancelled: () => ++steps < 0 });
    for (let last = 1; last <= steps; last++) {
      let asked = 0;
      expect(() => copyLayers({ ...options([layer]), isCancelled: () => ++asked >= last })).toThrow(
        expect.objectContaining({ code: 'ERR_ABORTED' }),
      );
    }
  });

  it('says which layer is missing', () => {
    expect(() => copyLayers(options([at('missing')]))).toThrow(expect.objectContaining({ code: 'ERR_IO' }));
    expect(() => copyLayers(options([at('missing')]))).toThrow(/missing/);
  });
});

/** Runs all shares of a copy, each one to its end in the middle of the one before. */
function copyInterleaved(options: CopyLayersOptions, threads: number): void {
  const shares = createCopyShares(threads);
  const run = (index: number): void => {
    const share = shares[index];
    if (share === undefined) return;
    let asked = 0;
    const isCancelled = () => {
      if (++asked === 3) run(index + 1);
      return false;
    };
    copyLayers({ ...options, share, isCancelled });
    if (asked < 3) run(index + 1);
  };
  run(0);
}

/** Drops the entries that cannot be in one layer together: something below what is no directory, or two things at one path. */
function consistent(entries: readonly (readonly [string, Content])[]): Record<string, Content> {
  const kept: Record<string, Content> = {};
  const isDirectory = (content: Content | undefined) => content === undefined || content === '/' || content === OPAQUE;
  for (const [path, content] of entries) {
    const parents = path.split('/').map((_, index, names) => names.slice(0, index).join('/'));
    const fits = parents.every((parent) => isDirectory(kept[parent]));
    const holds = Object.keys(kept).some((other) => other.startsWith(`${path}/`));
    if (fits && kept[path] === undefined && (!holds || isDirectory(content))) kept[path] = content;
  }
  return kept;
}

/** The plain meaning of a stack: each layer's marks take away, then its entries come. */
function applied(layers: readonly Record<string, Content>[]): Record<string, Content> {
  const tree = new Map<string, Content>();
  const removeBelow = (path: string) => {
    for (const other of [...tree.keys()]) if (other.startsWith(`${path}/`)) tree.delete(other);
  };
  for (const layer of layers) {
    for (const [path, content] of Object.entries(layer)) {
      if (content !== GONE && content !== OPAQUE) continue;
      removeBelow(path);
      if (content === GONE) tree.delete(path);
    }
    for (const [path, content] of Object.entries(layer)) {
      const names = path.split('/');
      for (let depth = 1; depth < names.length; depth++) putDirectory(names.slice(0, depth).join('/'));
      if (content === '/' || content === OPAQUE) putDirectory(path);
      else if (content !== GONE) {
        removeBelow(path);
        tree.set(path, content);
      }
    }
  }
  return Object.fromEntries([...tree].sort());

  function putDirectory(path: string): void {
    tree.set(path, '/');
  }
}
