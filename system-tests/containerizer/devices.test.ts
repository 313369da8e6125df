import { spawnSync } from 'node:child_process';
import { chownSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { Containerizer } from '#src/containerizer/index.js';
import { cdiFile } from '../helpers/cdi-file.js';
import { expectNothingLeft, IMAGE, sh, storeWithBusybox } from '../helpers/containers.js';
import { describeWith } from '../helpers/requirements.js';
import { temporaryDirectory } from '../helpers/test-store.js';

const NEEDS = ['root', 'overlay', 'crun', 'runc', 'busybox', 'cgroups'] as const;

/** A device of this machine, wherever that may be: the kernel's zeros, by a name and an owner of its own. */
function madeDevice(name: string, [type, major, minor]: readonly [string, number, number], mode = '0640'): string {
  const path = join(temporaryDirectory(), name);
  expect(spawnSync('mknod', ['-m', mode, path, type, String(major), String(minor)]).status).toBe(0);
  return path;
}
const ZERO = ['c', 1, 5] as const;
/** What attaches files to block devices: no container has it by itself. */
const LOOPS = ['c', 10, 237] as const;

async function printed(containers: Containerizer, id: string): Promise<string> {
  let text = '';
  for await (const { bytes } of containers.logs(id)) text += bytes.toString();
  return text;
}

describeWith(NEEDS, 'a device of this machine', () => {
  test.each(['crun', 'runc'] as const)(
    'is there as it is here, by %s: with its numbers, owner and mode, and can be used',
    async (runtime) => {
      const { containers, root } = await storeWithBusybox({ runtime });
      const source = madeDevice('loops', LOOPS, '0640');
      chownSync(source, 0, 1001);
      const script = 'stat -c "%n %F %t:%T %a %u:%g" /dev/things/loops; true </dev/things/loops && echo opened; id -u';
      const devices = [{ source, target: '/dev/things/loops' }];
      await containers.launch('job', IMAGE, { ...sh(script), devices, user: '1000:1001' });
      expect(await containers.wait('job')).toMatchObject({ code: 0 });
      expect(await printed(containers, 'job')).toBe(
        '/dev/things/loops character special file a:ed 640 0:1001\nopened\n1000\n',
      );
      expect(await containers.get('job')).toMatchObject({ relaxed: [`device=${source}`] });
      await containers.destroy('job');
      await expectNothingLeft(root);
    },
  );

  test('is used as far as it may be, and what was not asked for is not', async () => {
    const { containers } = await storeWithBusybox();
    const source = madeDevice('loops', LOOPS, '0666');
    const script =
      'true </dev/loops && echo read; true 2>/dev/null >/dev/loops || echo not written; mknod -m 666 /tmp/k c 10 237; true 2>/dev/null >/tmp/k || echo nor by another node';
    const devices = [{ source, target: '/dev/loops', access: 'r' }];
    await containers.launch('one', IMAGE, { ...sh(script), devices, addCapabilities: ['MKNOD'] });
    await containers.wait('one');
    expect(await printed(containers, 'one')).toBe('read\nnot written\nnor by another node\n');
    const other =
      'ls /dev/loops 2>/dev/null || echo not there; mknod -m 666 /tmp/k c 10 237; true 2>/dev/null >/tmp/k || echo nor by another node';
    await containers.launch('two', IMAGE, { ...sh(other), addCapabilities: ['MKNOD'] });
    await containers.wait('two');
    expect(await printed(containers, 'two')).toBe('not there\nnor by another node\n');
  });

  test('may be a directory of them', async () => {
    const { containers } = await storeWithBusybox();
    const directory = temporaryDirectory();
    mkdirSync(join(directory, 'sub'));
    for (const name of ['a', 'sub/b']) spawnSync('mknod', [join(directory, name), 'c', '10', '237']);
    writeFileSync(join(directory, 'file'), '');
    // Neither is followed.
    symlinkSync('.', join(directory, 'self'));
    symlinkSync('/dev/null', join(directory, 'null'));
    await containers.launch('job', IMAGE, {
      ...sh('find /dev/all'),
      devices: [{ source: directory, target: '/dev/all' }],
    });
    await containers.wait('job');
    expect((await printed(containers, 'job')).trim().split('\n').sort()).toEqual([
      '/dev/all',
      '/dev/all/a',
      '/dev/all/sub',
      '/dev/all/sub/b',
    ]);
  });

  test('that is gone is told at the next start, which leaves the container there', async () => {
    const { containers } = await storeWithBusybox();
    const source = madeDevice('zero', ZERO);
    await containers.launch('job', IMAGE, {
      ...sh('head -c 3 /dev/mine | wc -c'),
      devices: [{ source, target: '/dev/mine' }],
    });
    expect(await containers.wait('job')).toMatchObject({ code: 0 });
    rmSync(source);
    await expect(containers.start('job')).rejects.toMatchObject({ code: 'ERR_DEVICE_NOT_FOUND' });
    expect(await containers.get('job')).toMatchObject({
      state: 'exited',
      exit: { reason: 'start-failed' },
      command: ['sh', '-c', expect.stringContaining('/dev/mine')],
    });
    spawnSync('mknod', [source, 'c', '1', '5']);
    await containers.start('job');
    expect(await containers.wait('job')).toMatchObject({ code: 0 });
  });

  test('that is gone keeps what runs from being stopped to be started again', async () => {
    const { containers } = await storeWithBusybox();
    const source = madeDevice('zero', ZERO);
    const { pid } = await containers.launch('job', IMAGE, {
      ...sh('exec sleep 1000'),
      devices: [{ source, target: '/dev/mine' }],
    });
    rmSync(source);
    await expect(containers.restart('job')).rejects.toMatchObject({ code: 'ERR_DEVICE_NOT_FOUND' });
    expect(await containers.get('job')).toMatchObject({ state: 'running', pid });
  });

  test.each(['crun', 'runc'] as const)('never comes to lie in what is mounted, by %s', async (runtime) => {
    const { containers, root } = await storeWithBusybox({ runtime });
    const volume = temporaryDirectory();
    const source = madeDevice('loops', LOOPS);
    const mounts = [{ type: 'bind', source: volume, target: '/dev/vol' }] as const;
    const device = (target: string) => [{ source, target }];
    for (const target of ['/dev/vol/n', '/dev/vol/deep/n', '/dev/vol']) {
      const launched = containers.launch('job', IMAGE, { command: ['true'], mounts, devices: device(target) });
      await expect(launched).rejects.toMatchObject({
        code: 'ERR_BAD_OPTION',
        message: expect.stringMatching(new RegExp(`${target} .*/dev/vol.*${volume}`)),
      });
    }
    expect(readdirSync(volume)).toEqual([]);
    const tmpfs = [{ type: 'tmpfs', target: '/dev/vol' }] as const;
    await expect(
      containers.launch('job', IMAGE, { command: ['true'], mounts: tmpfs, devices: device('/dev/vol/n') }),
    ).rejects.toMatchObject({ code: 'ERR_BAD_OPTION' });
    await expectNothingLeft(root);
    // As some do who know that Docker takes either.
    const both = { mounts: [{ type: 'bind', source, target: '/dev/loops' }], devices: device('/dev/loops') } as const;
    await containers.launch('both', IMAGE, { ...sh('true </dev/loops && echo opened'), ...both });
    await containers.wait('both');
    expect(await printed(containers, 'both')).toBe('opened\n');
  });

  test.each(['null', 'zero', 'urandom', 'tty', 'console', 'ptmx', 'fd', 'stdout'])(
    'that every container has is not mounted over: %s',
    async (name) => {
      const { containers, root } = await storeWithBusybox();
      const file = join(temporaryDirectory(), 'file');
      writeFileSync(file, 'kept\n');
      const mounts = [{ type: 'bind', source: file, target: `/dev/${name}` }] as const;
      const launched = containers.launch('job', IMAGE, { ...sh('echo lost >/dev/null'), mounts });
      await expect(launched).rejects.toMatchObject({ code: 'ERR_MOUNT_TARGET' });
      expect(readFileSync(file, 'utf8')).toBe('kept\n');
      await expectNothingLeft(root);
    },
  );

  test.each([
    [{ source: '/dev/nothing-like-it' }, 'ERR_DEVICE_NOT_FOUND', 'there is no /dev/nothing-like-it'],
    [{ source: '/etc/passwd', target: '/dev/x' }, 'ERR_DEVICE_NOT_FOUND', 'is no device'],
    [{ source: 'dev/fuse' }, 'ERR_BAD_OPTION', 'no absolute path'],
    [{ source: '/dev/zero', target: '/etc/x' }, 'ERR_BAD_OPTION', 'cannot be "/etc/x"'],
    [{ source: '/dev/zero', target: '/dev/../etc/x' }, 'ERR_BAD_OPTION', 'cannot be'],
    [{ source: '/dev/zero', target: '/dev' }, 'ERR_BAD_OPTION', 'cannot be'],
    [{ source: '/dev/zero', target: '/dev/null' }, 'ERR_BAD_OPTION', 'cannot be'],
    [{ source: '/dev/zero', target: '/dev/pts/0' }, 'ERR_BAD_OPTION', 'cannot be'],
    [{ source: '/dev/zero', target: '/dev/shm/x' }, 'ERR_BAD_OPTION', 'cannot be'],
    [{ source: '/dev/zero', target: '/dev/x', access: 'rr' }, 'ERR_BAD_OPTION', 'says nothing'],
    [{ source: '/dev/zero', target: '/dev/x', access: '' }, 'ERR_BAD_OPTION', 'says nothing'],
  ])('that cannot be had says why, and leaves nothing: %j', async (device, code, message) => {
    const { containers, root } = await storeWithBusybox();
    const launched = containers.launch('job', IMAGE, { command: ['true'], devices: [device] });
    await expect(launched).rejects.toMatchObject({ code, message: expect.stringContaining(message) });
    await expectNothingLeft(root);
  });
});

describeWith(NEEDS, 'a device that a CDI file describes', () => {
  test.each(['crun', 'runc'] as const)('comes with all that the file says, by %s', async (runtime) => {
    const { containers, root } = await storeWithBusybox({ runtime });
    const place = temporaryDirectory();
    const node = madeDevice('node', LOOPS, '0600');
    writeFileSync(join(place, 'library'), 'the library\n');
    const hook = (hookName: string) => ({
      hookName,
      path: '/bin/sh',
      args: ['sh', '-c', `cat >${place}/${hookName}; echo "$HOOKED" >>${place}/order`],
      env: [`HOOKED=${hookName}`],
      timeout: 10,
    });
    const name = cdiFile(
      {
        deviceNodes: [
          { path: '/dev/thing0', hostPath: node, permissions: 'r', fileMode: 0o444 },
          { path: '/dev/thing1', type: 'c', major: 1, minor: 5 },
        ],
        env: ['THING=0', 'PATH=/bin:/opt'],
        mounts: [
          {
            hostPath: join(place, 'library'),
            containerPath: '/opt/lib/thing.so',
            options: ['ro', 'nosuid', 'nodev', 'bind'],
          },
        ],
        hooks: [hook('createContainer'), hook('prestart')],
        additionalGids: [0, 44],
      },
      { env: ['ALL=1'], hooks: [hook('createRuntime')] },
    );
    const script =
      'stat -c "%n %t:%T %a %u" /dev/thing0 /dev/thing1; echo $ALL $THING $PATH; cat /opt/lib/thing.so; echo x 2>/dev/null >/opt/lib/thing.so || echo read-only; id -G; head -c 2 /dev/thing1 | wc -c';
    await containers.launch('job', IMAGE, { ...sh(script), cdiDevices: [name], env: { THING: 'mine' } });
    expect(await containers.wait('job')).toMatchObject({ code: 0 });
    expect(await printed(containers, 'job')).toBe(
      '/dev/thing0 a:ed 444 0\n/dev/thing1 1:5 666 0\n1 0 /bin:/opt\nthe library\nread-only\n0 44\n2\n',
    );
    // Which of those that run on this machine is first, runtimes differ in.
    expect(readFileSync(join(place, 'order'), 'utf8')).toMatch(
      /^(?:prestart\ncreateRuntime|createRuntime\nprestart)\ncreateContainer\n$/,
    );
    expect(JSON.parse(readFileSync(join(place, 'createContainer'), 'utf8'))).toMatchObject({
      bundle: expect.stringContaining('/bundle'),
    });
    await containers.destroy('job');
    await expectNothingLeft(root);
  });

  test.each(['crun', 'runc'] as const)('has its groups with whoever runs there, by %s', async (runtime) => {
    const { containers } = await storeWithBusybox({ runtime });
    const name = cdiFile({ additionalGids: [44, 27] });
    await containers.launch('job', IMAGE, { ...sh('exec sleep 1000'), cdiDevices: [name] });
    const groups = async (user?: string) => {
      const { stdout, ended } = await containers.exec('job', ['id', '-G'], { user });
      const text = Buffer.concat(await stdout.toArray()).toString();
      expect(await ended).toMatchObject({ code: 0 });
      return text.trim().split(' ').map(Number).sort();
    };
    expect(await groups()).toEqual(expect.arrayContaining([27, 44]));
    expect(await groups('1000:1001')).toEqual([1001, 27, 44]);
  });

  test('and a mount of the caller cannot have one place, which is said with the name of the device', async () => {
    const { containers, root } = await storeWithBusybox();
    const name = cdiFile({ mounts: [{ hostPath: '/etc', containerPath: '/opt/place/' }] });
    const mounts = [{ type: 'bind', source: temporaryDirectory(), target: '/opt/place' }] as const;
    const launched = containers.launch('job', IMAGE, { command: ['true'], mounts, cdiDevices: [name] });
    await expect(launched).rejects.toMatchObject({
      code: 'ERR_MOUNT_TARGET',
      message: expect.stringMatching(new RegExp(`/opt/place.*${name}, in /var/run/cdi/.*json`)),
    });
    await expectNothingLeft(root);
  });

  test.each<[string, object, string, RegExp]>([
    [
      'what is not on this machine any more',
      { deviceNodes: [{ path: '/dev/nothing-like-it' }] },
      'ERR_DEVICE_NOT_FOUND',
      /there is no \/dev\/nothing-like-it/,
    ],
    [
      'a mount of what is not there',
      { mounts: [{ hostPath: '/nothing', containerPath: '/x' }] },
      'ERR_DEVICE_NOT_FOUND',
      /there is no \/nothing/,
    ],
    [
      'an interface of the network',
      { netDevices: [{ hostInterfaceName: 'lo', name: 'lo' }] },
      'ERR_DEVICE_UNSUPPORTED',
      /network interfaces/,
    ],
    ['a share of caches', { intelRdt: { closID: 'x' } }, 'ERR_DEVICE_UNSUPPORTED', /intelRdt/],
    [
      'a node where the container has its own',
      { deviceNodes: [{ path: '/dev/null' }] },
      'ERR_BAD_OPTION',
      /cannot be "\/dev\/null"/,
    ],
    [
      'a node elsewhere than in /dev',
      { deviceNodes: [{ path: '/etc/x', hostPath: '/dev/zero' }] },
      'ERR_BAD_OPTION',
      /cannot be "\/etc\/x"/,
    ],
    [
      'a hook when it has ended',
      { hooks: [{ hookName: 'poststop', path: '/bin/true' }] },
      'ERR_DEVICE_UNSUPPORTED',
      /poststop hook/,
    ],
    ['a word that is not known', { rlimits: [1] }, 'ERR_CDI_FILE', /rlimits: is unknown/],
  ])('and asks for %s is refused, and leaves nothing', async (_, edits, code, message) => {
    const { containers, root } = await storeWithBusybox();
    const launched = containers.launch('job', IMAGE, { command: ['true'], cdiDevices: [cdiFile(edits)] });
    await expect(launched).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
    await expectNothingLeft(root);
  });
});
