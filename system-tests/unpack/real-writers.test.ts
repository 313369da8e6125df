import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { beforeEach, expect, it } from 'vitest';
import { toBytePath } from '#src/system/syscalls/byte-path.js';
import { loadSyscalls } from '#src/system/syscalls/load-syscalls.js';
import { describeWith } from '../helpers/requirements.js';
import { snapshotTree, type TreeEntry, treeDifferences } from '../helpers/tree-snapshot.js';
import { useRootedLayers } from './workbench.js';

const SIZE = 64 * 1024 * 1024;
const NO_NANOSECONDS = 'no nanoseconds';
const NO_XATTRS = 'no extended attributes';
type Lacks = typeof NO_NANOSECONDS | typeof NO_XATTRS;

/** Each way of writing an archive, and what it cannot say. */
const WRITERS: readonly (readonly [string, string, readonly string[], readonly Lacks[]])[] = [
  ['GNU tar, its own format', 'tar', ['--format=gnu', '--sparse'], [NO_NANOSECONDS, NO_XATTRS]],
  ['GNU tar, its old format', 'tar', ['--format=oldgnu', '--sparse'], [NO_NANOSECONDS, NO_XATTRS]],
  [
    'GNU tar, incremental',
    'tar',
    ['--format=gnu', '--sparse', '--listed-incremental=SNAPSHOT'],
    [NO_NANOSECONDS, NO_XATTRS],
  ],
  ...['0.0', '0.1', '1.0'].map(
    (version) =>
      [
        `GNU tar, pax with sparse files ${version}`,
        'tar',
        ['--format=pax', '--sparse', `--sparse-version=${version}`, '--xattrs', '--xattrs-include=*', '--acls'],
        [],
      ] as const,
  ),
  ['bsdtar, pax', 'bsdtar', ['--format=pax', '--xattrs', '--acls', '--read-sparse'], []],
  ['bsdtar, GNU', 'bsdtar', ['--format=gnutar'], [NO_NANOSECONDS, NO_XATTRS]],
];
const isThere = (command: string) => spawnSync(command, ['--version']).status === 0;

describeWith(['root'], 'a tree that another program has archived', () => {
  const layers = useRootedLayers();
  let tree = '';

  beforeEach(() => {
    tree = join(layers.path, 'tree');
    const at = (name: string) => join(tree, name);
    mkdirSync(at('deep/'.repeat(40)), { recursive: true });
    writeFileSync(at(`deep/${'n'.repeat(200)}`), 'a long name');
    writeFileSync(at('file'), Buffer.alloc(100_000, 'x'));
    writeFileSync(Buffer.concat([Buffer.from(`${tree}/`), Buffer.from([0xff, 0xfe, 0x0a])]), 'a name that is no text');
    writeFileSync(at('sparse'), 'begin');
    truncateSync(at('sparse'), SIZE);
    linkSync(at('file'), at('deep/link'));
    symlinkSync('t'.repeat(300), at('symlink'));
    execFileSync('mkfifo', [at('fifo')]);
    execFileSync('mknod', [at('null'), 'c', '1', '3']);
    execFileSync('mknod', [at('disk'), 'b', '8', '255']);
    chownSync(at('file'), 1000, 2_000_000);
    chmodSync(at('file'), 0o4711);
    chmodSync(at('deep'), 0o1777);
    const syscalls = loadSyscalls();
    syscalls.setXattr(toBytePath(at('file')), 'user.binary', Buffer.from([0, 0x0a, 0xff]));
    syscalls.setXattr(toBytePath(at('deep')), 'user.empty', Buffer.alloc(0));
    syscalls.setXattr(
      toBytePath(at('file')),
      'security.capability',
      Buffer.from('0100000200200000000000000000000000000000', 'hex'),
    );
    lutimesSync(at('symlink'), 1000.5, 1000.5);
  });

  it.each(WRITERS.filter(([, program]) => isThere(program)))(
    'is the same after unpacking: %s',
    async (_what, program, options, lacks) => {
      const file = join(layers.path, 'archive.tar');
      const filled = options.map((option) => option.replace('SNAPSHOT', join(layers.path, 'snapshot')));
      const environment = { ...process.env, LC_ALL: 'C' };
      execFileSync(program, ['-c', '-f', file, ...filled, '-C', tree, '.'], { env: environment, stdio: 'ignore' });
      const { rootfs } = await layers.unpack(readFileSync(file));
      const comparable = (entry: TreeEntry): TreeEntry => ({
        ...entry,
        ...(lacks.includes(NO_NANOSECONDS) ? { mtime: entry.mtime.replace(/\d{9}$/, '') } : {}),
        ...(lacks.includes(NO_XATTRS) ? { xattrs: [] } : {}),
      });
      expect(treeDifferences(snapshotTree(tree).map(comparable), snapshotTree(rootfs).map(comparable))).toEqual([]);
    },
  );
});
