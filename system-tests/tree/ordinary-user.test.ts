import { chmodSync, chownSync, constants, existsSync, mkdirSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { removeTree } from '#src/files/tree/removal/remove-tree.js';
import { snapshotTree, type TreeEntry, treeDifferences } from '../helpers/tree-snapshot.js';
import { asUser, USER } from './as-user.js';
import { CAP_NET_RAW, LayerBuilder } from './layer-builder.js';

const { S_IFCHR, S_IFIFO } = constants;

describe.each(['native', 'native-free'] as const)('an ordinary user with %s calls', (kind) => {
  let directory: string;
  const at = (name: string) => join(directory, name);

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'ordinary-user-'));
    chmodSync(directory, 0o755);
    mkdirSync(at('own'));
    chownSync(at('own'), USER, USER);
  });
  afterEach(() => {
    removeTree(directory);
  });

  function copyAsUser(layers: string[], threads = 1) {
    const args = { kind, threads, layers: layers.map(at), target: at('own/copy') };
    return asUser(({ kind, threads, layers, target }, modules) => {
      process.umask(0o027);
      const { mkdirSync } = process.getBuiltinModule('node:fs');
      mkdirSync(target);
      const syscalls = kind === 'native' ? modules.loadSyscalls() : new modules.NativeFreeSyscalls();
      const options = { layers, target, whiteouts: 'plain', privileged: false, syscalls } as const;
      if (threads === 1) return modules.copyLayers(options);
      // One call inside the other: at every entry of the first, some of the second could happen; here all of it does, early on.
      const [first, second] = modules.createCopyShares(2);
      let asked = 0;
      const isCancelled = () => {
        if (++asked === 5 && second) modules.copyLayers({ ...options, share: second });
        return false;
      };
      return modules.copyLayers({ ...options, ...(first && { share: first }), isCancelled });
    }, args);
  }

  function lockedLayer(): TreeEntry[] {
    new LayerBuilder(at('own/layer'))
      .file('unreadable', 'secret', 0o000)
      .file('write-only', 'secret', 0o200)
      .file('read-only', 'text', 0o444)
      .file('setuid', 'program', 0o4755)
      .file('locked/inside/file', 'deep')
      .file('locked/unreadable', 'both', 0o000)
      .directory('locked/inside', 0o000)
      .directory('locked', 0o000)
      .file('search-only/file')
      .directory('search-only', 0o311)
      .file('list-only/file')
      .directory('list-only', 0o444)
      .node('fifo', S_IFIFO);
    for (const { path, mode } of snapshotTree(at('own/layer'))) {
      chownSync(join(at('own/layer'), path), USER, USER);
      chmodSync(join(at('own/layer'), path), Number.parseInt(mode, 8));
    }
    return snapshotTree(at('own/layer'), { without: SETTLED });
  }
  /** Plain Node loses the last digits of times, and makes no FIFO. */
  const SETTLED: (keyof TreeEntry)[] = kind === 'native' ? [] : ['mtime'];
  const comparable = (entries: TreeEntry[]) => entries.filter(({ type }) => kind === 'native' || type !== 'fifo');

  it.each([1, 2])(
    'copies own files and directories that are closed to him, and leaves the layer as it was (%i threads)',
    (threads) => {
      const before = lockedLayer();
      copyAsUser(['own/layer'], threads);
      expect(treeDifferences(before, snapshotTree(at('own/layer'), { without: SETTLED }))).toEqual([]);
      const copy = snapshotTree(at('own/copy'), { without: SETTLED });
      expect(treeDifferences(comparable(before), copy)).toEqual([]);
    },
  );

  it('skips and counts what only root may make', () => {
    new LayerBuilder(at('layer'))
      .file('of-root', 'text', 0o4755)
      .file('with-capability', 'text')
      .xattr('with-capability', 'security.capability', CAP_NET_RAW)
      .file('with-xattr', 'text')
      .xattr('with-xattr', 'user.kept', 'yes')
      .node('dev/null', S_IFCHR, 1, 3);
    const { entries, skipped } = copyAsUser(['layer']);
    expect({ entries, devices: skipped.devices, owners: skipped.owners }).toEqual({
      entries: 4,
      devices: 1,
      owners: 5,
    });
    const copy = snapshotTree(at('own/copy'));
    expect(copy.find(({ path }) => path === 'of-root')).toMatchObject({ mode: '0755', uid: USER });
    if (kind === 'native') {
      expect(skipped.xattrs).toBe(1);
      expect(copy.flatMap(({ xattrs }) => xattrs)).toEqual([`user.kept=${Buffer.from('yes').toString('hex')}`]);
    }
  });

  it('removes his directories whatever their modes', () => {
    const { length } = lockedLayer();
    const removed = asUser(
      ({ kind, path }, modules) => {
        const syscalls = kind === 'native' ? modules.loadSyscalls() : new modules.NativeFreeSyscalls();
        return modules.removeTree(path, { syscalls });
      },
      { kind, path: at('own/layer') },
    );
    expect(removed.entries).toBe(length);
    expect(existsSync(at('own/layer'))).toBe(false);
  });

  it('may not remove what is not his, and is told which entry that is', () => {
    new LayerBuilder(at('of-root')).file('sub/file');
    const error = asUser(
      ({ kind, path }, modules) => {
        const syscalls = kind === 'native' ? modules.loadSyscalls() : new modules.NativeFreeSyscalls();
        try {
          modules.removeTree(path, { syscalls });
          return {};
        } catch (error) {
          const { code, path } = error as NodeJS.ErrnoException;
          return { code, path };
        }
      },
      { kind, path: at('of-root') },
    );
    expect(error).toEqual({ code: 'EACCES', path: at('of-root/sub/file') });
  });
});
