import { execFileSync } from 'node:child_process';
import { existsSync, linkSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import type { Containerizer, LaunchOptions } from '#src/containerizer/index.js';
import type { Provisioner } from '#src/index.js';
import { mountsBelow } from '#src/system/syscalls/mounts/mount-table.js';
import {
  again,
  expectNothingLeft,
  IMAGE,
  killMonitors,
  otherContainerizer,
  sh,
  storeWithBusybox,
  takeAllAway,
} from '../helpers/containers.js';
import { mountFileSystem } from '../helpers/file-systems.js';
import { unmountAll } from '../helpers/reboot.js';
import { describeWith } from '../helpers/requirements.js';

const NEEDS = ['root', 'overlay', 'crun', 'runc', 'busybox', 'cgroups', 'mount'] as const;
const MIB = 2 ** 20;
const inMemory = (mebibytes: number): LaunchOptions => ({ limits: { diskBytes: mebibytes * MIB, diskOn: 'memory' } });
/** Of a shell: writes so many MiB, and says how that went. */
const write = (path: string, mebibytes: number) =>
  `dd if=/dev/zero of=${path} bs=1M count=${mebibytes} 2>/dev/null && echo wrote ${path} || echo full ${path};`;
const PRIVATE = ['unshare', '--mount', '--propagation', 'private'];

async function printed(containers: Containerizer, id: string): Promise<string> {
  await containers.wait(id);
  let text = '';
  for await (const { bytes } of containers.logs(id)) text += bytes;
  return text;
}

async function rootfsOf(provisioner: Provisioner, containerId: string) {
  const rootfs = (await provisioner.containers.get(containerId))?.rootfses[0];
  if (rootfs === undefined) throw new Error(`${containerId} has no root filesystem`);
  return rootfs;
}

async function memoryOf(provisioner: Provisioner, containerId: string) {
  const { id } = await rootfsOf(provisioner, containerId);
  return provisioner.containers.memory({ containerId, id });
}

const tmpfsesOf = (root: string) => mountsBelow(root).filter((path) => path.endsWith('/memory'));

describeWith(NEEDS, 'disk space in memory', () => {
  test.each(['crun', 'runc'] as const)('keeps the limit while nobody watches, by %s', async (runtime) => {
    const { provisioner, containers: first, root } = await storeWithBusybox({ runtime });
    // Whoever read what it prints is killed.
    const fill = (path: string, mebibytes: number) => `dd if=/dev/zero of=${path} bs=1M count=${mebibytes} 2>/dev/null`;
    const script = `sleep 1; ${fill('/file', 30)} || { rm /file; ${fill('/other', 10)}; touch /full; }`;
    const launched = await first.launch('job', IMAGE, { ...sh(script), ...inMemory(20) });
    expect(launched.diskLimit).toEqual({ by: 'memory' });
    const { rootfs } = await rootfsOf(provisioner, 'job');
    await provisioner.close();
    await killMonitors(root);
    await vi.waitFor(() => expect(existsSync(join(rootfs, 'full'))).toBe(true), { timeout: 10_000 });
    expect(existsSync(join(rootfs, 'file'))).toBe(false);
    expect(readFileSync(join(rootfs, 'other'))).toHaveLength(10 * MIB);
    const { containers, provisioner: p } = await again(root, { runtime });
    expect(await memoryOf(p, 'job')).toMatchObject({ bytes: 20 * MIB });
    await containers.destroy('job', { running: 'kill' });
    await expectNothingLeft(root);
  });

  test('tells the program that there is no space, and it goes on', async () => {
    const { containers } = await storeWithBusybox();
    const script = `${write('/file', 30)} wc -c </file; rm /file; ${write('/file', 10)} exit 7`;
    await containers.launch('job', IMAGE, { ...sh(script), ...inMemory(20) });
    expect(await printed(containers, 'job')).toMatch(/^full \/file\n20\d{6}\nwrote \/file\n$/);
    expect(await containers.wait('job')).toMatchObject({ code: 7, reason: 'exited' });
  });

  test('has a limit of names too', async () => {
    const { containers } = await storeWithBusybox();
    const script = 'i=0; while true >/n$i; do i=$((i + 1)); done 2>/dev/null; echo $((i > 900 && i < 1100))';
    await containers.launch('job', IMAGE, { ...sh(script), ...inMemory(1) });
    expect(await printed(containers, 'job')).toBe('1\n');
  });

  test('lets programs have the rights of their files, and removes and replaces what the image has', async () => {
    const { containers } = await storeWithBusybox();
    const script =
      'rm -r /etc && mkdir /etc && ls -A /etc | wc -l; cp /bin/busybox /su; chmod 4755 /su; setuidgid 1000:1000 /su id -u 2>/dev/null || echo 0';
    await containers.launch('job', IMAGE, { ...sh(`${script}; mv /home /house && ls -d /house`), ...inMemory(20) });
    expect(await printed(containers, 'job')).toContain('/house\n');
  });

  test('keeps what was written over stop and start, a kill of the monitor, and a recovery', async () => {
    const { provisioner, containers: first, root } = await storeWithBusybox();
    const { rootfs } = await first
      .launch('job', IMAGE, { ...sh('echo x >>/log; exec sleep 100'), ...inMemory(20) })
      .then(() => rootfsOf(provisioner, 'job'));
    const hasLines = (count: number) =>
      vi.waitFor(() => expect(readFileSync(join(rootfs, 'log'), 'utf8')).toBe('x\n'.repeat(count)));
    await hasLines(1);
    await first.stop('job', { grace: 0 });
    await first.start('job');
    await hasLines(2);
    await provisioner.close();
    await killMonitors(root);
    const { containers } = await again(root);
    expect((await containers.recover()).failed).toEqual([]);
    await containers.stop('job', { grace: 0 }).catch(() => undefined);
    await containers.start('job');
    await hasLines(3);
    await containers.destroy('job', { running: 'kill' });
    expect(tmpfsesOf(root)).toEqual([]);
    await expectNothingLeft(root);
  });

  test('holds volumes without a name, filled with what the image has', async () => {
    const { provisioner, containers, root } = await storeWithBusybox();
    const mounts: LaunchOptions['mounts'] = [
      { type: 'volume', target: '/etc' },
      { type: 'volume', target: '/data' },
      { type: 'volume', source: 'named', target: '/named' },
    ];
    const script = `${write('/named/file', 30)} ls /etc/passwd; ${write('/data/file', 30)}`;
    await containers.launch('job', IMAGE, { ...sh(script), ...inMemory(20), mounts });
    expect(await printed(containers, 'job')).toBe('wrote /named/file\n/etc/passwd\nfull /data/file\n');
    const { id, backend } = await rootfsOf(provisioner, 'job');
    const scratch = join(root, 'containers/job/backends', backend, 'scratch', id);
    expect(existsSync(join(scratch, 'volumes'))).toBe(false);
    const written = await provisioner.containers.written({ containerId: 'job', id });
    expect(written.filter((path) => path.startsWith(join(scratch, 'memory/volumes/')))).toHaveLength(2);
    // What somebody who died was filling one with.
    const draft = join(scratch, 'memory', `volume_${'0'.repeat(32)}.1-abcdef`);
    mkdirSync(draft);
    await containers.destroy('job');
    await expectNothingLeft(root);
  });

  test('forgets drafts of the dead before it fills another volume', async () => {
    const { provisioner, containers, root } = await storeWithBusybox();
    await containers.launch('job', IMAGE, { ...sh('true'), ...inMemory(20) });
    await containers.wait('job');
    await provisioner.close();
    const body = `await p.volumes.anonymous({ containerId: 'job', id: '${
      (await rootfsOf((await again(root)).provisioner, 'job')).id
    }' }, '/data', (await p.containers.get('job')).rootfses[0].rootfs + '/etc'); say('alive');`;
    expect(await otherContainerizer(root, body, { crashAt: 'volume.copied' }).done).toEqual([]);
    const { provisioner: p, containers: c } = await again(root);
    const { id, rootfs } = await rootfsOf(p, 'job');
    const [place = ''] = tmpfsesOf(root);
    const drafts = () => execFileSync('ls', [place], { encoding: 'utf8' }).match(/^volume_.*$/gm) ?? [];
    expect(drafts()).toHaveLength(1);
    const directory = await p.volumes.anonymous({ containerId: 'job', id }, '/data', join(rootfs, 'etc'));
    expect(readFileSync(join(directory, 'passwd'), 'utf8')).toContain('root');
    expect(drafts()).toEqual([]);
    await c.destroy('job');
    await expectNothingLeft(root);
  });

  test('has the size of the limit, where only the root filesystem was told to be in memory', async () => {
    const { provisioner, containers, root } = await storeWithBusybox();
    const launched = await containers.launch('job', IMAGE, {
      ...sh(write('/file', 30)),
      limits: { diskBytes: 20 * MIB },
      provision: { inMemoryBytes: 100 * MIB },
    });
    expect(launched.diskLimit).toEqual({ by: 'memory' });
    expect(await memoryOf(provisioner, 'job')).toMatchObject({ bytes: 20 * MIB });
    expect(await printed(containers, 'job')).toBe('full /file\n');
    await containers.destroy('job');
    await expectNothingLeft(root);
  });

  test('is changed while it runs and when it has ended, not to less than is in use', async () => {
    const { provisioner, containers, root } = await storeWithBusybox();
    await containers.launch('job', IMAGE, { ...sh(`${write('/one', 10)} exec sleep 100`), ...inMemory(20) });
    await vi.waitFor(async () => expect((await memoryOf(provisioner, 'job'))?.used).toBeGreaterThanOrEqual(10 * MIB));
    await expect(containers.update('job', { diskBytes: 5 * MIB })).rejects.toMatchObject({
      code: 'ERR_LIMIT_UPDATE',
      message: expect.stringContaining('in use'),
      hint: expect.stringContaining('remove files'),
    });
    expect((await memoryOf(provisioner, 'job'))?.bytes).toBe(20 * MIB);
    await containers.update('job', { diskBytes: 40 * MIB });
    expect((await memoryOf(provisioner, 'job'))?.bytes).toBe(40 * MIB);
    await expect(containers.update('job', { diskBytes: 30 * MIB, diskOn: 'disk' })).rejects.toMatchObject({
      code: 'ERR_LIMIT_INVALID',
    });
    await containers.stop('job', { grace: 0 });
    await containers.update('job', { diskBytes: 15 * MIB });
    await containers.start('job');
    expect((await memoryOf(provisioner, 'job'))?.bytes).toBe(15 * MIB);
    await containers.destroy('job', { running: 'kill' });
    await expectNothingLeft(root);
  });

  test('is had by a fork to itself, with what was written', async () => {
    const { provisioner, containers, root } = await storeWithBusybox();
    const mounts: LaunchOptions['mounts'] = [{ type: 'volume', target: '/data' }];
    const script = `[ -f /file ] || { rm /etc/group; ${write('/file', 5)} ${write('/data/file', 5)} }; ls /etc/group; ${write('/more', 30)} exec sleep 100`;
    await containers.launch('job', IMAGE, { ...sh(script), ...inMemory(20), mounts });
    await vi.waitFor(async () => expect((await memoryOf(provisioner, 'job'))?.used).toBe(20 * MIB));
    await containers.exec('job', ['rm', '/more']).then(({ ended }) => ended);
    await containers.fork('job', 'fork');
    expect(await memoryOf(provisioner, 'fork')).toMatchObject({ bytes: 20 * MIB });
    const launched = await containers.start('fork');
    expect(launched.diskLimit).toEqual({ by: 'memory' });
    await vi.waitFor(async () => expect((await memoryOf(provisioner, 'fork'))?.used).toBe(20 * MIB));
    expect((await memoryOf(provisioner, 'job'))?.used).toBeLessThan(12 * MIB);
    const { rootfs } = await rootfsOf(provisioner, 'fork');
    expect(existsSync(join(rootfs, 'etc/group'))).toBe(false);
    expect(tmpfsesOf(root)).toHaveLength(2);
    for (const id of ['job', 'fork']) await containers.destroy(id, { running: 'kill' });
    await expectNothingLeft(root);
  });

  test('leaves nothing of a fork that has no room', async () => {
    const { provisioner, containers, root } = await storeWithBusybox();
    const mounts: LaunchOptions['mounts'] = [{ type: 'volume', target: '/data' }];
    await containers.launch('job', IMAGE, { ...sh(`${write('/file', 12)} touch /data/x`), ...inMemory(20), mounts });
    await containers.wait('job');
    // One file here, and two in the copy.
    const [place = ''] = tmpfsesOf(root);
    const [volume = ''] = readdirSync(join(place, 'volumes'));
    linkSync(join(place, 'upper/file'), join(place, 'volumes', volume, 'file'));
    await expect(containers.fork('job', 'fork')).rejects.toMatchObject({
      code: 'ERR_NO_SPACE',
      hint: expect.stringContaining('size='),
    });
    expect(await provisioner.containers.get('fork')).toBeUndefined();
    expect(tmpfsesOf(root)).toEqual([place]);
    await containers.update('job', { diskBytes: 30 * MIB });
    await containers.fork('job', 'fork');
    for (const id of ['job', 'fork']) await containers.destroy(id);
    await expectNothingLeft(root);
  });

  test.each(['provision.memoryMounted', 'fork.copied', 'fork.mounted'])(
    'leaves nothing of a fork that is killed at %s',
    async (crashAt) => {
      const { provisioner, containers, root } = await storeWithBusybox();
      await containers.launch('job', IMAGE, { ...sh(write('/file', 5)), ...inMemory(20) });
      await containers.wait('job');
      expect(await otherContainerizer(root, `await c.fork('job', 'fork');`, { crashAt }).done).toEqual([]);
      expect(tmpfsesOf(root)).toHaveLength(2);
      expect((await containers.recover()).failed).toEqual([]);
      expect(await provisioner.containers.get('fork')).toBeUndefined();
      expect(tmpfsesOf(root)).toHaveLength(1);
      await containers.destroy('job');
      await expectNothingLeft(root);
    },
  );

  test('is gone with a reboot, and says so', async () => {
    const { provisioner, containers: first, root } = await storeWithBusybox();
    await first.launch('job', IMAGE, { ...sh('echo x >/file; exec sleep 100'), ...inMemory(20) });
    await first.launch('disk', IMAGE, sh('echo x >/file; exec sleep 100'));
    await provisioner.close();
    await takeAllAway(root);
    await unmountAll(root);
    const { provisioner: p, containers } = await again(root);
    const recovered = await containers.recover();
    expect(recovered.failed).toEqual([]);
    expect(tmpfsesOf(root)).toEqual([]);
    expect(await rootfsOf(p, 'job')).toMatchObject({ state: 'unmounted', isLost: true });
    expect(await rootfsOf(p, 'disk')).toMatchObject({ state: 'ready' });
    const gone = { code: 'ERR_ROOTFS_UNAVAILABLE', hint: expect.stringMatching(/anew|destroy/) };
    await expect(containers.start('job')).rejects.toMatchObject(gone);
    await expect(containers.fork('job', 'fork')).rejects.toMatchObject(gone);
    await expect(containers.update('job', { diskBytes: 30 * MIB })).rejects.toMatchObject({
      code: 'ERR_LIMIT_UPDATE',
      hint: expect.stringContaining('anew'),
    });
    const notes = (await p.store.check()).findings.map(({ code, severity }) => `${severity} ${code}`);
    expect(notes).toEqual(['note ROOTFS_NOT_MOUNTED']);
    expect((await rootfsOf(p, 'job')).state).toBe('unmounted');
    for (const id of ['job', 'disk']) await containers.destroy(id, { running: 'kill' });
    await expectNothingLeft(root);
  });

  test('takes no disk, and nothing of it is found by a check', async () => {
    const { provisioner, containers, root } = await storeWithBusybox({
      root: join(mountFileSystem('ext4').path, 'store'),
    });
    await containers.launch('job', IMAGE, { ...sh(`${write('/file', 10)} exec sleep 100`), ...inMemory(20) });
    await vi.waitFor(async () => expect((await memoryOf(provisioner, 'job'))?.used).toBeGreaterThanOrEqual(10 * MIB));
    expect((await provisioner.store.usage()).containers.bytes).toBeLessThan(MIB);
    const { id } = await rootfsOf(provisioner, 'job');
    expect(await provisioner.containers.measure({ containerId: 'job', id })).toBe(0);
    expect((await provisioner.store.check({ full: true })).findings).toEqual([]);
    await provisioner.pruneImages([]);
    await provisioner.store.swept();
    expect((await memoryOf(provisioner, 'job'))?.used).toBeGreaterThanOrEqual(10 * MIB);
    await containers.destroy('job', { running: 'kill' });
    await expectNothingLeft(root);
  });

  test('is another owner’s, who is asked', async () => {
    const { containers, root } = await storeWithBusybox();
    await containers.launch('job', IMAGE, { ...sh('exec sleep 100'), ...inMemory(20) });
    const other = await again(root, { owner: 'other' });
    await expect(other.containers.update('job', { diskBytes: 30 * MIB })).rejects.toMatchObject({
      code: 'ERR_CONTAINER_FOREIGN',
    });
    await expect(other.containers.destroy('job', { running: 'kill' })).rejects.toMatchObject({
      code: 'ERR_CONTAINER_FOREIGN',
    });
    await other.containers.update('job', { diskBytes: 30 * MIB }, { anyOwner: true });
    expect((await memoryOf(other.provisioner, 'job'))?.bytes).toBe(30 * MIB);
    await other.containers.destroy('job', { running: 'kill', anyOwner: true });
    await expectNothingLeft(root);
  });

  test.each(['copy', 'bind'] as const)('is nothing for the backend %s', async (backend) => {
    const { containers, root } = await storeWithBusybox();
    const options = { ...sh('true'), ...inMemory(20), provision: { backend } };
    await expect(containers.launch('job', IMAGE, options)).rejects.toMatchObject({
      code: 'ERR_BAD_OPTION',
      hint: expect.stringContaining('overlay'),
    });
    await expect(
      containers.launch('job', IMAGE, { ...sh('true'), limits: { diskOn: 'memory' } }),
    ).rejects.toMatchObject({
      code: 'ERR_LIMIT_INVALID',
    });
    await expect(containers.spec('job', IMAGE, inMemory(20))).rejects.toMatchObject({
      code: 'ERR_BAD_OPTION',
      hint: expect.any(String),
    });
    await expectNothingLeft(root);
  });

  test('is let go of where it was mounted in another mount namespace, alive or dead', async () => {
    const { provisioner, root } = await storeWithBusybox();
    const body = `await p.provision('job', '${IMAGE}', { backend: 'overlay', inMemoryBytes: ${20 * MIB} }); say('made'); await sleep(100_000);`;
    for (const isAlive of [true, false]) {
      const other = otherContainerizer(root, body, { within: PRIVATE });
      await other.says('made');
      if (!isAlive) await other.kill();
      expect((await rootfsOf(provisioner, 'job')).state).toBe('elsewhere');
      expect(await memoryOf(provisioner, 'job')).toBeUndefined();
      expect((await provisioner.recover({ knownContainerIds: ['job'] })).remounted).toEqual([]);
      expect(tmpfsesOf(root)).toEqual([]);
      await provisioner.destroy('job');
      const table = isAlive ? readFileSync(`/proc/${other.pid}/mountinfo`, 'utf8') : '';
      expect(table).not.toContain(root);
      if (isAlive) await other.kill();
      await expectNothingLeft(root);
    }
  });

  test('is let go of where it was mounted by another name of the store', async () => {
    const { provisioner, root } = await storeWithBusybox();
    const alias = join(mountFileSystem('tmpfs').path, 'alias');
    mkdirSync(alias);
    execFileSync('mount', ['--bind', '--make-private', root, alias]);
    try {
      const body = `await p.provision('job', '${IMAGE}', { backend: 'overlay', inMemoryBytes: ${20 * MIB} });`;
      await otherContainerizer(alias, body).done;
      await provisioner.destroy('job');
      expect(mountsBelow(alias)).toEqual([]);
      expect(mountsBelow(root)).toEqual([]);
    } finally {
      execFileSync('umount', ['--lazy', alias]);
    }
  });
});
