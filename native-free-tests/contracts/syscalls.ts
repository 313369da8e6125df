import { existsSync, lstatSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Syscalls } from '#src/system/syscalls/syscalls.js';
import { temporaryDirectory } from '../helpers/memory-store.js';

export interface SyscallsUnderTest {
  readonly load: () => Syscalls;
  /** Whether it has what Node lacks; what it has not is refused with `ENOTSUP`. */
  readonly whole: boolean;
  readonly precision: number;
}

/** What every set of system calls promises, be it done or refused. What only native ones do has tests of its own. */
export function describeSyscalls(kind: string, { load, whole, precision }: SyscallsUnderTest): void {
  describe(`${kind} system calls`, () => {
    const syscalls = load();
    /** Done where it can be, else refused in the one way that callers know. */
    const doneOrRefused = (work: () => unknown): boolean => {
      if (whole) work();
      else expect(work).toThrow(expect.objectContaining({ code: 'ENOTSUP', syscall: expect.any(String) }));
      return whole;
    };

    it('find nothing mounted where nothing is, and to detach it is no error', async () => {
      const directory = temporaryDirectory();
      expect(syscalls.detachMount(directory)).toBe(false);
      expect(await syscalls.detachMountAside(directory)).toBe(false);
      expect(['none', 'unknown']).toContain(syscalls.mountState(directory));
      expect([false, undefined]).toContain(await syscalls.hasMountsInside(directory));
      expect(syscalls.mountState(join(directory, 'missing'))).toBe(whole ? 'none' : 'unknown');
    });

    it('give times to a symlink itself', () => {
      const place = temporaryDirectory();
      writeFileSync(join(place, 'file'), '');
      symlinkSync('file', join(place, 'link'));
      const time = { seconds: 1000, nanoseconds: 123_456_789 };
      syscalls.setTimes(join(place, 'link'), time, time);
      const [link, file] = ['link', 'file'].map((name) => lstatSync(join(place, name), { bigint: true }).mtimeNs);
      expect(Math.abs(Number((link as bigint) - 1_000_123_456_789n))).toBeLessThanOrEqual(precision);
      expect(file).not.toBe(link);
    });

    it('find no extended attribute where there is none', () => {
      const file = join(temporaryDirectory(), 'file');
      writeFileSync(file, '');
      expect(syscalls.listXattrs(file).filter((name) => name.startsWith('user.'))).toEqual([]);
      expect(syscalls.getXattr(file, 'user.none')).toBeUndefined();
    });

    it('let two paths change places whole, or not at all', () => {
      const place = temporaryDirectory();
      const [one, other] = [join(place, 'one'), join(place, 'other')];
      mkdirSync(one);
      writeFileSync(other, 'other');
      const exchanged = doneOrRefused(() => syscalls.exchange(one, other));
      expect([lstatSync(one).isFile(), lstatSync(other).isDirectory()]).toEqual([exchanged, exchanged]);
    });

    it('make nodes, or none', () => {
      const path = join(temporaryDirectory(), 'fifo');
      const made = doneOrRefused(() => syscalls.makeNode(path, 0o010640, { major: 0, minor: 0 }));
      expect(existsSync(path)).toBe(made);
    });

    it('tell of a path whether it is there without a symlink, or that they cannot', () => {
      const place = temporaryDirectory();
      mkdirSync(join(place, 'd'));
      symlinkSync('d', join(place, 'link'));
      mkdirSync(join(place, 'd/below'));
      const told = ['d/below', 'link/below', 'd/missing'].map((path) => syscalls.isPlainPath(join(place, path)));
      expect([
        [true, false, false],
        [undefined, undefined, undefined],
      ]).toContainEqual(told);
    });

    it('bring a file system to its disk, or say that they cannot', () => {
      const file = join(temporaryDirectory(), 'file');
      writeFileSync(file, 'x');
      doneOrRefused(() => syscalls.syncFileSystem(file));
      expect(readFileSync(file, 'utf8')).toBe('x');
    });

    it('say that limits of projects are not kept where they are not, and fail there', () => {
      // What is made up by the kernel has none.
      expect(syscalls.keepsProjectLimits('/proc')).toBe(false);
      const failed = { code: expect.any(String), syscall: 'quotactl' };
      expect(() => syscalls.projectUse('/proc', 7)).toThrow(expect.objectContaining(failed));
      expect(() => syscalls.limitProject('/proc', 7, 2 ** 20)).toThrow(expect.objectContaining(failed));
    });

    it('open the tree below a directory', () => {
      const place = temporaryDirectory();
      const tree = syscalls.openTree(place);
      tree.makeDirectory('d', 0o700);
      tree.close();
      expect(existsSync(join(place, 'd'))).toBe(true);
    });
  });
}
