import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chownSync,
  createReadStream,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { expect, test, vi } from 'vitest';
import type { Containerizer, LaunchOptions } from '#src/containerizer/index.js';
import { mountsBelow } from '#src/system/syscalls/mounts/mount-table.js';
import { zstd } from '../../fixtures/layer-builder.mjs';
import { again, IMAGE, sh, storeWithBusybox } from '../helpers/containers.js';
import { unmountAll } from '../helpers/reboot.js';
import { describeWith } from '../helpers/requirements.js';
import { temporaryDirectory } from '../helpers/test-store.js';

const NEEDS = ['root', 'overlay', 'cgroups', 'crun', 'busybox'] as const;
const ALICE = { uid: 1000, gid: 1001 };

async function textOf(pieces: AsyncIterable<Uint8Array>): Promise<string> {
  return (await buffer(pieces)).toString();
}

/** What `tar -tv` says of an archive, with the owners as numbers; of each line the mode, the owner, the size and the name. */
async function listed(archive: AsyncIterable<Uint8Array>): Promise<string[]> {
  const input = await buffer(archive);
  const text = execFileSync('tar', ['-tv', '--numeric-owner'], { input, encoding: 'utf8', maxBuffer: 2 ** 26 });
  return text
    .trimEnd()
    .split('\n')
    .map((line) => line.replace(/ +\d{4}-\d\d-\d\d \d\d:\d\d/, '').replace(/ +/g, ' '));
}

/** Resolves when the program has said that it is ready. */
async function launchReady(containers: Containerizer, id: string, script: string, options: LaunchOptions = {}) {
  await containers.launch(id, IMAGE, { ...sh(`${script}\necho ready; exec sleep 1000`), ...options });
  for await (const { bytes } of containers.logs(id, { follow: true })) if (bytes.includes('ready')) return;
}

describeWith(NEEDS, 'the files of a container', () => {
  test('are there when it was provisioned only, runs, is paused, and has ended', async () => {
    const { containers, provisioner } = await storeWithBusybox();
    await provisioner.provision('bare', IMAGE);
    const bare = containers.files('bare');
    await bare.write('/home/alice/note', 'hello');
    expect(await textOf(bare.read('home/alice/note'))).toBe('hello');

    await launchReady(containers, 'job', 'echo one >/home/alice/note');
    const files = containers.files('job');
    const note = () => textOf(files.read('/home/alice/note'));
    expect(await note()).toBe('one\n');
    await containers.pause('job');
    expect(await note()).toBe('one\n');
    await containers.resume('job');
    await files.write('/tmp/from-outside', 'two', { ...ALICE, mode: 0o600 });
    const { stdout, ended } = await containers.exec('job', [
      'sh',
      '-c',
      'cat /tmp/from-outside; stat -c %a:%u:%g /tmp/from-outside',
    ]);
    expect(await textOf(stdout)).toBe('two600:1000:1001\n');
    await ended;
    await containers.stop('job', { grace: 0 });
    expect(await note()).toBe('one\n');
    expect(await files.stat('/tmp/from-outside')).toMatchObject({ kind: 'file', mode: 0o600, ...ALICE, size: 3 });
    expect((await files.list('/home')).map(({ name, kind }) => [name, kind])).toEqual([['alice', 'directory']]);
    expect(await files.remove('/tmp/from-outside')).toBe(true);
    expect(await files.remove('/tmp/from-outside')).toBe(false);
    await expect(files.stat('/tmp/from-outside')).rejects.toMatchObject({ code: 'ERR_FILE_NOT_FOUND' });
  });

  test('are read in parts, from the beginning or the end', async () => {
    const { containers, provisioner } = await storeWithBusybox();
    await provisioner.provision('job', IMAGE);
    const files = containers.files('job');
    await files.write('/digits', '0123456789');
    const part = (range: Parameters<typeof files.read>[1]) => textOf(files.read('/digits', range));
    expect(await part({ start: 2, length: 3 })).toBe('234');
    expect(await part({ last: 4 })).toBe('6789');
    expect(await part({ last: 100 })).toBe('0123456789');
    expect(await part({ start: 50 })).toBe('');
  });

  test('are those that a program sees: its volumes and its tmpfs', async () => {
    const { containers } = await storeWithBusybox();
    const volume = temporaryDirectory();
    const mounts = [
      { type: 'bind', source: volume, target: '/data' },
      { type: 'tmpfs', target: '/scratch' },
    ] as const;
    await launchReady(containers, 'job', 'echo s >/scratch/s; echo d >/data/d', { mounts });
    const files = containers.files('job');
    expect(await textOf(files.read('/scratch/s'))).toBe('s\n');
    expect(await textOf(files.read('/data/d'))).toBe('d\n');
    await files.write('/data/written', 'w');
    expect(readFileSync(join(volume, 'written'), 'utf8')).toBe('w');
    // Its own root filesystem, without them.
    expect(
      (await listed(files.export()))
        .filter((line) => /(data|scratch)\//.test(line))
        .map((line) => line.split(' ').at(-1)),
    ).toEqual(['data/', 'scratch/']);
    await expect(files.remove('/data', { recursive: true })).rejects.toMatchObject({ code: 'ERR_FILE_TYPE' });
    await expect(files.write('/etc/hosts', '')).rejects.toMatchObject({
      code: 'ERR_FILE_TYPE',
      message: expect.stringContaining('mounted'),
    });
  });

  test('of volumes are read and written in these after the end of the program too, and the next start sees it', async () => {
    const { containers } = await storeWithBusybox();
    const [volume, fixed, host] = [temporaryDirectory(), temporaryDirectory(), makeTree('in/file')];
    writeFileSync(join(fixed, 'conf'), 'fixed');
    const mounts = [
      { type: 'bind', source: volume, target: '/data' },
      { type: 'bind', source: fixed, target: '/data/fixed', readOnly: true },
      { type: 'bind', source: join(fixed, 'conf'), target: '/etc/conf' },
    ] as const;
    const script = 'ls /data; echo d >/data/d; ln -s /data/d /d; ln -s ../etc/conf /data/up';
    await containers.launch('job', IMAGE, { ...sh(script), mounts });
    await containers.wait('job');
    const files = containers.files('job');
    expect(await textOf(files.read('/data/d'))).toBe('d\n');
    // Links lead where they lead for the program, in and out of the volume.
    expect(await textOf(files.read('/d'))).toBe('d\n');
    expect(await textOf(files.read('/data/up'))).toBe('fixed');
    expect((await files.list('/data')).map(({ name }) => name)).toEqual(['d', 'fixed', 'up']);
    await files.write('/data/written', 'w');
    await files.mkdir('/data/a/b', { parents: true, ...ALICE });
    await files.copyIn(join(host, 'in'), '/data/a');
    expect(execFileSync('find', ['.', '-type', 'f'], { cwd: volume, encoding: 'utf8' }).split('\n').sort()).toEqual([
      '',
      './a/in/file',
      './d',
      './written',
    ]);
    expect(lstatSync(join(volume, 'a/b'))).toMatchObject(ALICE);
    expect(await files.remove('/data/written')).toBe(true);
    for (const work of [
      () => files.write('/data/fixed/x', ''),
      () => files.mkdir('/data/fixed/x'),
      () => files.remove('/data/fixed/conf'),
      () => files.copyIn(join(host, 'in'), '/data/fixed'),
    ])
      await expect(work()).rejects.toMatchObject({ code: 'ERR_ROOTFS_READ_ONLY' });
    for (const work of [
      () => files.write('/etc/conf', ''),
      () => files.write('/etc/hosts', ''),
      () => files.remove('/data', { recursive: true }),
      () => files.remove('/data/fixed'),
    ])
      await expect(work()).rejects.toMatchObject({
        code: 'ERR_FILE_TYPE',
        message: expect.stringContaining('mounted'),
      });
    expect(readdirSync(fixed)).toEqual(['conf']);
    const target = temporaryDirectory();
    await files.copyOut('/.', join(target, 'all'));
    expect(readFileSync(join(target, 'all/data/a/in/file'), 'utf8')).toBe('dropped');
    expect(readFileSync(join(target, 'all/data/fixed/conf'), 'utf8')).toBe('fixed');
    expect((await listed(files.export())).filter((line) => line.includes(' data/'))).toHaveLength(1);
    await containers.start('job');
    await containers.wait('job');
    let output = '';
    for await (const { bytes } of containers.logs('job')) output += Buffer.from(bytes).toString();
    expect(output).toContain('a\n');
  });

  test('of a tmpfs are not to be had after the end of the program, and nothing is written below one', async () => {
    const { containers } = await storeWithBusybox();
    const volume = makeTree('file');
    const mounts = [
      { type: 'tmpfs', target: '/scratch' },
      { type: 'bind', source: volume, target: '/scratch/volume' },
      { type: 'bind', source: makeTree('gone'), target: '/gone' },
    ] as const;
    await containers.launch('job', IMAGE, { ...sh('echo s >/scratch/s'), readOnly: true, mounts });
    await containers.wait('job');
    execFileSync('rm', ['-r', mounts[2].source]);
    const files = containers.files('job');
    const target = temporaryDirectory();
    for (const path of [
      '/scratch',
      '/scratch/s',
      '/scratch/deep/er',
      '/tmp/x',
      '/run',
      '/var/tmp/x',
      '/dev/null',
      '/proc/1',
      '/sys',
    ])
      for (const work of [
        () => textOf(files.read(path)),
        () => files.write(path, ''),
        () => files.mkdir(join(path, 'x/y'), { parents: true }),
        () => files.copyOut(path, target),
        () => files.extract(path, pieces(Buffer.alloc(1024))),
      ])
        await expect(work(), path).rejects.toMatchObject({
          code: 'ERR_FILE_TYPE',
          message: expect.stringContaining('only while the program runs'),
          hint: expect.stringContaining('provisioner start job'),
        });
    await expect(files.list('/tmp')).rejects.toMatchObject({ code: 'ERR_FILE_TYPE' });
    expect(await files.stat('/scratch')).toMatchObject({ kind: 'directory' });
    expect(await textOf(files.read('/scratch/volume/file'))).toBe('dropped');
    await files.write('/scratch/volume/new', 'n');
    expect(readdirSync(volume)).toEqual(['file', 'new']);
    await expect(files.list('/gone')).rejects.toMatchObject({
      code: 'ERR_MOUNT_SOURCE',
      message: expect.stringContaining(mounts[2].source),
    });
    expect((await files.list('/')).map(({ name }) => name)).toContain('gone');
    const leftOut = ['dev', 'gone', 'proc', 'run', 'scratch', 'sys', 'tmp', 'var/tmp'].map((path) => `job:/${path}`);
    const copied = await files.copyOut('/.', join(target, 'all'));
    expect(copied.leftOut.map(({ path }) => path)).toEqual(leftOut);
    const told: string[] = [];
    await listed(files.archive('/', { onLeftOut: ({ path, what }) => told.push(`${path} ${what}`) }));
    expect(told.map((one) => one.split(' ')[0])).toEqual(leftOut);
    expect(told).toEqual(expect.arrayContaining(['job:/scratch tmpfs', 'job:/gone volume', 'job:/proc kernel']));
  });

  test('of a container that waits at its gate are those that its program will see', async () => {
    const { containers } = await storeWithBusybox();
    const volume = temporaryDirectory();
    const mounts = [{ type: 'bind', source: volume, target: '/data' }] as const;
    await containers.create('job', IMAGE, { ...sh('cat /data/x /tmp/x'), readOnly: true, mounts });
    await containers.files('job').write('/data/x', 'volume ');
    await containers.files('job').write('/tmp/x', 'scratch');
    await containers.start('job');
    await containers.wait('job');
    let output = '';
    for await (const { bytes } of containers.logs('job')) output += Buffer.from(bytes).toString();
    expect(output).toBe('volume scratch');
  });

  test('are put into directories that are made for them', async () => {
    const { containers, provisioner } = await storeWithBusybox();
    const { rootfs } = await provisioner.provision('bare', IMAGE);
    const files = containers.files('bare');
    await expect(files.write('/a/b/c', '')).rejects.toMatchObject({
      code: 'ERR_FILE_NOT_FOUND',
      hint: expect.stringContaining('mkdir'),
    });
    await expect(files.extract('/a', pieces(Buffer.alloc(1024)))).rejects.toMatchObject({
      hint: expect.stringContaining('mkdir'),
    });
    await expect(files.mkdir('/a/b')).rejects.toMatchObject({ code: 'ERR_FILE_NOT_FOUND' });
    await files.mkdir('/a/b', { parents: true, mode: 0o1770, ...ALICE });
    expect(await files.stat('/a')).toMatchObject({ mode: 0o755, ...ALICE });
    expect(await files.stat('/a/b')).toMatchObject({ kind: 'directory', mode: 0o1770, ...ALICE });
    await expect(files.mkdir('/a/b')).rejects.toMatchObject({ code: 'ERR_FILE_TYPE' });
    await files.mkdir('/a/b', { parents: true, mode: 0o700 });
    expect(await files.stat('/a/b')).toMatchObject({ mode: 0o1770 });
    symlinkSync('/a/b', join(rootfs, 'link'));
    await files.mkdir('link/../b/c/d/', { parents: true });
    await files.mkdir('/a/b/c/e');
    expect((await files.list('/a/b/c')).map(({ name }) => name)).toEqual(['d', 'e']);
    await expect(files.mkdir('/etc/passwd', { parents: true })).rejects.toMatchObject({ code: 'ERR_FILE_TYPE' });
    await expect(files.mkdir('/etc/passwd/x', { parents: true })).rejects.toMatchObject({ code: 'ERR_FILE_TYPE' });
    await Promise.all(Array.from({ length: 8 }, (_, n) => files.mkdir(`/many/of/them/${n}`, { parents: true })));
    expect(await files.list('/many/of/them')).toHaveLength(8);
    expect(await files.remove('/none/x')).toBe(false);
  });

  test('come from what the caller hands over, whose failures are told as what they are', async () => {
    const { containers, provisioner } = await storeWithBusybox();
    await provisioner.provision('bare', IMAGE);
    const files = containers.files('bare');
    const missing = { code: 'ERR_FILE_NOT_FOUND', message: expect.stringContaining('/none/missing.tar') };
    await expect(files.extract('/tmp', createReadStream('/none/missing.tar'))).rejects.toMatchObject(missing);
    await expect(files.write('/tmp/x', createReadStream('/none/missing.tar'))).rejects.toMatchObject(missing);
    await files.write('/tmp/x', Readable.from(['ä', Buffer.from('b'), '']));
    expect(await textOf(files.read('/tmp/x'))).toBe('äb');
    await expect(files.write('/tmp/x', Readable.from([{}]) as never)).rejects.toMatchObject({ code: 'ERR_BAD_OPTION' });
    await expect(files.extract('/tmp', Readable.from(['text']) as never)).rejects.toMatchObject({
      code: 'ERR_BAD_OPTION',
    });
    expect((await files.list('/tmp')).map(({ name }) => name)).toEqual(['x']);
  });

  test('never lead out: neither by a symlink, nor by "..", nor by a link of the kernel', async () => {
    const { containers, provisioner } = await storeWithBusybox();
    const host = temporaryDirectory();
    writeFileSync(join(host, 'secret'), 'secret');
    const { rootfs } = await provisioner.provision('bare', IMAGE);
    symlinkSync('/etc', join(rootfs, 'absolute'));
    symlinkSync(host, join(rootfs, 'host'));
    symlinkSync(`../../../../../../../..${host}`, join(rootfs, 'tmp/up'));
    const files = containers.files('bare');
    expect(await textOf(files.read('/absolute/passwd'))).toMatch(/^root:x:0:0::\/root:\/bin\/sh\nalice/);
    expect(await textOf(files.read('/../../../../etc/passwd'))).toContain('alice');
    for (const path of ['/host/secret', '/tmp/up/secret', `/../..${host}/secret`])
      await expect(textOf(files.read(path)), path).rejects.toMatchObject({ code: 'ERR_FILE_NOT_FOUND' });
    await expect(files.write('/host/new', 'x')).rejects.toMatchObject({ code: 'ERR_FILE_NOT_FOUND' });
    await launchReady(containers, 'job', 'true');
    await expect(textOf(containers.files('job').read(`/proc/1/root${host}/secret`))).rejects.toMatchObject({
      code: 'ERR_FILE_NOT_FOUND',
    });
    expect(readdirSync(host)).toEqual(['secret']);
  });

  test('do not lead out either while somebody swaps a directory for a symlink as fast as he can', async () => {
    const { containers, provisioner } = await storeWithBusybox();
    const host = temporaryDirectory();
    writeFileSync(join(host, 'file'), 'HOST');
    const { rootfs } = await provisioner.provision('job', IMAGE);
    mkdirSync(join(rootfs, 'r/real'), { recursive: true });
    writeFileSync(join(rootfs, 'r/real/file'), 'inside');
    const swap = `$| = 1; print "swapping"; while (1) { rename "real", "aside"; symlink "${host}", "real"; unlink "real"; rename "aside", "real" }`;
    const racing = spawn('perl', ['-e', swap], { cwd: join(rootfs, 'r'), stdio: ['ignore', 'pipe', 'inherit'] });
    const files = containers.files('job');
    const target = temporaryDirectory();
    const seen = new Set<unknown>();
    const tried = (work: Promise<unknown>) =>
      work.then(
        (result) => seen.add(result),
        (error) => seen.add(error.code),
      );
    const archive = execFileSync('tar', ['-c', 'dropped'], { cwd: makeTree('dropped') });
    try {
      await once(racing.stdout, 'data');
      for (let round = 0; round < 60; round++) {
        await tried(textOf(files.read('/r/real/file')));
        await tried(files.write('/r/real/written', 'x'));
        await tried(files.extract('/r/real', pieces(archive)).then(({ entries }) => entries));
        await tried(files.copyOut('/r', join(target, `copy-${round}`)).then(() => 'copied'));
        await tried(files.remove('/r/real/written'));
      }
    } finally {
      racing.kill('SIGKILL');
    }
    const failures = ['ERR_FILE_NOT_FOUND', 'ERR_FILE_TYPE', 'ERR_FILE_CHANGED'];
    const results = ['inside', undefined, 1, 'copied', true, false];
    expect([...seen].filter((one) => !failures.includes(String(one)) && !results.includes(one as never))).toEqual([]);
    expect([...seen]).toEqual(expect.arrayContaining(['inside', 1, 'copied']));
    expect(readdirSync(host)).toEqual(['file']);
    // Symlinks are copied as such, and not followed here.
    const copied = execFileSync('find', [target, '-type', 'f', '-exec', 'cat', '{}', '+'], { encoding: 'utf8' });
    expect(copied).not.toContain('HOST');
  });

  test('are not looked for below the root that a program has given itself', async () => {
    const { containers } = await storeWithBusybox();
    const jail = 'mkdir -p /jail/bin; cat /bin/busybox >/jail/bin/busybox; busybox chmod 755 /jail/bin/busybox';
    await containers.launch('jailed', IMAGE, sh(`${jail}; exec busybox chroot /jail /bin/busybox sleep 1000`));
    await vi.waitFor(async () =>
      expect(containers.files('jailed').list('/')).rejects.toMatchObject({
        code: 'ERR_ROOTFS_UNAVAILABLE',
        message: expect.stringContaining('chroot'),
      }),
    );
  });

  test('that are no files are not opened: FIFOs, devices, sockets, and what the kernel makes up', async () => {
    const { containers, provisioner } = await storeWithBusybox();
    const { rootfs } = await provisioner.provision('bare', IMAGE);
    execFileSync('mkfifo', [join(rootfs, 'pipe')]);
    execFileSync('mknod', [join(rootfs, 'device'), 'b', '240', '240']);
    const bind = 'socket(S, PF_UNIX, SOCK_STREAM, 0) && bind(S, pack_sockaddr_un("socket")) or die $!';
    execFileSync('perl', ['-MSocket', '-e', bind], { cwd: join(rootfs, 'tmp') });
    const files = containers.files('bare');
    for (const path of ['/pipe', '/device', '/tmp/socket', '/tmp']) {
      await expect(textOf(files.read(path)), path).rejects.toMatchObject({ code: 'ERR_FILE_TYPE' });
      await expect(files.write(path, ''), path).rejects.toMatchObject({ code: 'ERR_FILE_TYPE' });
    }
    expect(await listed(files.archive('/tmp'))).toEqual(['drwxrwxrwt 0/0 0 tmp/']);
    const target = temporaryDirectory();
    expect((await files.copyOut('/.', join(target, 'all'))).leftOut).toEqual([
      { path: 'bare:/device', what: 'device' },
      { path: 'bare:/tmp/socket', what: 'socket' },
    ]);
    expect([existsSync(join(target, 'all/device')), lstatSync(join(target, 'all/pipe')).isFIFO()]).toEqual([
      false,
      true,
    ]);
    await files.copyOut('/.', join(target, 'kept'), { owner: 'kept' });
    expect(lstatSync(join(target, 'kept/device')).isBlockDevice()).toBe(true);
    await launchReady(containers, 'job', 'true');
    await expect(textOf(containers.files('job').read('/proc/kmsg'))).rejects.toMatchObject({ code: 'ERR_FILE_TYPE' });
    await expect(containers.files('job').write('/proc/sysrq-trigger', 'x')).rejects.toMatchObject({
      code: 'ERR_FILE_TYPE',
    });
  });

  test('come and go as archives that tar reads and writes alike, owners, modes, times, links, devices and attributes kept', async () => {
    const { containers, provisioner } = await storeWithBusybox();
    const { rootfs } = await provisioner.provision('bare', IMAGE);
    const tree = temporaryDirectory();
    execFileSync('sh', [
      '-ec',
      `cd ${tree}; mkdir -p t/deep/er; echo x >t/deep/er/f; ln t/deep/er/f t/hard; ln -s /etc/passwd t/sym
      mkfifo -m 642 t/pipe; mknod t/null c 1 3; echo s >t/suid; chown 1000:1001 t/suid t/deep; chmod 4755 t/suid; chmod 2750 t/deep
      touch -d '2001-02-03 04:05:06.789012345' t/hard t/deep; printf x >"t/$(printf 'odd\\377name')"; touch "t/$(printf '%0200d' 7)"`,
    ]);
    const files = containers.files('bare');
    const input = execFileSync('tar', ['-c', '--format=pax', '--sort=name', '-C', tree, 't']);
    await files.extract('/tmp', pieces(input));
    const compare = (path: string) =>
      execFileSync(
        'sh',
        [
          '-c',
          `cd ${path} && find t -printf '%p %y %m %U:%G %s %T@ %l\\n' | grep -av '^t/deep d\\|^t d\\|^t/deep/er d' | sort`,
        ],
        { encoding: 'utf8' },
      );
    expect(compare(join(rootfs, 'tmp'))).toBe(compare(tree));
    expect(lstatSync(join(rootfs, 'tmp/t/deep')).mtimeMs).toBe(lstatSync(join(tree, 't/deep')).mtimeMs);
    // And back, unpacked by tar.
    const back = temporaryDirectory();
    execFileSync('tar', ['-x', '--numeric-owner', '-p', '-C', back], { input: await buffer(files.archive('/tmp/t')) });
    expect(compare(back)).toBe(compare(tree));
    expect(await listed(files.archive('/tmp/t'))).toEqual(await listed(pieces(input)));
  });

  test('with holes keep them, and take no time for these', async () => {
    const { containers, provisioner } = await storeWithBusybox();
    await provisioner.provision('bare', IMAGE);
    const tree = temporaryDirectory();
    execFileSync('sh', ['-c', `truncate -s 4T ${tree}/big && printf end >>${tree}/big`]);
    const files = containers.files('bare');
    expect(await files.copyIn(`${tree}/big`, '/big')).toMatchObject({ entries: 1 });
    expect(await files.stat('/big')).toMatchObject({ size: 4 * 2 ** 40 + 3 });
    expect(await textOf(files.read('/big', { last: 3 }))).toBe('end');
    expect((await listed(files.archive('/big')))[0]).toContain(` ${4 * 2 ** 40 + 3} big`);
  });

  test('are changed by their owner alone, unless another one says that it is meant', async () => {
    const { containers, provisioner, root } = await storeWithBusybox();
    await provisioner.provision('bare', IMAGE);
    const { containers: stranger } = await again(root, { owner: 'stranger' });
    const foreign = { code: 'ERR_CONTAINER_FOREIGN' };
    const host = makeTree('f');
    await expect(stranger.files('bare').write('/x', '')).rejects.toMatchObject(foreign);
    await expect(stranger.files('bare').remove('/tmp')).rejects.toMatchObject(foreign);
    await expect(stranger.files('bare').extract('/', pieces(Buffer.alloc(1024)))).rejects.toMatchObject(foreign);
    await expect(stranger.files('bare').copyIn(`${host}/f`, '/')).rejects.toMatchObject(foreign);
    expect(await textOf(stranger.files('bare').read('/etc/group'))).toContain('alice');
    await stranger.files('bare', { anyOwner: true }).write('/x', 'x');
    expect(await textOf(containers.files('bare').read('/x'))).toBe('x');
    await expect(containers.files('none').list('/')).rejects.toMatchObject({ code: 'ERR_CONTAINER_NOT_FOUND' });
  });

  test('are not written where the root filesystem is read-only, but in what is mounted there', async () => {
    const { containers, provisioner } = await storeWithBusybox();
    const readOnly = { code: 'ERR_ROOTFS_READ_ONLY' };
    await provisioner.provision('bound', IMAGE, { backend: 'bind' });
    await expect(containers.files('bound').write('/x', '')).rejects.toMatchObject(readOnly);
    const volume = temporaryDirectory();
    const mounts = [{ type: 'bind', source: volume, target: '/data' }] as const;
    await launchReady(containers, 'job', 'true', { readOnly: true, mounts });
    await expect(containers.files('job').write('/x', '')).rejects.toMatchObject(readOnly);
    await containers.files('job').write('/data/x', 'x');
    expect(readdirSync(volume)).toEqual(['x']);
    await containers.stop('job', { grace: 0 });
    await expect(containers.files('job').write('/x', '')).rejects.toMatchObject(readOnly);
  });

  test('belong to the user of the container when they are copied in, unless their owners are kept', async () => {
    const { containers, provisioner } = await storeWithBusybox();
    await launchReady(containers, 'job', 'true', { user: 'alice' });
    const host = makeTree('d/suid');
    chownSync(join(host, 'd/suid'), 7, 8);
    execFileSync('chmod', ['4755', join(host, 'd/suid')]);
    const files = containers.files('job');
    await files.copyIn(join(host, 'd'), '/tmp/user');
    await files.copyIn(join(host, 'd'), '/tmp/kept', { owner: 'kept' });
    expect(await files.stat('/tmp/user/suid')).toMatchObject({ ...ALICE, mode: 0o755 });
    expect(await files.stat('/tmp/kept/suid')).toMatchObject({ uid: 7, gid: 8, mode: 0o4755 });
    await provisioner.provision('bare', IMAGE);
    await containers.files('bare').copyIn(join(host, 'd'), '/tmp/d');
    expect(await containers.files('bare').stat('/tmp/d/suid')).toMatchObject({ uid: 0, gid: 0, mode: 0o755 });
  });

  test('are told to be out of reach after a reboot, until a recovery', async () => {
    const { containers, provisioner, root } = await storeWithBusybox();
    await provisioner.provision('bare', IMAGE);
    await containers.files('bare').write('/x', 'x');
    await unmountAll(root);
    expect(mountsBelow(root)).toEqual([]);
    await expect(containers.files('bare').list('/')).rejects.toMatchObject({
      code: 'ERR_ROOTFS_UNAVAILABLE',
      hint: expect.stringContaining('recover'),
    });
    await containers.recover();
    expect(await textOf(containers.files('bare').read('/x'))).toBe('x');
  });

  test('leave no descriptor open, whatever goes wrong', async () => {
    const { containers } = await storeWithBusybox();
    const mounts = [
      { type: 'bind', source: temporaryDirectory(), target: '/data' },
      { type: 'tmpfs', target: '/scratch' },
    ] as const;
    await launchReady(containers, 'job', 'true');
    await containers.launch('ended', IMAGE, { mounts });
    await containers.wait('ended');
    const files = containers.files('job');
    const ended = containers.files('ended');
    const open = () => readdirSync('/proc/self/fd').length;
    await files.list('/');
    const before = open();
    for (let round = 0; round < 20; round++) {
      await ended.write('/data/x', '');
      await ended.mkdir('/data/a/b', { parents: true });
      await ended.write('/scratch/x', '').catch(() => undefined);
      await ended.write('/data/none/x', '').catch(() => undefined);
      await ended.remove('/data', { recursive: true }).catch(() => undefined);
      for await (const _ of ended.archive('/')) break;
      await files.stat('/etc/nothing').catch(() => undefined);
      await files.write('/etc/passwd/x', '').catch(() => undefined);
      await files.extract('/tmp', pieces(Buffer.from('no archive'.repeat(100)))).catch(() => undefined);
      await files.copyOut('/bin', '/dev/null').catch(() => undefined);
      for await (const _ of files.archive('/')) break;
      for await (const _ of files.read('/bin/busybox')) break;
    }
    expect(open()).toBeLessThanOrEqual(before);
  });
});

describeWith([...NEEDS, 'setfattr', 'getfattr'], 'the files of a container', () => {
  test('keep attributes of any name when they are copied', async () => {
    const { containers, provisioner } = await storeWithBusybox();
    const { rootfs } = await provisioner.provision('bare', IMAGE);
    mkdirSync(join(rootfs, 'd'));
    writeFileSync(join(rootfs, 'd/f'), '');
    for (const path of ['d', 'd/f']) execFileSync('setfattr', ['-n', 'user.k=e%y', '-v', 'val', join(rootfs, path)]);
    const target = temporaryDirectory();
    await containers.files('bare').copyOut('/d', target);
    for (const path of ['d', 'd/f'])
      expect(
        execFileSync('getfattr', ['-n', 'user.k=e%y', '--only-values', path], { cwd: target, encoding: 'utf8' }),
      ).toBe('val');
  });
});

describeWith([...NEEDS, 'xz', 'bzip2'], 'a compressed archive', () => {
  test('is unpacked in a container as if it were not, or refused with what to do', async () => {
    const { containers, provisioner } = await storeWithBusybox();
    await provisioner.provision('bare', IMAGE);
    const files = containers.files('bare');
    const tar = execFileSync('tar', ['-c', 'dropped'], { cwd: makeTree('dropped') });
    const by = (program: string) => execFileSync(program, ['-c'], { input: tar });
    const packed = { gzip: by('gzip'), xz: by('xz'), bzip2: by('bzip2'), zstd: zstd(tar) };
    for (const [name, bytes] of Object.entries(packed)) {
      await files.mkdir(`/${name}`);
      // In pieces that do not tell by themselves what they are.
      await files.extract(`/${name}`, Readable.from([bytes.subarray(0, 1), bytes.subarray(1, 3), bytes.subarray(3)]));
      expect(await textOf(files.read(`/${name}/dropped`)), name).toBe('dropped');
    }
    await expect(files.extract('/tmp', pieces(packed.gzip.subarray(0, 100)))).rejects.toMatchObject({
      code: 'ERR_ARCHIVE_REFUSED',
      message: expect.stringContaining('gzip data ends too early'),
    });
    expect(await files.list('/tmp')).toEqual([]);
  });
});

/** A directory with one file in it. */
function makeTree(path: string): string {
  const directory = temporaryDirectory();
  mkdirSync(join(directory, path, '..'), { recursive: true });
  writeFileSync(join(directory, path), 'dropped');
  return directory;
}

async function* pieces(bytes: Buffer): AsyncGenerator<Uint8Array, void, undefined> {
  yield bytes;
}
