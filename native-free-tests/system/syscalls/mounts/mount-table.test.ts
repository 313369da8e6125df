import { describe, expect, it } from 'vitest';
import * as mountTable from '#src/system/syscalls/mounts/mount-table.js';

const ROOTFS = { mount: 20, prefix: '/store/rootfs/' };

const innermostFirst = (lines: string, place: mountTable.Place) =>
  mountTable.innermostFirst(mountTable.mountsIn(lines, place), place);
const topmostInside = (lines: string, place: mountTable.Place) =>
  mountTable.topmostInside(mountTable.mountsIn(lines, place), place);

/** Lines as the kernel writes them. @see proc(5), /proc/pid/mountinfo */
function table(...mounts: readonly (readonly [id: number, parent: number, path: string, optional?: string])[]): string {
  return mounts
    .map(([id, parent, path, optional]) =>
      [id, parent, '0:40', '/', path, 'rw,relatime', ...(optional ? [optional] : []), '-', 'tmpfs', 'none', 'rw'].join(
        ' ',
      ),
    )
    .map((line) => `${line}\n`)
    .join('');
}

describe('the table of mounts', () => {
  it('tells what is mounted below a directory, and not what is at it or beside it', () => {
    const lines = table(
      [20, 1, '/'],
      [21, 20, '/store/rootfs2/dev'],
      [22, 20, '/store'],
      [30, 20, '/store/rootfs/dev'],
      [31, 30, '/store/rootfs/dev/shm'],
    );
    expect(innermostFirst(lines, ROOTFS)).toEqual(['/store/rootfs/dev/shm', '/store/rootfs/dev']);
    expect(topmostInside(lines, ROOTFS)).toEqual([{ id: 30, path: 'dev', coversShared: false }]);
  });

  it('tells inner mounts before outer ones, also where the outer one came last', () => {
    const lines = table(
      [31, 40, '/store/rootfs/dev/shm'],
      [32, 31, '/store/rootfs/dev/shm/x'],
      [40, 20, '/store/rootfs/dev'],
    );
    expect(innermostFirst(lines, ROOTFS)).toEqual([
      '/store/rootfs/dev/shm/x',
      '/store/rootfs/dev/shm',
      '/store/rootfs/dev',
    ]);
  });

  it('knows a path with blanks, backslashes and bytes that are no UTF-8', () => {
    const lines = table([30, 20, '/store/rootfs/a\\040b\\011c\\012d\\134e\xff']);
    expect(topmostInside(lines, ROOTFS)).toEqual([{ id: 30, path: 'a b\tc\nd\\e\xff', coversShared: false }]);
  });

  it('finds what is mounted in a directory whose own path the kernel has to escape', () => {
    const lines = table([30, 20, '/a\\040store/dev']);
    expect(topmostInside(lines, { mount: 20, prefix: '/a store/' })).toEqual([
      { id: 30, path: 'dev', coversShared: false },
    ]);
  });

  it('takes no path for a mount that only stands in the options of one, or in what is mounted', () => {
    const lines = `${[30, 20, '0:40', '/store/rootfs/x', '/elsewhere', 'rw - overlay overlay rw,upperdir= /store/rootfs/y'].join(' ')}\n`;
    expect(innermostFirst(lines, ROOTFS)).toEqual([]);
  });

  it('leaves out what lies below a mount that hides the directory, and what is hidden in it', () => {
    const lines = table(
      [30, 7, '/store/rootfs/under'],
      [31, 30, '/store/rootfs/under/x'],
      [32, 20, '/store/rootfs/dev'],
    );
    expect(innermostFirst(lines, ROOTFS)).toEqual(['/store/rootfs/dev']);
  });

  it('names the topmost of mounts upon each other, and whether one of those below it is shared', () => {
    const upon = (lowest: string, middle: string, top: string) =>
      topmostInside(
        table(
          [30, 20, '/store/rootfs/dev', lowest],
          [31, 30, '/store/rootfs/dev', middle],
          [32, 31, '/store/rootfs/dev', top],
          [33, 32, '/store/rootfs/dev/in', 'shared:9'],
        ),
        ROOTFS,
      );
    expect(upon('master:1', '', 'shared:5')).toEqual([{ id: 32, path: 'dev', coversShared: false }]);
    expect(upon('shared:5', '', '')).toEqual([{ id: 32, path: 'dev', coversShared: true }]);
    expect(upon('', 'shared:5 master:3', '')).toEqual([{ id: 32, path: 'dev', coversShared: true }]);
  });

  it('comes to an end on a table whose mounts lie upon each other in a circle', () => {
    const lines = table([30, 31, '/store/rootfs/a'], [31, 30, '/store/rootfs/b']);
    expect(innermostFirst(lines, ROOTFS)).toEqual([]);
  });
});
