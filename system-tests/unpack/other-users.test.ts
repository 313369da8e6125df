import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { DEFAULT_UNPACK_LIMITS } from '#src/base/config.js';
import { measureTree } from '#src/files/tree/measure-tree.js';
import { sha256 } from '../../native-free-tests/helpers/image-builder.js';
import { describeTree } from '../../native-free-tests/helpers/layers.js';
import { archive, entry, header, pax } from '../../native-free-tests/helpers/raw-tar.js';
import { describeWith } from '../helpers/requirements.js';
import { snapshotTree, type TreeEntry } from '../helpers/tree-snapshot.js';
import { useRootedLayers } from './workbench.js';

const script = fileURLToPath(new URL('unpack-once.mjs', import.meta.url));
const NOBODY = 65534;

const asNobody = (...command: string[]) =>
  spawnSync(command[0] ?? '', command.slice(1), { uid: NOBODY, gid: NOBODY, encoding: 'utf8' });
const asNamespaceRoot = (...command: string[]) =>
  spawnSync('unshare', ['--user', '--map-root-user', ...command], { encoding: 'utf8' });
/** A checkout below root's home is out of reach for others, and a kernel may have no user namespaces. */
const nobodyReads = asNobody(process.execPath, '--check', script).status === 0;
const hasNamespaces = asNamespaceRoot('true').status === 0;

/** Everything that takes privileges, among things that do not. */
const tar = archive(
  pax({ mtime: '5.000000001' }),
  header({ name: './', type: '5', mode: 0o555, uid: 3 }),
  header({ name: 'closed', type: '5', mode: 0 }),
  header({ name: 'closed/inner', type: '5', mode: 0o111 }),
  entry({ name: 'closed/inner/file', mode: 0o400 }, 'secret'),
  pax({ 'SCHILY.xattr.user.mine': 'x', 'SCHILY.xattr.trusted.a': 'b', 'SCHILY.xattr.security.capability': 'c' }),
  entry({ name: 'read-only', mode: 0o444, uid: 1000, gid: 1000 }, 'abc'),
  pax({ 'SCHILY.xattr.user.mine': 'x', 'SCHILY.xattr.trusted.overlay.opaque': 'y' }),
  header({ name: 'directory', type: '5', mode: 0o555, uid: 7 }),
  header({ name: 'fifo', type: '6', mode: 0o600 }),
  header({ name: 'null', type: '3', major: 1, minor: 3 }),
  header({ name: 'disk', type: '4', major: 8, minor: 0 }),
  entry({ name: 'setuid', mode: 0o4755 }, 'x'),
  entry({ name: 'directory/replaced/x', mode: 0 }),
  entry({ name: 'directory/replaced' }, 'instead'),
  entry({ name: 'directory/.wh.gone' }),
);

describeWith(['root'], 'unpacking', () => {
  const layers = useRootedLayers();

  const unpackBy = (run: typeof asNobody, owner: number, options: object, archived = tar) => {
    const directory = join(layers.path, 'theirs');
    const blob = join(layers.path, 'blob');
    writeFileSync(blob, archived);
    mkdirSync(directory);
    chownSync(directory, owner, owner);
    chmodSync(layers.path, 0o755);
    const request = {
      blob: { path: blob, offset: 0, size: archived.length },
      diffId: sha256(archived),
      directory,
      limits: { ...DEFAULT_UNPACK_LIMITS, freeSpaceReserve: 0 },
      keepTar: true,
      ...options,
    };
    const { stdout, stderr } = run(process.execPath, script, JSON.stringify(request));
    if (stdout === '') throw new Error(stderr);
    const rootfs = join(directory, 'rootfs');
    const at = (path: string): TreeEntry | undefined => snapshotTree(rootfs).find((entry) => entry.path === path);
    const result = JSON.parse(stdout);
    expect(result.bytes, 'disk use').toBe(measureTree(directory).bytes);
    expect(result.rebuilt, 'of the archive, made again').toBe(request.diffId);
    return { result, tree: describeTree(rootfs), at };
  };

  it.skipIf(!nobodyReads)(
    `as an ordinary user leaves out what takes privileges, counts it, and does the rest${nobodyReads ? '' : ' (skipped: nobody may not read the checkout)'}`,
    () => {
      const { result, tree, at } = unpackBy(asNobody, NOBODY, { format: 'plain', privileged: false });
      expect(result).toMatchObject({ kind: 'native', entries: 13, skipped: { devices: 2, xattrs: 3 } });
      // The root, and everything else but nothing is nobody's.
      expect(result.skipped.owners).toBe(10);
      expect(tree).toEqual({
        '.': 'directory 555',
        closed: 'directory 0',
        'closed/inner': 'directory 111',
        'closed/inner/file': 'file 400 secret',
        'read-only': 'file 444 abc',
        directory: 'directory 555',
        'directory/replaced': 'file 644 instead',
        'directory/.wh.gone': 'file 600',
        fifo: 'fifo',
        // It is another owner's.
        setuid: 'file 755 x',
      });
      expect(at('.')).toMatchObject({ uid: NOBODY, mtime: '5000000001' });
      expect(at('read-only')?.xattrs).toEqual(['user.mine=78']);
      expect(at('directory')?.xattrs).toEqual(['user.mine=78']);
    },
  );

  it.skipIf(!nobodyReads)(
    `as an ordinary user keeps what files closed to him had when they are written over, and leaves them closed${nobodyReads ? '' : ' (skipped: nobody may not read the checkout)'}`,
    () => {
      const closed = archive(
        header({ name: './', type: '5', mode: 0o111 }),
        header({ name: 'd', type: '5', mode: 0 }),
        header({ name: 'd/e', type: '5', mode: 0o111 }),
        entry({ name: 'd/e/a', mode: 0o6000, uid: NOBODY, gid: NOBODY }, 'of two names'),
        header({ name: 'b', linkName: 'd/e/a', type: '1' }),
        entry({ name: 'd/e/a', mode: 0 }, 'instead'),
        entry({ name: 'd/e/c', mode: 0o200 }, 'closed to reading'),
        entry({ name: 'd/f/c', mode: 0 }, 'in a directory that goes'),
        entry({ name: 'd/f', mode: 0 }, 'a file'),
        ...['1', '2', '3'].map((name) => entry({ name: `d/${'n/'.repeat(20)}${name}`, mode: 0 }, name)),
      );
      for (const format of ['plain', 'user']) {
        const { tree } = unpackBy(asNobody, NOBODY, { format, privileged: false }, closed);
        expect(tree).toMatchObject({
          '.': 'directory 111',
          d: 'directory 0',
          'd/e': 'directory 111',
          'd/e/a': 'file 0 instead',
          b: 'file 6000 of two names',
          'd/e/c': 'file 200 closed to reading',
          'd/f': 'file 0 a file',
        });
        rmSync(join(layers.path, 'theirs'), { recursive: true });
      }
    },
  );

  it.skipIf(!hasNamespaces)(
    `as root of a user namespace leaves out what does not exist there${hasNamespaces ? '' : ' (skipped: there are no user namespaces)'}`,
    () => {
      const { result, tree, at } = unpackBy(asNamespaceRoot, 0, { format: 'user', privileged: true });
      expect(result).toMatchObject({
        kind: 'native',
        entries: 13,
        whiteouts: true,
        skipped: { owners: 3, devices: 2 },
      });
      expect(tree).toMatchObject({
        'closed/inner/file': 'file 400 secret',
        'directory/replaced': 'file 644 instead',
        'directory/gone': 'character',
        setuid: 'file 4755 x',
      });
      expect(tree).not.toHaveProperty('null');
      expect(at('read-only')?.xattrs).toEqual(['user.mine=78']);
      expect(at('directory')?.xattrs).toEqual(['user.mine=78']);
      expect(result.skipped.xattrs).toBe(3);
    },
  );

  it('as root applies all of it, and says what the image may not have', async () => {
    // The capability above is nonsense, which only root would notice.
    expect(await layers.refusal(tar)).toMatchObject({ code: 'ERR_LAYER_MALFORMED' });
  });
});
