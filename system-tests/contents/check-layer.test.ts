import { execFileSync } from 'node:child_process';
import { chownSync, lstatSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, it } from 'vitest';
import { checkLayer } from '#src/files/contents/check-layer.js';
import { toBytePath } from '#src/system/syscalls/byte-path.js';
import { loadSyscalls } from '#src/system/syscalls/load-syscalls.js';
import { loadTreeCalls } from '#src/system/syscalls/load-tree-calls.js';
import type { FileTime } from '#src/system/syscalls/syscalls.js';
import { buildTar, type Entry } from '../../native-free-tests/helpers/image-builder.js';
import { archive, oldSparse } from '../../native-free-tests/helpers/raw-tar.js';
import { describeWith } from '../helpers/requirements.js';
import { useRootedLayers } from '../unpack/workbench.js';

const CAPABILITY = Buffer.from('0100000200200000000000000000000000000000', 'hex');
const ENTRIES: Entry[] = [
  { path: './', uid: 3, gid: 4 },
  { path: 'd/', uid: 1000, gid: 1000, mtime: '1700000000.123456789', xattrs: { 'user.colour': 'blue' } },
  {
    path: 'd/file',
    content: 'abc',
    uid: 1000,
    mtime: '1600000000.000000001',
    xattrs: { 'user.a': '1', 'trusted.b': '' },
  },
  { path: 'd/ping', content: 'elf', xattrs: { 'security.capability': CAPABILITY } },
  { path: 'd/link', type: 'symlink', target: 'file', mtime: '5.5', xattrs: { 'trusted.of-link': 'x' } },
  { path: 'null', type: 'character', major: 1, minor: 3, mode: 0o666 },
  { path: 'disk', type: 'block', major: 8, minor: 0 },
  { path: 'fifo', type: 'fifo' },
  { path: 'opaque/' },
  { path: 'opaque/.wh..wh..opq' },
  { path: 'plain/' },
  { path: 'plain/.wh.gone' },
  { path: 'plain/file', content: 'x' },
  { path: 'before-1970', content: 'old', mtime: -1 },
];

const syscalls = loadSyscalls();

function check(directory: string, mode: 'quick' | 'full' = 'full'): string[] {
  const { differences } = checkLayer({ directory, mode }, loadTreeCalls(syscalls), () => {});
  return differences.map(({ path, what }) => `${path}: ${what}`);
}

function timesOf(path: string): { accessed: FileTime; modified: FileTime } {
  const { atimeNs, mtimeNs } = lstatSync(path, { bigint: true });
  const time = (ns: bigint) => ({ seconds: Number(ns / 1_000_000_000n), nanoseconds: Number(ns % 1_000_000_000n) });
  return { accessed: time(atimeNs), modified: time(mtimeNs) };
}

/** Does something with a path and gives it, or its directory, its times back. */
function quietly(path: string, change: () => void): void {
  const { accessed, modified } = timesOf(path);
  change();
  syscalls.setTimes(toBytePath(path), accessed, modified);
}

describeWith(['root'], 'the check of a layer that root unpacked', () => {
  const layers = useRootedLayers();
  const unpack = async (): Promise<{ rootfs: string; directory: string }> => {
    const { rootfs } = await layers.unpack(buildTar(ENTRIES));
    expect(check(dirname(rootfs))).toEqual([]);
    expect(check(dirname(rootfs), 'quick')).toEqual([]);
    return { rootfs, directory: dirname(rootfs) };
  };
  const setXattr = (path: string, name: string, value: string) =>
    syscalls.setXattr(toBytePath(path), name, Buffer.from(value));

  it.each<[what: string, change: (rootfs: string) => void, found: string[]]>([
    ['another owner', (r) => chownSync(join(r, 'd/file'), 1001, 0), ['rootfs/d/file: owner']],
    ['another group of a directory', (r) => chownSync(join(r, 'd'), 1000, 1001), ['rootfs/d: owner']],
    ['another owner of the root', (r) => chownSync(r, 0, 4), ['rootfs: owner']],
    [
      'a time that is one nanosecond later',
      (r) => {
        const { accessed, modified } = timesOf(join(r, 'd/file'));
        const later = { ...modified, nanoseconds: modified.nanoseconds + 1 };
        syscalls.setTimes(toBytePath(join(r, 'd/file')), accessed, later);
      },
      ['rootfs/d/file: modified'],
    ],
    ['an attribute that has changed', (r) => setXattr(join(r, 'd/file'), 'user.a', '2'), ['rootfs/d/file: xattr']],
    [
      'an empty attribute that has a value',
      (r) => setXattr(join(r, 'd/file'), 'trusted.b', '2'),
      ['rootfs/d/file: xattr'],
    ],
    ['an attribute of a symlink', (r) => setXattr(join(r, 'd/link'), 'trusted.of-link', 'y'), ['rootfs/d/link: xattr']],
    ['a new attribute', (r) => setXattr(join(r, 'plain/file'), 'user.new', ''), ['rootfs/plain/file: xattr']],
    ['a new attribute of a device', (r) => setXattr(join(r, 'null'), 'trusted.new', ''), ['rootfs/null: xattr']],
    ['a new attribute of the root', (r) => setXattr(r, 'user.new', ''), ['rootfs: xattr']],
    ['a missing attribute', (r) => execFileSync('setfattr', ['-x', 'user.colour', join(r, 'd')]), ['rootfs/d: xattr']],
    [
      'a capability that is gone',
      (r) => execFileSync('setfattr', ['-x', 'security.capability', join(r, 'd/ping')]),
      ['rootfs/d/ping: xattr'],
    ],
    [
      "overlay's own mark that is gone",
      (r) => execFileSync('setfattr', ['-x', 'trusted.overlay.opaque', join(r, 'opaque')]),
      ['rootfs/opaque: xattr'],
    ],
    [
      'a whiteout that is gone',
      (r) => quietly(join(r, 'plain'), () => unlinkSync(join(r, 'plain/gone'))),
      ['rootfs/plain/gone: missing'],
    ],
    [
      'another device number',
      (r) =>
        quietly(r, () => {
          const path = join(r, 'null');
          const { accessed, modified } = timesOf(path);
          unlinkSync(path);
          execFileSync('mknod', ['-m', '666', path, 'c', '1', '5']);
          syscalls.setTimes(toBytePath(path), accessed, modified);
        }),
      ['rootfs/null: device'],
    ],
  ])('finds %s', async (_, change, found) => {
    const { rootfs, directory } = await unpack();
    change(rootfs);
    expect(check(directory)).toEqual(found);
  });

  it('finds nothing when a hole is filled with zeros, and a bit that is set in one', async () => {
    const size = 3 * 2 ** 20;
    const pieces = [
      [0, 5],
      [2 ** 20, 600],
    ] as const;
    const data = Buffer.concat([Buffer.alloc(5, 'a'), Buffer.alloc(600, 'b')]);
    const { rootfs } = await layers.unpack(archive(oldSparse({ name: 'sparse' }, size, pieces, data)));
    const path = join(rootfs, 'sparse');
    expect(lstatSync(path).blocks * 512).toBeLessThan(size);
    expect(check(dirname(rootfs))).toEqual([]);
    const content = readFileSync(path);
    quietly(path, () => writeFileSync(path, content));
    expect(lstatSync(path).blocks * 512).toBeGreaterThanOrEqual(size);
    expect(check(dirname(rootfs))).toEqual([]);
    content[2 ** 21] = 1;
    quietly(path, () => writeFileSync(path, content));
    expect(check(dirname(rootfs))).toEqual(['rootfs/sparse: content']);
  });

  it('does not read the holes of a file of eight gigabytes', async () => {
    const size = 2 ** 33 - 1;
    const { rootfs } = await layers.unpack(
      archive(oldSparse({ name: 'sparse' }, size, [[size - 10, 5]], Buffer.alloc(5, 'z'))),
    );
    const started = performance.now();
    expect(check(dirname(rootfs))).toEqual([]);
    expect(performance.now() - started).toBeLessThan(1000);
  });

  it('leaves access times as they are', async () => {
    const { rootfs, directory } = await unpack();
    const before = lstatSync(join(rootfs, 'd/file'), { bigint: true }).atimeNs;
    check(directory);
    expect(lstatSync(join(rootfs, 'd/file'), { bigint: true }).atimeNs).toBe(before);
  });
});
