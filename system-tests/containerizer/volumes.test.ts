import { execFileSync } from 'node:child_process';
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { again, IMAGE, otherContainerizer, sh, storeWithBusybox } from '../helpers/containers.js';
import { mountFileSystem } from '../helpers/file-systems.js';
import { describeWith } from '../helpers/requirements.js';
import { openStore, temporaryDirectory } from '../helpers/test-store.js';
import { snapshotTree, treeDifferences } from '../helpers/tree-snapshot.js';
import { at, type Entries, expectSound, type Mounts, printed, pullApp, run } from '../helpers/volumes.js';

const namesIn = (root: string, name: string) => readdirSync(join(root, name));

describeWith(['root', 'overlay', 'cgroups', 'crun', 'busybox'], 'a volume', () => {
  test('outlives the containers that have it, and is counted by itself', async () => {
    const { provisioner, containers } = await storeWithBusybox();
    await run(containers, 'echo kept >/data/file', { mounts: at('/data') });
    await expectSound(provisioner);
    await containers.destroy('job');
    expect((await provisioner.store.usage()).volumes).toMatchObject({ count: 1 });
    expect((await provisioner.store.usage()).volumes.bytes).toBeGreaterThan(0);
    expect(await run(containers, 'cat /other/file', { mounts: at('/other'), id: 'next' })).toBe('kept\n');
    await containers.destroy('next');
    await provisioner.pruneImages();
    await containers.recover({ knownContainerIds: [] });
    expect((await provisioner.volumes.list()).map(({ name }) => name)).toEqual(['data']);
    await provisioner.volumes.remove('data');
    await provisioner.store.swept();
    expect((await provisioner.store.usage()).volumes).toMatchObject({ count: 0 });
    await expectSound(provisioner);
  });

  test('is shared by two that run at once, at whatever place in each', async () => {
    const { containers } = await storeWithBusybox();
    await containers.launch('writer', IMAGE, { ...sh('echo hi >/a/file; sleep 30'), mounts: at('/a') });
    const reader = 'until cat /b/c/file; do sleep 0.05; done 2>/dev/null';
    expect(await run(containers, reader, { id: 'reader', mounts: at('/b/c') })).toBe('hi\n');
    await containers.destroy('writer', { running: 'kill' });
  });

  test('is not written where it is mounted read-only, and has no setuid programs and no devices', async () => {
    const { containers } = await storeWithBusybox();
    const [data = { type: 'volume', target: '/' }] = at('/data') ?? [];
    const mounts = [data, { ...data, target: '/ro', readOnly: true }] as const;
    const script =
      'echo hi >/data/file; cat /ro/file; touch /ro/x 2>&1; mount | grep -E " /(data|ro) "; mknod /data/null c 1 3 && cat /data/null 2>&1';
    const [hi, refused, ...rest] = (await run(containers, script, { mounts, addCapabilities: ['MKNOD'] })).split('\n');
    expect(hi).toBe('hi');
    expect(refused).toContain('Read-only file system');
    expect(rest[0]).toMatch(/ on \/data .*\(rw,nosuid,nodev/);
    expect(rest[1]).toMatch(/ on \/ro .*\(ro,nosuid,nodev/);
    expect(rest[2]).toContain('Permission denied');
  });

  test('is as the image has that place: owners, modes, times, attributes, links, holes and all', async () => {
    const { provisioner, containers } = await storeWithBusybox();
    await pullApp(provisioner, [
      { path: 'data/', uid: 999, gid: 998, mode: 0o2750, mtime: '1600000000.250000001', xattrs: { 'user.top': 'x' } },
      { path: 'data/file', content: 'content', uid: 1, gid: 2, mode: 0o4755, xattrs: { 'user.a': 'b' } },
      { path: 'data/other', type: 'hardlink', target: 'data/file' },
      { path: 'data/link', type: 'symlink', target: '/etc/passwd', uid: 5 },
      { path: 'data/out', type: 'symlink', target: '../../../../../../etc' },
      { path: 'data/pipe', type: 'fifo', mode: 0o640 },
      { path: 'data/inner/deep/', mode: 0o700 },
      { path: 'data/inner/deep/file', content: 'deep' },
    ] as Entries);
    await containers.launch('job', 'app:1', { ...sh('true'), mounts: at('/data') });
    await containers.wait('job');
    const [rootfs = ''] = (await provisioner.containers.get('job'))?.rootfses.map((one) => one.rootfs) ?? [];
    const of = snapshotTree(join(rootfs, 'data'));
    expect(of.map(({ path }) => path)).toHaveLength(9);
    expect(treeDifferences(of, snapshotTree(join(provisioner.root, 'volumes', 'data')))).toEqual([]);
    expect(lstatSync(join(provisioner.root, 'volumes/data/file')).nlink).toBe(2);
  });

  test('is filled from where links of the image lead inside, and nothing is read out of it', async () => {
    const { provisioner, containers } = await storeWithBusybox();
    const host = mkdtempSync('/var/tmp/provisioner-host-');
    onTestFinished(() => rmSync(host, { recursive: true, force: true }));
    writeFileSync(join(host, 'secret'), 'of the host');
    await pullApp(
      provisioner,
      [
        { path: 'real/' },
        { path: 'real/file', content: 'inside' },
        { path: 'data', type: 'symlink', target: '../../real' },
        { path: 'out', type: 'symlink', target: `../../../../../..${host}` },
      ] as Entries,
      { Volumes: { '/out/side': {} } },
    );
    const mounts = [...(at('/data') ?? []), ...(at('/out', 'other') ?? [])];
    expect(
      await run(containers, 'cat /data/file /real/file; ls /out; touch /out/new', { image: 'app:1', mounts }),
    ).toBe('insideinside');
    expect(namesIn(provisioner.root, 'volumes/data')).toEqual(['file']);
    expect(namesIn(provisioner.root, 'volumes/other')).toEqual(['new']);
    expect(readdirSync(host)).toEqual(['secret']);
  });

  test('that is new is filled once: what was removed from it does not come back', async () => {
    const { provisioner, containers } = await storeWithBusybox();
    await pullApp(provisioner, [{ path: 'data/' }, { path: 'data/file', content: 'x' }]);
    const options = { image: 'app:1', mounts: at('/data') };
    expect(await run(containers, 'ls /data; rm /data/file', { ...options })).toBe('file\n');
    expect(await run(containers, 'ls /data', { ...options, id: 'next' })).toBe('');
  });

  test('is found again by a start, with what was written there', async () => {
    const { provisioner, containers } = await storeWithBusybox();
    const mounts = [...(at('/data') ?? []), ...(at('/anonymous', '') ?? [])];
    await run(containers, 'echo x >>/data/file; echo y >>/anonymous/file; cat /data/file /anonymous/file', { mounts });
    await containers.start('job');
    expect(await printed(containers, 'job')).toBe('x\ny\nx\nx\ny\ny\n');
    await expect(provisioner.volumes.remove('data')).rejects.toMatchObject({ code: 'ERR_VOLUME_IN_USE' });
    await containers.destroy('job');
    await provisioner.volumes.remove('data');
    expect(namesIn(provisioner.root, 'containers')).toEqual([]);
  });

  test('is not removed by another process either while a container has it, running or not, or provisioned only', async () => {
    const { provisioner, containers, root } = await storeWithBusybox();
    await containers.launch('job', IMAGE, { ...sh('sleep 30'), mounts: at('/data') });
    const remove = `try { await p.volumes.remove('data'); say('removed'); } catch (e) { say(e.code + ' ' + e.details.containers); }`;
    const refused = ['ERR_VOLUME_IN_USE job'];
    expect(await otherContainerizer(root, remove).done).toEqual(refused);
    await containers.kill('job');
    await containers.wait('job');
    expect(await otherContainerizer(root, remove).done).toEqual(refused);
    // Destroyed by the store alone, which knows nothing of what runs containers.
    await provisioner.destroy('job');
    expect(await otherContainerizer(root, remove).done).toEqual(['removed']);
    await containers.recover();
    await expectSound(provisioner);
  });

  test('that is only hidden by a mount is neither given up nor taken for gone', async () => {
    const { provisioner, containers, root } = await storeWithBusybox();
    await run(containers, 'echo kept >/data/file', { mounts: at('/data') });
    await containers.destroy('job');
    const volumes = join(root, 'volumes');
    const hidden = { code: 'ERR_STORE_DAMAGED', message: expect.stringContaining('mounted over') };
    execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', volumes]);
    try {
      await expect(provisioner.volumes.remove('data')).rejects.toMatchObject(hidden);
      await expect(run(containers, 'true', { mounts: at('/data') })).rejects.toMatchObject(hidden);
    } finally {
      execFileSync('umount', [volumes]);
    }
    expect(await run(containers, 'cat /data/file', { mounts: at('/data') })).toBe('kept\n');
  });

  test('on which a disk of its own is mounted is had with that, and not removed before it is unmounted', async () => {
    const { provisioner, containers } = await storeWithBusybox();
    await pullApp(provisioner, [{ path: 'data/' }, { path: 'data/file', content: 'x' }]);
    const { mountpoint } = await provisioner.volumes.create('data');
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=77k', 'tmpfs', mountpoint]);
    try {
      const script = 'ls /data; touch /data/new; mount | grep -c "size=80k"';
      expect(await run(containers, script, { image: 'app:1', mounts: at('/data') })).toBe('1\n');
      await containers.destroy('job');
      await expect(provisioner.volumes.remove('data')).rejects.toThrow(mountpoint);
      expect(readdirSync(mountpoint)).toEqual(['new']);
      expect(await provisioner.volumes.get('data')).toMatchObject({ state: 'ready' });
    } finally {
      execFileSync('umount', [mountpoint]);
    }
    await provisioner.volumes.remove('data');
  });

  test('is let go of by a launch that fails', async () => {
    const { provisioner, containers } = await storeWithBusybox();
    const launch = containers.launch('job', IMAGE, { command: ['/nowhere'], mounts: at('/data') });
    await expect(launch).rejects.toMatchObject({ code: 'ERR_COMMAND_NOT_FOUND' });
    expect(await provisioner.volumes.list()).toMatchObject([{ name: 'data', containers: [] }]);
    await provisioner.volumes.remove('data');
    await expectSound(provisioner);
  });

  test('is made once by two processes that launch at once, and filled whole', async () => {
    const { provisioner, root } = await storeWithBusybox();
    const files = Array.from({ length: 200 }, (_, index) => ({ path: `data/f${index}`, content: `${index}` }));
    await pullApp(provisioner, [{ path: 'data/' }, ...files]);
    const launch = (id: string) =>
      otherContainerizer(
        root,
        `await c.launch('${id}', 'app:1', { command: ['sh', '-c', 'ls /data | grep -c f; echo >/data/${id}'], mounts: [{ type: 'volume', source: 'data', target: '/data' }] });
         await c.wait('${id}');
         let text = ''; for await (const { bytes } of c.logs('${id}')) text += bytes;
         say(text.trim());`,
      ).done;
    const [one, other] = await Promise.all([launch('one'), launch('other')]);
    expect([one, other]).toEqual([['200'], ['200']]);
    expect(namesIn(root, 'volumes/data')).toHaveLength(202);
    expect(namesIn(root, 'staging')).toEqual([]);
    expect(await provisioner.volumes.get('data')).toMatchObject({ containers: ['one', 'other'] });
  });

  test('of another owner is read by anybody, written by its owner, and removed by him or who says so', async () => {
    const { provisioner, containers, root } = await storeWithBusybox({ owner: 'agent' });
    await run(containers, 'echo hi >/data/file', { mounts: at('/data') });
    await containers.destroy('job');
    const other = await again(root, { owner: 'other' });
    const foreign = { code: 'ERR_VOLUME_FOREIGN', details: { volume: 'data', owner: 'agent' } };
    await expect(run(other.containers, 'true', { mounts: at('/data') })).rejects.toMatchObject(foreign);
    expect(await other.containers.list()).toEqual([]);
    expect(
      await run(other.containers, 'cat /data/file; touch /data/x 2>/dev/null || echo no', {
        mounts: at('/data', 'data', { readOnly: true }),
      }),
    ).toBe('hi\nno\n');
    await expect(provisioner.volumes.remove('data')).rejects.toMatchObject({ code: 'ERR_VOLUME_IN_USE' });
    await other.containers.destroy('job');
    await expect(other.provisioner.volumes.create('data')).rejects.toMatchObject(foreign);
    await expect(other.provisioner.volumes.remove('data')).rejects.toMatchObject(foreign);
    await other.provisioner.volumes.remove('data', { anyOwner: true });
  });

  test('shows in the files of its container, and is left out of its export', async () => {
    const { containers } = await storeWithBusybox();
    await run(containers, 'echo hi >/data/file', { mounts: at('/data') });
    const files = containers.files('job');
    expect((await files.list('/data')).map(({ name }) => name)).toEqual(['file']);
    await files.write('/data/other', 'x');
    await containers.destroy('job');
    expect(await run(containers, 'cat /data/other', { mounts: at('/data', 'data', { readOnly: true }) })).toBe('x');
  });

  test('is given to who runs a container with another tool, too', async () => {
    const { provisioner, containers } = await storeWithBusybox();
    await pullApp(provisioner, [{ path: 'data/' }, { path: 'data/file', content: 'x' }], { Volumes: { '/cache': {} } });
    const config = JSON.parse(await containers.spec('job', 'app:1', { mounts: at('/data') }));
    const sourceAt = (target: string) =>
      config.mounts.find(({ destination }: { destination: string }) => destination === target)?.source;
    expect(sourceAt('/data')).toBe(join(provisioner.root, 'volumes/data'));
    expect(readdirSync(sourceAt('/cache'))).toEqual([]);
    await expect(provisioner.volumes.remove('data')).rejects.toMatchObject({ code: 'ERR_VOLUME_IN_USE' });
  });
});

describeWith(['root', 'overlay', 'cgroups', 'crun', 'busybox'], 'a volume that the image declares', () => {
  const IMAGE_FILES: Entries = [
    { path: 'data/', uid: 999, gid: 999, mode: 0o750 },
    { path: 'data/file', content: 'of the image\n' },
  ];

  test('belongs to its container, filled, and goes with it', async () => {
    const { provisioner, containers } = await storeWithBusybox();
    await pullApp(provisioner, IMAGE_FILES, { Volumes: { '/data': {}, '/new/one': {} } });
    const script = 'cat /data/file; stat -c %u:%a /data; echo more >/data/file; mount | grep -c -E " /(data|new/one) "';
    expect(await run(containers, script, { image: 'app:1' })).toBe('of the image\n999:750\n2\n');
    await containers.start('job');
    expect(await printed(containers, 'job')).toContain('2\nmore\n999:750\n');
    // The next one has its own.
    expect(await run(containers, 'cat /data/file', { image: 'app:1', id: 'next', remove: false })).toBe(
      'of the image\n',
    );
    expect(await provisioner.volumes.list()).toEqual([]);
    await expectSound(provisioner);
    await containers.destroy('job');
    await containers.destroy('next');
    expect(namesIn(provisioner.root, 'containers')).toEqual([]);
    await provisioner.store.swept();
    await expectSound(provisioner);
  });

  test('goes with the end of a container that is to be removed then', async () => {
    const { provisioner, containers } = await storeWithBusybox();
    await pullApp(provisioner, IMAGE_FILES, { Volumes: { '/data': {} } });
    await containers.launch('job', 'app:1', { ...sh('touch /data/x'), remove: true });
    await containers.wait('job');
    await expect.poll(() => namesIn(provisioner.root, 'containers'), { timeout: 5000 }).toEqual([]);
  });

  test('is written in a container that is read-only', async () => {
    const { provisioner, containers } = await storeWithBusybox();
    await pullApp(provisioner, IMAGE_FILES, { Volumes: { '/data': {} } });
    const script = 'touch /x 2>/dev/null || echo no; echo yes >/data/x; cat /data/x';
    expect(await run(containers, script, { image: 'app:1', readOnly: true })).toBe('no\nyes\n');
  });

  test('is written in a root filesystem that is mounted read-only, where that has a place for it', async () => {
    const { provisioner, containers } = await storeWithBusybox();
    const places = ['proc/', 'dev/', 'sys/', 'tmp/', 'run/'].map((path) => ({ path }));
    await pullApp(provisioner, [...places, ...IMAGE_FILES], { Volumes: { '/data': {}, '/none': {} } });
    const script = 'echo yes >/data/x; cat /data/x /data/file; ls /none 2>/dev/null || echo none';
    const options = { image: 'app:1', provision: { backend: 'bind' } } as const;
    expect(await run(containers, script, options)).toBe('yes\nof the image\nnone\n');
    await containers.destroy('job');
    expect(namesIn(provisioner.root, 'containers')).toEqual([]);
  });

  test('gives way to a mount of the caller at the same place, by whatever name, or above', async () => {
    const { provisioner, containers } = await storeWithBusybox();
    await pullApp(
      provisioner,
      [...IMAGE_FILES, { path: 'lib/data/' }, { path: 'alias', type: 'symlink', target: '/data' }] as Entries,
      { Volumes: { '/data': {}, '/lib/data': {} } },
    );
    const host = temporaryDirectory();
    const mounts: Mounts = [...(at('/alias') ?? []), { type: 'bind', source: host, target: '/lib' }];
    await run(containers, 'echo a >/data/a; mkdir -p /lib/data; echo b >/lib/data/b', { image: 'app:1', mounts });
    expect(namesIn(provisioner.root, 'volumes/data').sort()).toEqual(['a', 'file']);
    expect(readdirSync(join(host, 'data'))).toEqual(['b']);
  });

  test('holds a mount of the caller below it', async () => {
    const { provisioner, containers } = await storeWithBusybox();
    await pullApp(provisioner, IMAGE_FILES, { Volumes: { '/data': {} } });
    const mounts = at('/data/sub/dir');
    const script = 'echo x >/data/sub/dir/x; ls /data';
    expect(await run(containers, script, { image: 'app:1', mounts })).toBe('file\nsub\n');
    expect(namesIn(provisioner.root, 'volumes/data')).toEqual(['x']);
  });

  test('where nothing can be mounted is left out: a file, the root, what is the kernel’s, a way that leads nowhere', async () => {
    const { provisioner, containers } = await storeWithBusybox();
    await pullApp(provisioner, [{ path: 'loop', type: 'symlink', target: 'loop' }] as Entries, {
      Volumes: {
        '/': {},
        '/bin/sh': {},
        '/bin/sh/x': {},
        '/sys/fs/cgroup': {},
        '/proc/x': {},
        '/dev/shm': {},
        '/loop': {},
      },
    });
    expect(await run(containers, 'echo runs', { image: 'app:1' })).toBe('runs\n');
  });

  test('has the directory in which the program begins', async () => {
    const { provisioner, containers } = await storeWithBusybox();
    await pullApp(provisioner, IMAGE_FILES, { Volumes: { '/data': {} }, WorkingDir: '/data/work' });
    expect(await run(containers, 'echo $PWD; ls ..', { image: 'app:1' })).toBe('/data/work\nfile\nwork\n');
  });
});

describeWith(
  ['root', 'overlay', 'cgroups', 'crun', 'busybox', 'mount'],
  'a disk that is full while a volume is filled',
  () => {
    test('fails the launch, and the next one fills it whole when there is room', async () => {
      const { path } = mountFileSystem('tmpfs');
      execFileSync('mount', ['-o', 'remount,size=40m', path]);
      const provisioner = await openStore({ root: join(path, 'store'), limits: { freeSpaceReserve: 0 } });
      const { containers } = await again(provisioner.root);
      await pullApp(provisioner, [{ path: 'data/' }, { path: 'data/large', content: Buffer.alloc(8 * 2 ** 20, 'x') }]);
      const filler = join(path, 'filler');
      const { bavail, bsize } = statfsSync(path);
      execFileSync('fallocate', ['-l', String(bavail * bsize - 4 * 2 ** 20), filler]);
      const options = { image: 'app:1', mounts: at('/data') };
      await expect(run(containers, 'true', options)).rejects.toMatchObject({
        code: 'ERR_NO_SPACE',
        message: expect.stringContaining('the volume data'),
      });
      expect(await provisioner.volumes.get('data')).toMatchObject({ state: 'new', containers: [] });
      expect(await containers.list()).toEqual([]);
      rmSync(filler);
      expect(await run(containers, 'stat -c %s /data/large', options)).toBe(`${8 * 2 ** 20}\n`);
      await provisioner.store.swept();
      await expectSound(provisioner);
      await containers.destroy('job');
    });

    test('with what the dead had begun to remove is swept, and it is filled', async () => {
      const { path } = mountFileSystem('tmpfs');
      execFileSync('mount', ['-o', 'remount,size=40m', path]);
      const provisioner = await openStore({ root: join(path, 'store'), limits: { freeSpaceReserve: 0 } });
      const { containers } = await again(provisioner.root);
      await pullApp(provisioner, [{ path: 'data/' }, { path: 'data/large', content: Buffer.alloc(8 * 2 ** 20, 'x') }]);
      const left = join(provisioner.root, 'gc', 'volume.1');
      mkdirSync(left);
      const { bavail, bsize } = statfsSync(path);
      execFileSync('fallocate', ['-l', String(bavail * bsize - 4 * 2 ** 20), join(left, 'file')]);
      const options = { image: 'app:1', mounts: at('/data') };
      expect(await run(containers, 'stat -c %s /data/large', options)).toBe(`${8 * 2 ** 20}\n`);
      expect(namesIn(provisioner.root, 'gc')).toEqual([]);
      await containers.destroy('job');
    });
  },
);
