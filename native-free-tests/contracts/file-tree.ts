import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { FileTime, FileTree } from '#src/system/syscalls/syscalls.js';
import { temporaryDirectory } from '../helpers/memory-store.js';

export interface FileTreeUnderTest {
  readonly open: (directory: string) => FileTree;
  /** Nanoseconds by which a time may be off. */
  readonly precision: number;
  /** Whether it has nodes and extended attributes. */
  readonly whole: boolean;
}

const TIME: FileTime = { seconds: 981_173_106, nanoseconds: 123_456_789 };
const BEFORE_1970: FileTime = { seconds: -2, nanoseconds: 500_000_000 };
const FIFO = 0o010000;
const NO_DEVICE = { major: 0, minor: 0 };

/** What whoever writes the tree of a layer relies on. */
export function describeFileTree(kind: string, { open, precision, whole }: FileTreeUnderTest): void {
  describe(`the tree of a layer, by ${kind} calls`, () => {
    let root: string;
    let tree: FileTree;
    const at = (path: string) => join(root, path);
    const nanosecondsOf = ({ seconds, nanoseconds }: FileTime) =>
      BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds);
    const expectTime = (found: bigint, time: FileTime) =>
      expect(Math.abs(Number(found - nanosecondsOf(time)))).toBeLessThanOrEqual(precision);

    beforeEach(() => {
      root = join(temporaryDirectory(), 'layer');
      mkdirSync(root);
      tree = open(root);
    });
    afterEach(() => tree.close());

    it('gets files with what is written to them, in order and at places', () => {
      const file = tree.createFile('file', 0o640);
      tree.writeFile(file, Buffer.from('-hello-'), 1, 5);
      tree.writeFile(file, Buffer.from(' world'), 0, 6);
      tree.writeFileAt(file, Buffer.from('xHx'), 1, 1, 0);
      tree.setFileSize(file, 13);
      tree.setFileMode(file, 0o4751);
      tree.setFileTimes(file, TIME, BEFORE_1970);
      const { inode, inodeHigh } = tree.fileInode(file);
      tree.closeFile(file);
      const stats = lstatSync(at('file'), { bigint: true });
      expect(readFileSync(at('file'), 'latin1')).toBe('Hello world\0\0');
      expect(stats.mode & 0o7777n).toBe(0o4751n);
      expectTime(stats.atimeNs, TIME);
      expectTime(stats.mtimeNs, BEFORE_1970);
      expect((BigInt(inodeHigh) << 32n) | BigInt(inode)).toBe(stats.ino);
    });

    it('makes a file new or not at all', () => {
      tree.closeFile(tree.createFile('file', 0o600));
      for (const path of ['file', '']) expect(() => tree.createFile(path, 0o600)).toThrow(/EEXIST|EISDIR/);
      tree.makeSymlink('nowhere', 'link');
      expect(() => tree.createFile('link', 0o600)).toThrow(expect.objectContaining({ code: 'EEXIST' }));
      expect(readdirSync(root)).toEqual(['file', 'link']);
    });

    it('gets directories, symlinks and hard links, at any depth', () => {
      tree.makeDirectory('d', 0o750);
      tree.makeDirectory('d/e', 0o700);
      tree.closeFile(tree.createFile('d/e/file', 0o600));
      tree.makeHardLink('d/e/file', 'd/other');
      tree.makeSymlink('../nowhere', 'd/link');
      expect(statSync(at('d')).mode & 0o7777).toBe(0o750);
      expect(statSync(at('d/other')).ino).toBe(statSync(at('d/e/file')).ino);
      expect(readlinkSync(at('d/link'))).toBe('../nowhere');
      for (const make of [
        () => tree.makeDirectory('d', 0o700),
        () => tree.makeSymlink('x', 'd/link'),
        () => tree.makeHardLink('d/other', 'd/link'),
      ])
        expect(make).toThrow(expect.objectContaining({ code: 'EEXIST' }));
    });

    it('links to a symlink itself, and gives it owner and times of its own', () => {
      tree.closeFile(tree.createFile('file', 0o600));
      tree.makeSymlink('file', 'link');
      tree.makeHardLink('link', 'second');
      tree.setTimes('link', TIME, TIME);
      expect(lstatSync(at('second')).isSymbolicLink()).toBe(true);
      expectTime(lstatSync(at('link'), { bigint: true }).mtimeNs, TIME);
      expect(statSync(at('file'), { bigint: true }).mtimeNs).not.toBe(nanosecondsOf(TIME));
    });

    it('tells where a symlink points, and that anything else is none', () => {
      tree.makeSymlink('\xff/target', 'link');
      tree.makeDirectory('d', 0o700);
      expect([tree.readLink('link'), tree.readLink('d')]).toEqual(['\xff/target', undefined]);
      for (const path of ['missing', 'missing/below'])
        expect(() => tree.readLink(path)).toThrow(expect.objectContaining({ code: 'ENOENT' }));
    });

    it('has names that are no UTF-8', () => {
      tree.makeDirectory('\xff', 0o700);
      tree.closeFile(tree.createFile('\xff/\xfe', 0o600));
      expect(readdirSync(Buffer.from(`${root}/\xff`, 'latin1'), 'latin1')).toEqual(['\xfe']);
    });

    it('gives modes and times to what is there, the root included', () => {
      tree.makeDirectory('d', 0o700);
      for (const path of ['d', '']) {
        tree.setMode(path, 0o1711);
        tree.setTimes(path, TIME, BEFORE_1970);
        const stats = lstatSync(at(path), { bigint: true });
        expect(stats.mode & 0o7777n).toBe(0o1711n);
        expectTime(stats.mtimeNs, BEFORE_1970);
      }
    });

    it('loses files, and has entries moved out of it whole', () => {
      tree.makeDirectory('d', 0o700);
      tree.closeFile(tree.createFile('d/file', 0o600));
      tree.closeFile(tree.createFile('gone', 0o600));
      tree.removeFile('gone');
      expect(() => tree.removeFile('gone')).toThrow(expect.objectContaining({ code: 'ENOENT' }));
      const outside = join(root, '..', 'outside');
      tree.moveOut('d', outside);
      expect([readdirSync(root), readdirSync(outside)]).toEqual([[], ['file']]);
      tree.makeDirectory('d', 0o700);
      tree.closeFile(tree.createFile('d/new', 0o600));
      expect([readdirSync(at('d')), readdirSync(outside)]).toEqual([['new'], ['file']]);
    });

    it('tells what is missing, or in the way, as Node does', () => {
      tree.closeFile(tree.createFile('file', 0o600));
      expect(() => tree.makeDirectory('missing/d', 0o700)).toThrow(
        expect.objectContaining({ code: 'ENOENT', syscall: expect.any(String) }),
      );
      expect(() => tree.makeDirectory('file/d', 0o700)).toThrow(expect.objectContaining({ code: 'ENOTDIR' }));
    });

    if (whole)
      it('gets nodes and extended attributes', () => {
        tree.makeNode('fifo', FIFO | 0o640, NO_DEVICE);
        tree.setXattr('', 'user.mark', Buffer.from('x'));
        expect(lstatSync(at('fifo')).isFIFO()).toBe(true);
      });

    if (!whole)
      it('refuses nodes and extended attributes', () => {
        for (const refused of [
          () => tree.makeNode('fifo', FIFO | 0o640, NO_DEVICE),
          () => tree.setXattr('', 'user.mark', Buffer.from('x')),
        ])
          expect(refused).toThrow(expect.objectContaining({ code: 'ENOTSUP' }));
        expect(readdirSync(root)).toEqual([]);
      });
  });
}
