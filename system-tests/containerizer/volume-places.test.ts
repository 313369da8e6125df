import { lstatSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { again, storeWithBusybox } from '../helpers/containers.js';
import { describeWith } from '../helpers/requirements.js';
import { temporaryDirectory } from '../helpers/test-store.js';
import { at, type Entries, expectSound, printed, pullApp, run } from '../helpers/volumes.js';

const NEEDS = ['root', 'overlay', 'cgroups', 'crun', 'busybox'] as const;
const FILES = [
  { path: 'data/', mode: 0o1750, uid: 1234, gid: 4321 },
  { path: 'data/file', content: 'of the image\n', mode: 0o4755 },
  { path: 'loop', type: 'symlink', target: 'loop' },
  { path: 'isfile', content: '' },
  { path: 'lk', type: 'symlink', target: '/data' },
  { path: 'lk-proc', type: 'symlink', target: '/proc' },
] as Entries;

describeWith(NEEDS, 'a volume of another owner', () => {
  test('that is new is not filled by who may only read it, and by its owner after that', async () => {
    const { provisioner, containers, root } = await storeWithBusybox({ owner: 'bob' });
    await pullApp(provisioner, FILES);
    await provisioner.volumes.create('bobs');
    const alice = await again(root, { owner: 'alice' });
    const reads = { image: 'app:1', mounts: at('/data', 'bobs', { readOnly: true }) };
    expect(await run(alice.containers, 'ls -a /data', { ...reads, id: 'alices' })).toBe('.\n..\n');
    const mountpoint = join(root, 'volumes/bobs');
    expect(lstatSync(mountpoint)).toMatchObject({ uid: 0, gid: 0 });
    expect(await provisioner.volumes.get('bobs')).toMatchObject({ state: 'new', owner: 'bob' });
    expect(await run(containers, 'cat /data/file', { image: 'app:1', mounts: at('/data', 'bobs') })).toBe(
      'of the image\n',
    );
    await alice.containers.start('alices');
    expect(await printed(alice.containers, 'alices')).toBe('.\n..\n.\n..\nfile\n');
  });

  test('that he may read stays as it is when he asks to write it as well', async () => {
    const { containers, root } = await storeWithBusybox({ owner: 'bob' });
    await run(containers, 'echo kept >/data/file', { mounts: at('/data') });
    const alice = await again(root, { owner: 'alice' });
    const mounts = [...(at('/ro', 'data', { readOnly: true }) ?? []), ...(at('/rw') ?? [])];
    await expect(run(alice.containers, 'true', { id: 'alices', mounts })).rejects.toMatchObject({
      code: 'ERR_VOLUME_FOREIGN',
    });
  });

  test('is written by the container of its owner, also when somebody else starts that', async () => {
    const { containers, root } = await storeWithBusybox({ owner: 'bob' });
    await run(containers, 'echo x >>/data/file; cat /data/file', { mounts: at('/data') });
    const alice = await again(root, { owner: 'alice' });
    await alice.containers.start('job', { anyOwner: true });
    expect(await printed(alice.containers, 'job')).toBe('x\nx\nx\n');
  });
});

describeWith(NEEDS, 'a volume that is to be where none can be', () => {
  const refused = { code: 'ERR_MOUNT_TARGET' };
  const places = ['/', '/loop', '/isfile', '/isfile/x', '/proc', '/proc/sys', '/sys', '/dev', '/dev/null', '/lk-proc'];
  test.each(places)('%s: nothing is recorded, made or copied', async (target) => {
    const { provisioner, containers, root } = await storeWithBusybox();
    await pullApp(provisioner, FILES);
    for (const source of ['data', '']) {
      const launch = run(containers, 'true', { image: 'app:1', mounts: at(target, source) });
      await expect(launch).rejects.toMatchObject(refused);
    }
    expect(await provisioner.volumes.list()).toEqual([]);
    expect(readdirSync(join(root, 'containers'))).toEqual([]);
    expect(await run(containers, 'cat /data/file', { image: 'app:1', mounts: at('/data') })).toBe('of the image\n');
    await expectSound(provisioner);
  });

  test('is told by its place where it has no name that a volume can have', async () => {
    const { containers } = await storeWithBusybox();
    for (const source of ['/tmp/data', 'a/b']) {
      await expect(run(containers, 'true', { mounts: at('/data', source) })).rejects.toMatchObject({
        code: 'ERR_BAD_OPTION',
        message: `the volume at "/data" cannot be: "${source}" is no name of a volume`,
      });
    }
  });

  test('is not had with others that could be', async () => {
    const { provisioner, containers } = await storeWithBusybox();
    await pullApp(provisioner, FILES);
    const mounts = [...(at('/data') ?? []), ...(at('/loop', 'other') ?? [])];
    await expect(run(containers, 'true', { image: 'app:1', mounts })).rejects.toMatchObject(refused);
    expect(await provisioner.volumes.list()).toEqual([]);
  });

  test('can be below another mount, whatever the image has there', async () => {
    const { provisioner, containers } = await storeWithBusybox();
    await pullApp(provisioner, FILES);
    const mounts = [...(at('/lk') ?? []), { type: 'tmpfs' as const, target: '/mnt' }];
    const all = [...mounts, ...(at('/data/file-place', 'inner') ?? []), ...(at('/mnt/isfile', 'other') ?? [])];
    const script = 'touch /data/file-place/x /mnt/isfile/y; ls /data /mnt';
    expect(await run(containers, script, { image: 'app:1', mounts: all })).toBe(
      '/data:\nfile\nfile-place\n\n/mnt:\nisfile\n',
    );
  });
});

describeWith(NEEDS, 'a volume that has something else in the place of its directory', () => {
  test('a link, or a file: nothing is mounted of what it leads to, and nothing written there', async () => {
    const { provisioner, containers, root } = await storeWithBusybox();
    await run(containers, 'echo kept >/data/file', { mounts: at('/data') });
    const mountpoint = join(root, 'volumes/data');
    const elsewhere = temporaryDirectory();
    renameSync(mountpoint, join(root, '..', 'aside'));
    for (const put of [
      () => symlinkSync(elsewhere, mountpoint),
      () => symlinkSync('/etc/shadow', mountpoint),
      () => writeFileSync(mountpoint, ''),
    ]) {
      put();
      const launch = run(containers, 'touch /data/x', { id: 'next', mounts: at('/data') });
      await expect(launch).rejects.toMatchObject({ code: 'ERR_STORE_DAMAGED' });
      await expect(containers.start('job')).rejects.toMatchObject({ code: 'ERR_STORE_DAMAGED' });
      rmSync(mountpoint);
    }
    expect(readdirSync(elsewhere)).toEqual([]);
    renameSync(join(root, '..', 'aside'), mountpoint);
    expect(await run(containers, 'cat /data/file', { id: 'next', mounts: at('/data') })).toBe('kept\n');
    await expectSound(provisioner);
  });
});

describeWith(NEEDS, 'what an image says of volumes', () => {
  test('is left out where it is no path', async () => {
    const { provisioner, containers } = await storeWithBusybox();
    await pullApp(provisioner, FILES, { Volumes: { '/a\u0000b': {}, 'not/absolute': {}, '': {}, '/data': {} } });
    expect(await run(containers, 'echo x >/data/x; ls /data', { image: 'app:1' })).toBe('file\nx\n');
  });

  test.each(['/etc', '/etc/hosts', '/etc/hostname', '/etc/resolv.conf'])(
    'does not take away what a container knows of itself and others: %s',
    async (target) => {
      const { provisioner, containers } = await storeWithBusybox();
      await pullApp(provisioner, FILES, { Volumes: { [target]: {} } });
      const options = { image: 'app:1', hostname: 'me', dns: ['192.0.2.1'], addHosts: { other: '192.0.2.2' } };
      const script = 'cat /etc/hostname; grep other /etc/hosts; cat /etc/resolv.conf /etc/passwd';
      const expected = 'me\n192.0.2.2\tother\nnameserver 192.0.2.1\nroot:x:0:0::/root:/bin/sh\n';
      expect(await run(containers, script, options)).toBe(expected);
      await containers.start('job');
      expect(await printed(containers, 'job')).toBe(expected + expected);
    },
  );

  test('a link in its /etc that leads nowhere stays what it is', async () => {
    const { provisioner, containers } = await storeWithBusybox();
    const link = { path: 'etc/resolv.conf', type: 'symlink', target: '../run/nowhere' };
    await pullApp(provisioner, [...FILES, link] as Entries, { Volumes: { '/etc': {} } });
    expect(await run(containers, 'ls /etc; cat /etc/hostname', { image: 'app:1', hostname: 'me' })).toBe(
      'hostname\nhosts\npasswd\nresolv.conf\nme\n',
    );
  });
});
