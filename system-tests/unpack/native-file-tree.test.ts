import { lstatSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { NativeFileTree } from '#src/system/syscalls/native/native-file-tree.js';
import type { FileTree } from '#src/system/syscalls/syscalls.js';
import { describeWith } from '../helpers/requirements.js';
import { temporaryDirectory } from '../helpers/test-store.js';
import { snapshotTree, treeDifferences } from '../helpers/tree-snapshot.js';

const TIME = { seconds: 981_173_106, nanoseconds: 123_456_789 };
const S_IFIFO = 0o010000;

/** Every call that takes a path, and so could be led astray by one. */
const CALLS: Readonly<Record<string, (tree: FileTree, path: string, elsewhere: string) => void>> = {
  'make a file': (tree, path) => tree.closeFile(tree.createFile(path, 0o644)),
  'make a directory': (tree, path) => tree.makeDirectory(path, 0o755),
  'make a symlink': (tree, path) => tree.makeSymlink('target', path),
  'make a hard link': (tree, path) => tree.makeHardLink('file', path),
  'link to a file': (tree, path) => tree.makeHardLink(path, 'link'),
  'make a FIFO': (tree, path) => tree.makeNode(path, S_IFIFO | 0o600, { major: 0, minor: 0 }),
  'set an owner': (tree, path) => tree.setOwner(path, 12, 34),
  'set a mode': (tree, path) => tree.setMode(path, 0o777),
  'set times': (tree, path) => tree.setTimes(path, TIME, TIME),
  'set an attribute': (tree, path) => tree.setXattr(path, 'trusted.mark', Buffer.from('x')),
  'read a symlink': (tree, path) => tree.readLink(path),
  'remove a file': (tree, path) => tree.removeFile(path),
  'move something out': (tree, path, elsewhere) => tree.moveOut(path, elsewhere),
};

/** Ways out, as a fault in the checks before could let them through. */
const WAYS_OUT: readonly (readonly [string, string, RegExp])[] = [
  ['a name that begins with ".."', '../outside/victim', /EXDEV/],
  ['".." in the middle', 'directory/../../outside/victim', /EXDEV/],
  ['an absolute symlink above it', 'absolute/victim', /ELOOP/],
  ['a relative symlink above it', 'directory/relative/victim', /ELOOP/],
  ['a symlink far above it', 'absolute/below/victim', /ELOOP/],
  ['a magic link above it', 'magic/victim', /ELOOP/],
  ['".." and nothing else', '..', /EXDEV/],
  ['".." at the end', 'directory/../..', /EXDEV/],
];

describeWith(['root'], 'native calls on the tree of a layer', () => {
  let base: string;
  let tree: FileTree;
  const openTree = (checked = true) => new NativeFileTree(join(base, 'layer'), checked ? undefined : () => false);

  beforeEach(() => {
    base = temporaryDirectory();
    mkdirSync(join(base, 'layer/directory'), { recursive: true });
    mkdirSync(join(base, 'outside/below'), { recursive: true });
    for (const place of ['outside', 'outside/below']) writeFileSync(join(base, place, 'victim'), 'untouched');
    writeFileSync(join(base, 'layer/file'), '');
    symlinkSync(join(base, 'outside'), join(base, 'layer/absolute'));
    symlinkSync('../../outside', join(base, 'layer/directory/relative'));
    symlinkSync('/proc/self/cwd', join(base, 'layer/magic'));
    tree = openTree();
  });
  afterEach(() => tree.close());

  const ATTEMPTS = Object.keys(CALLS).flatMap((call) =>
    WAYS_OUT.map(([way, path, code]) => [call, way, path, code] as const),
  );
  it.each(ATTEMPTS)('refuse to %s by way of %s', (call, _way, path, code) => {
    const before = snapshotTree(base);
    const attempt = () => CALLS[call]?.(tree, path, join(base, 'moved'));
    expect(attempt).toThrow(code);
    expect(treeDifferences(before, snapshotTree(base))).toEqual([]);
  });

  it('do not change the mode of what a symlink points to', () => {
    expect(() => tree.setMode('absolute', 0o777)).toThrow(/ENOTSUP/);
    expect(lstatSync(join(base, 'outside')).mode & 0o777).toBe(0o755);
  });

  it('work on names in the directory that has come in the place of another one', () => {
    tree.makeDirectory('directory/a', 0o755);
    tree.closeFile(tree.createFile('directory/a/first', 0o644));
    tree.moveOut('directory', join(base, 'moved'));
    tree.makeDirectory('directory', 0o755);
    tree.makeDirectory('directory/a', 0o755);
    tree.closeFile(tree.createFile('directory/a/second', 0o644));
    expect(readdirSync(join(base, 'layer/directory/a'))).toEqual(['second']);
    expect(readdirSync(join(base, 'moved/a'))).toEqual(['first']);
  });

  it.each([true, false])('reach every entry, with ways checked by the kernel: %s', (checked) => {
    const own = openTree(checked);
    own.makeDirectory('one', 0o755);
    own.makeDirectory('one/two', 0o755);
    own.closeFile(own.createFile('one/two/file', 0o644));
    own.makeHardLink('one/two/file', 'directory/link');
    own.makeSymlink('nowhere', 'one/symlink');
    own.setXattr('one/two', 'trusted.mark', Buffer.from('x'));
    own.setXattr('', 'trusted.mark', Buffer.from('root'));
    own.setMode('one/two/file', 0o4711);
    own.setMode('', 0o711);
    own.setOwner('one/symlink', 12, 34);
    own.setTimes('one/symlink', TIME, TIME);
    expect(own.readLink('one/symlink')).toBe('nowhere');
    expect(own.readLink('one/two')).toBeUndefined();
    expect(() => own.readLink('one/missing')).toThrow(/ENOENT/);
    expect(() => own.readLink('missing/one')).toThrow(/ENOENT/);
    expect(() => own.readLink('file/below')).toThrow(/ENOTDIR/);
    own.close();
    const at = new Map(snapshotTree(join(base, 'layer')).map((entry) => [entry.path, entry]));
    expect(at.get('.')).toMatchObject({ mode: '0711', xattrs: ['trusted.mark=726f6f74'] });
    expect(at.get('one/two')).toMatchObject({ xattrs: ['trusted.mark=78'] });
    expect(at.get('one/two/file')).toMatchObject({ mode: '4711', linkedTo: 'directory/link' });
    expect(at.get('one/symlink')).toMatchObject({ uid: 12, gid: 34, mtime: '981173106123456789' });
  });

  it('take names that are not UTF-8, and directories of such names', () => {
    tree.makeDirectory('directory/\xff', 0o755);
    tree.makeSymlink('\xfe', 'directory/\xff/\xfd');
    expect(tree.readLink('directory/\xff/\xfd')).toBe('\xfe');
    const [directory] = readdirSync(join(base, 'layer/directory'), 'latin1').filter((name) => name !== 'relative');
    expect(directory).toBe('\xff');
  });

  it('leave no directory open', () => {
    const count = () => readdirSync('/proc/self/fd').length;
    const before = count();
    const own = openTree();
    for (const name of ['a', 'b', 'c']) {
      own.makeDirectory(`directory/${name}`, 0o755);
      own.closeFile(own.createFile(`directory/${name}/file`, 0o644));
    }
    expect(() => own.createFile('absolute/file', 0o644)).toThrow(/ELOOP/);
    own.close();
    expect(count()).toBe(before);
  });
});
