import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  lchownSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { BackendName, Provisioner } from '#src/index.js';
import { toBytePath } from '#src/system/syscalls/byte-path.js';
import { loadSyscalls } from '#src/system/syscalls/load-syscalls.js';
import { loadTreeCalls } from '#src/system/syscalls/load-tree-calls.js';
import { buildImage, buildLayer } from '../../native-free-tests/helpers/image-builder.js';
import { mountFileSystem } from '../helpers/file-systems.js';
import { describeWith } from '../helpers/requirements.js';
import { expectNoContainers, openStore, pullImages } from '../helpers/test-store.js';
import { snapshotTree, treeDifferences } from '../helpers/tree-snapshot.js';

const IMAGE = buildImage([
  buildLayer([
    { path: 'etc/', type: 'directory' },
    { path: 'etc/removed', content: 'removed' },
    { path: 'etc/kept', content: 'kept' },
    { path: 'replaced/', type: 'directory' },
    { path: 'replaced/old', content: 'old' },
  ]),
]);

/** All that a program may have done to its root filesystem. */
function change(rootfs: string): void {
  const at = (path: string) => join(rootfs, path);
  rmSync(at('etc/removed'));
  rmSync(at('replaced'), { recursive: true });
  mkdirSync(at('replaced'), 0o1777);
  writeFileSync(at('replaced/new'), 'new');
  writeFileSync(at('etc/kept'), 'changed');
  writeFileSync(at('program'), 'x'.repeat(9000));
  linkSync(at('program'), at('etc/program'));
  lchownSync(at('program'), 12, 34);
  chmodSync(at('program'), 0o4755);
  symlinkSync('/no\u00ff where', at('link'));
  lchownSync(at('link'), 5, 6);
  writeFileSync(at('holes'), 'begin');
  truncateSync(at('holes'), 64 * 2 ** 20);
  const calls = loadTreeCalls(loadSyscalls());
  const root = calls.openDirectory(rootfs);
  try {
    root.makeNode(toBytePath('zero'), 0o020640, { major: 1, minor: 5 });
    root.makeNode(toBytePath('fifo'), 0o010600, { major: 0, minor: 0 });
    root.xattrs('program').set('security.capability', Buffer.from('0100000200040000000000000000000000000000', 'hex'));
    root.xattrs('etc').set('trusted.mine', Buffer.from([0, 1, 255]));
  } finally {
    root.close();
  }
  for (const path of ['program', 'link', 'etc', 'holes']) lutimesSync(at(path), 1_234_567.125, 1_234_567.890625);
}

async function prepared(backend: BackendName, root?: string): Promise<{ provisioner: Provisioner; rootfs: string }> {
  const provisioner = await openStore({ limits: { freeSpaceReserve: 0 }, ...(root !== undefined && { root }) });
  await pullImages(provisioner, { 'app:1': IMAGE });
  const { rootfs } = await provisioner.provision('prepared', 'app:1', { backend });
  return { provisioner, rootfs };
}

describeWith(['root', 'overlay'], 'a fork', () => {
  test.each(['overlay', 'copy'] as const)(
    'by %s is what the other one was, to the attribute, and each goes its way from then on',
    async (backend) => {
      const { provisioner, rootfs } = await prepared(backend);
      change(rootfs);
      const before = snapshotTree(rootfs);
      const made = await provisioner.fork('prepared', 'pod/copy');
      expect(made).toMatchObject({ containerId: 'pod/copy', backend });
      expect(treeDifferences(before, snapshotTree(made.rootfs))).toEqual([]);
      expect(statSync(join(made.rootfs, 'holes')).blocks).toBeLessThan(100);
      expect(existsSync(join(made.rootfs, 'etc/removed'))).toBe(false);
      writeFileSync(join(made.rootfs, 'etc/kept'), 'of the copy');
      rmSync(join(rootfs, 'replaced/new'));
      expect(readFileSync(join(rootfs, 'etc/kept'), 'utf8')).toBe('changed');
      expect(readFileSync(join(made.rootfs, 'replaced/new'), 'utf8')).toBe('new');
      expect((await provisioner.store.check({ full: true })).findings).toEqual([]);
      expect((await provisioner.containers.get('pod/copy'))?.rootfses).toMatchObject([
        { state: 'ready', mountState: backend === 'overlay' ? 'mounted' : undefined },
      ]);
      for (const id of ['prepared', 'pod/copy']) expect(await provisioner.destroy(id)).toBe(true);
      await expectNoContainers(provisioner);
    },
  );

  test('of a fork, of an image that has lost its name and was pruned for, keeps its layers', async () => {
    const { provisioner, rootfs } = await prepared('overlay');
    change(rootfs);
    await provisioner.fork('prepared', 'first');
    await provisioner.destroy('prepared');
    await provisioner.images.remove('app:1');
    await provisioner.pruneImages();
    const { rootfs: second } = await provisioner.fork('first', 'second');
    await provisioner.destroy('first');
    await provisioner.pruneImages();
    await provisioner.store.swept();
    expect(readFileSync(join(second, 'etc/kept'), 'utf8')).toBe('changed');
    expect(existsSync(join(second, 'etc/removed'))).toBe(false);
  });

  test('belongs to who makes it, whoever the other one belongs to', async () => {
    const { provisioner } = await prepared('overlay');
    const other = await openStore({ root: provisioner.root, owner: 'other' });
    await other.fork('prepared', 'copy');
    expect((await other.containers.get('copy'))?.owner).toBe('other');
    await expect(provisioner.destroy('copy')).rejects.toMatchObject({ code: 'ERR_CONTAINER_FOREIGN' });
    await other.destroy('copy');
  });

  test('is refused for an id that is taken, and for one that is not there', async () => {
    const { provisioner } = await prepared('overlay');
    await expect(provisioner.fork('prepared', 'prepared')).rejects.toMatchObject({ code: 'ERR_CONTAINER_EXISTS' });
    await expect(provisioner.fork('nowhere', 'copy')).rejects.toMatchObject({ code: 'ERR_CONTAINER_NOT_FOUND' });
    await expect(provisioner.fork('prepared', '../x')).rejects.toMatchObject({ code: 'ERR_BAD_CONTAINER_ID' });
    await provisioner.provision('prepared', 'app:1');
    await expect(provisioner.fork('prepared', 'copy')).rejects.toMatchObject({ code: 'ERR_ROOTFS_UNAVAILABLE' });
    await provisioner.destroy('prepared');
    await expectNoContainers(provisioner);
  });

  test('that is given up, or whose other one is destroyed meanwhile, leaves nothing', async () => {
    const { provisioner, rootfs } = await prepared('overlay');
    change(rootfs);
    const giveUp = new AbortController();
    const givenUp = provisioner.fork('prepared', 'copy', {
      signal: giveUp.signal,
      whileCopied: async (copy) => {
        giveUp.abort();
        await copy();
      },
    });
    await expect(givenUp).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    expect(await provisioner.containers.get('copy')).toBeUndefined();
    const late = provisioner.fork('prepared', 'copy', {
      whileCopied: async (copy) => {
        await copy();
        await provisioner.destroy('prepared');
      },
    });
    // All of it had been copied by then.
    expect(readFileSync(join((await late).rootfs, 'etc/kept'), 'utf8')).toBe('changed');
    const between = provisioner.fork('copy', 'second', {
      whileCopied: async (copy) => {
        await provisioner.destroy('copy');
        await copy();
      },
    });
    await expect(between).rejects.toMatchObject({ code: 'ERR_CONTAINER_NOT_FOUND' });
    await expectNoContainers(provisioner);
  });

  test('for which there is no space says so, and leaves nothing', async () => {
    const { path } = mountFileSystem('tmpfs', { bytes: 64 * 2 ** 20 });
    const { provisioner, rootfs } = await prepared('overlay', join(path, 'store'));
    for (const name of ['a', 'b']) writeFileSync(join(rootfs, name), Buffer.alloc(18 * 2 ** 20, 1));
    await expect(provisioner.fork('prepared', 'copy')).rejects.toMatchObject({ code: 'ERR_NO_SPACE' });
    expect(await provisioner.containers.get('copy')).toBeUndefined();
    await provisioner.destroy('prepared');
    await provisioner.store.swept();
    await expectNoContainers(provisioner);
    await provisioner.close();
  });
});

describeWith(['root', 'xfs'], 'a fork on a file system that shares blocks', () => {
  test('takes no space for what is in large files', async () => {
    const { path } = mountFileSystem('xfs', { bytes: 512 * 2 ** 20 });
    const { provisioner, rootfs } = await prepared('overlay', join(path, 'store'));
    writeFileSync(join(rootfs, 'large'), Buffer.alloc(200 * 2 ** 20, 'data'));
    execFileSync('sync', ['-f', path]);
    const free = () =>
      Number(
        execFileSync('stat', ['-f', '-c', '%a * %S', path], { encoding: 'utf8' })
          .split(' * ')
          .reduce((product, text) => product * Number(text), 1),
      );
    const before = free();
    for (const id of ['one', 'two', 'three']) {
      const { rootfs: copy } = await provisioner.fork('prepared', id);
      expect(statSync(join(copy, 'large')).size).toBe(200 * 2 ** 20);
    }
    expect(before - free()).toBeLessThan(20 * 2 ** 20);
    for (const { id } of await provisioner.containers.list()) await provisioner.destroy(id);
    await provisioner.close();
  });
});
