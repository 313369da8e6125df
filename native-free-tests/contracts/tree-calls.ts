import { execFileSync } from 'node:child_process';
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statfsSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { nodePath } from '#src/system/syscalls/byte-path.js';
import type { FileTime } from '#src/system/syscalls/syscalls.js';
import {
  COPY_PIECE,
  DIRECTORY,
  type OpenDirectory,
  REGULAR_FILE,
  SYMLINK,
  type TreeCalls,
} from '#src/system/syscalls/tree-calls.js';
import { temporaryDirectory } from '../helpers/memory-store.js';

export interface TreeCallsUnderTest {
  readonly calls: TreeCalls;
  /** Nanoseconds by which a time that is set may be off. */
  readonly precision: number;
}

const TIME: FileTime = { seconds: 981_173_106, nanoseconds: 123_456_789 };

/** What copying, measuring, removing and checking a tree rely on. */
export function describeTreeCalls(kind: string, { calls, precision }: TreeCallsUnderTest): void {
  describe(`an open directory, by ${kind} calls`, () => {
    let root: string;
    let directory: OpenDirectory;
    const opened: OpenDirectory[] = [];
    const at = (path: string) => join(root, path);
    const keep = (one: OpenDirectory) => {
      opened.push(one);
      return one;
    };
    const namesIn = (open: OpenDirectory) => {
      const cursor = open.cursor();
      const names: string[] = [];
      while (cursor.next()) names.push(cursor.name);
      cursor.close();
      return names.toSorted();
    };
    const codeOf = (work: () => unknown): string | undefined => {
      try {
        work();
        return undefined;
      } catch (error) {
        return (error as NodeJS.ErrnoException).code;
      }
    };

    beforeEach(() => {
      root = join(temporaryDirectory(), 'tree');
      mkdirSync(root);
      directory = keep(calls.openDirectory(root));
    });
    afterEach(() => {
      for (const one of opened.splice(0)) one.close();
    });

    it('is listed without "." and "..", names that are no UTF-8 included', () => {
      mkdirSync(at('d'));
      writeFileSync(nodePath(`${root}/\xff`), '');
      symlinkSync('nowhere', at('link'));
      expect(namesIn(directory)).toEqual(['d', 'link', '\xff']);
    });

    it('is listed whole, however many entries it has, and again by another cursor', () => {
      const names = Array.from({ length: 3000 }, (_, index) => `entry-${index}`).toSorted();
      for (const name of names) writeFileSync(at(name), '');
      expect(namesIn(directory)).toEqual(names);
      expect(namesIn(keep(calls.openDirectory(root)))).toEqual(names);
    });

    it('is listed on from where another cursor stood', () => {
      for (let index = 0; index < 500; index++) writeFileSync(at(`entry-${index}`), '');
      const seen: string[] = [];
      let position = 0n;
      for (let goesOn = true; goesOn; ) {
        const cursor = directory.cursor(position);
        goesOn = false;
        for (let count = 0; count < 7 && cursor.next(); count++) {
          seen.push(cursor.name);
          position = cursor.after;
          goesOn = true;
        }
        cursor.close();
      }
      expect(seen.toSorted()).toEqual(readdirSync(root).toSorted());
    });

    it('loses entries while it is listed, and all others show', () => {
      for (let index = 0; index < 1000; index++) writeFileSync(at(`entry-${index}`), '');
      const cursor = directory.cursor();
      let count = 0;
      while (cursor.next()) {
        cursor.removeFile();
        count++;
      }
      cursor.close();
      expect([count, readdirSync(root)]).toEqual([1000, []]);
    });

    it('tells of each entry what it is, by name and by cursor, without following symlinks', () => {
      mkdirSync(at('d'), 0o751);
      writeFileSync(at('file'), 'x'.repeat(5000), { mode: 0o640 });
      symlinkSync('file', at('link'));
      const types = Object.fromEntries(['d', 'file', 'link', ''].map((name) => [name, directory.status(name).type]));
      expect(types).toEqual({ d: DIRECTORY, file: REGULAR_FILE, link: SYMLINK, '': DIRECTORY });
      const stats = lstatSync(at('file'), { bigint: true });
      const status = directory.status('file');
      expect({ ...pick(status, 'size', 'links', 'mode', 'uid', 'gid', 'disk') }).toEqual({
        size: 5000,
        links: 1,
        mode: 0o640,
        uid: Number(stats.uid),
        gid: Number(stats.gid),
        disk: Number(stats.blocks) * 512,
      });
      expect((BigInt(status.inodeHigh) << 32n) | BigInt(status.inode)).toBe(stats.ino);
      const cursor = directory.cursor();
      while (cursor.next()) {
        const usage = cursor.usage();
        expect([usage.type, usage.identity]).toEqual([
          directory.status(cursor.name).type,
          directory.usage(cursor.name).identity,
        ]);
        expect([undefined, usage.type]).toContain(cursor.type);
      }
      cursor.close();
    });

    it('has one identity for two names of a file, and another for every other file', () => {
      writeFileSync(at('a'), 'same');
      writeFileSync(at('b'), 'same');
      directory.makeHardLink(directory, 'a', 'c');
      const [a, b, c] = ['a', 'b', 'c'].map((name) => directory.status(name));
      expect([a?.links, c?.identity === a?.identity, b?.identity === a?.identity]).toEqual([2, true, false]);
    });

    it('opens what is below it, however long the way, and no symlink', () => {
      symlinkSync(root, at('link'));
      const names = Array.from({ length: 40 }, (_, index) => `${index}-${'n'.repeat(200)}`);
      let deepest = directory;
      for (const name of names) {
        expect(deepest.makeDirectory(name)).toBe(true);
        deepest = keep(deepest.openDirectory(name));
      }
      expect(deepest.makeDirectory('bottom')).toBe(true);
      expect(namesIn(keep(directory.openDirectory(names.join('/'))))).toEqual(['bottom']);
      expect(namesIn(keep(keep(deepest.openDirectory('bottom')).openParent()))).toEqual(['bottom']);
      expect(['ENOTDIR', 'ELOOP']).toContain(codeOf(() => directory.openDirectory('link')));
      expect(['ENOTDIR', 'ELOOP']).toContain(codeOf(() => calls.openDirectory(at('link'))));
      expect(['ELOOP', 'ENOTDIR', 'EMLINK']).toContain(codeOf(() => directory.openFile('link')));
      expect(codeOf(() => directory.openDirectory('missing'))).toBe('ENOENT');
    });

    it('makes entries, and says when a name is taken', () => {
      const file = directory.createFile('file', 0o600);
      calls.closeFile(file);
      directory.makeSymlink('\xfftarget', 'link');
      expect([directory.makeDirectory('d'), directory.makeDirectory('d'), directory.makeDirectory('link')]).toEqual([
        true,
        false,
        false,
      ]);
      expect(directory.status('d').mode & 0o700).toBe(0o700);
      expect(directory.readSymlink('link')).toBe('\xfftarget');
      for (const name of ['file', 'link', 'd'])
        expect(
          codeOf(() => directory.createFile(name, 0o600)),
          name,
        ).toBe('EEXIST');
    });

    it('removes entries, and directories only when they are empty', () => {
      directory.makeDirectory('d');
      writeFileSync(at('d/file'), '');
      symlinkSync('d', at('link'));
      expect(['ENOTEMPTY', 'EEXIST']).toContain(codeOf(() => directory.removeDirectory('d')));
      directory.removeFile('link');
      keep(directory.openDirectory('d')).removeFile('file');
      directory.removeDirectory('d');
      expect([namesIn(directory), codeOf(() => directory.removeFile('d'))]).toEqual([[], 'ENOENT']);
    });

    it('gives modes and times to its entries and itself', () => {
      directory.makeDirectory('d');
      symlinkSync('d', at('link'));
      for (const name of ['d', '']) {
        directory.setMode(name, 0o1711);
        directory.setTimes(name, TIME, TIME);
        expect(directory.status(name).mode).toBe(0o1711);
        expectNear(directory.status(name).modified);
      }
      directory.setTimes('link', TIME, TIME);
      expectNear(directory.status('link').modified);
      directory.setDirectoryMode('d', 0o700);
      expect(directory.status('d').mode).toBe(0o700);
    });

    it('does not set the mode of a directory that has become a symlink', () => {
      const outside = join(root, '..', 'outside');
      mkdirSync(outside, 0o755);
      symlinkSync(outside, at('d'));
      expect(codeOf(() => directory.setDirectoryMode('d', 0o777))).not.toBeUndefined();
      expect(lstatSync(outside).mode & 0o777).toBe(0o755);
    });

    it('opens nothing but regular files where somebody else may have changed them for something else', () => {
      writeFileSync(at('file'), 'content');
      symlinkSync('file', at('link'));
      mkdirSync(at('d'));
      const file = directory.openRegularFile('file');
      expect(readFileSync(file, 'utf8')).toBe('content');
      calls.closeFile(file);
      execFileSync('mkfifo', [at('pipe')]);
      for (const name of ['link', 'd', 'pipe'])
        expect(['EINVAL', 'ELOOP'], name).toContain(codeOf(() => directory.openRegularFile(name)));
      expect(codeOf(() => directory.openRegularFile('missing'))).toBe('ENOENT');
    });

    it('gives modes to FIFOs, and to nothing that has taken the place of one', () => {
      execFileSync('mkfifo', ['-m', '600', at('pipe')]);
      const outside = join(root, '..', 'outside-file');
      writeFileSync(outside, '', { mode: 0o600 });
      symlinkSync(outside, at('link'));
      directory.setNodeMode('pipe', 0o642);
      expect(directory.status('pipe').mode).toBe(0o642);
      expect(['EINVAL', 'ELOOP']).toContain(codeOf(() => directory.setNodeMode('link', 0o666)));
      expect(lstatSync(outside).mode & 0o777).toBe(0o600);
    });

    it('renames entries, also from one directory to another, over what is there', () => {
      mkdirSync(at('d'));
      writeFileSync(at('one'), 'new');
      writeFileSync(at('d/two'), 'old');
      const inside = keep(directory.openDirectory('d'));
      directory.rename('one', inside, 'two');
      expect([namesIn(directory), readFileSync(at('d/two'), 'utf8')]).toEqual([['d'], 'new']);
      inside.rename('two', inside, 'three');
      expect(namesIn(inside)).toEqual(['three']);
      expect(codeOf(() => inside.rename('two', directory, 'two'))).toBe('ENOENT');
    });

    it('tells which kind of file system a directory is on', () => {
      expect(directory.fileSystemType()).toBe(statfsSync(root).type);
    });

    it('copies the content of files, with the times that they are given', () => {
      const content = Buffer.alloc(COPY_PIECE + 300_000, 'content');
      writeFileSync(at('from'), content);
      const from = directory.openFile('from');
      const to = directory.createFile('to', 0o600);
      let pauses = 0;
      calls.copyContent(from, to, calls.fileStatus(from), () => void pauses++);
      calls.setFileMode(to, 0o640);
      calls.setFileTimes(to, TIME, TIME);
      for (const file of [from, to]) calls.closeFile(file);
      expect(readFileSync(at('to')).equals(content)).toBe(true);
      expect(directory.status('to').mode).toBe(0o640);
      expectNear(directory.status('to').modified);
      expect(pauses).toBeGreaterThan(0);
    });

    it('gives a copy up when the pause throws', () => {
      writeFileSync(at('from'), Buffer.alloc(COPY_PIECE + 1, 'x'));
      const from = directory.openFile('from');
      const to = directory.createFile('to', 0o600);
      const pause = () => {
        throw new Error('given up');
      };
      expect(() => calls.copyContent(from, to, calls.fileStatus(from), pause)).toThrow('given up');
      for (const file of [from, to]) calls.closeFile(file);
    });

    it('tells where the data of a file is, from any place in it', () => {
      writeFileSync(at('file'), 'x'.repeat(10_000));
      const file = directory.openFile('file');
      expect(calls.nextData(file, 0, 10_000)).toEqual({ start: 0, end: 10_000 });
      expect(calls.nextData(file, 5_000, 10_000)).toEqual({ start: 5_000, end: 10_000 });
      expect(calls.nextData(file, 10_000, 10_000)).toBeUndefined();
      calls.closeFile(file);
    });

    it('finds no attribute where there is none, and to remove it is no error', () => {
      writeFileSync(at('file'), '');
      const xattrs = directory.xattrs('file');
      expect(xattrs.get('user.none')).toBeUndefined();
      xattrs.remove('user.none');
      expect(xattrs.list().filter((name) => name.startsWith('user.'))).toEqual([]);
    });

    it('reads a file without a trace of when', () => {
      writeFileSync(at('file'), 'x');
      utimesSync(at('file'), 1000, 2000);
      const file = directory.openFile('file');
      expect(calls.fileStatus(file)).toMatchObject({ size: 1, modified: { seconds: 2000, nanoseconds: 0 } });
      calls.closeFile(file);
    });

    function expectNear(time: FileTime): void {
      expect(time.seconds).toBe(TIME.seconds);
      expect(Math.abs(time.nanoseconds - TIME.nanoseconds)).toBeLessThanOrEqual(precision);
    }
  });
}

function pick<T extends object, Key extends keyof T>(object: T, ...keys: readonly Key[]): Pick<T, Key> {
  return Object.fromEntries(keys.map((key) => [key, object[key]])) as Pick<T, Key>;
}
