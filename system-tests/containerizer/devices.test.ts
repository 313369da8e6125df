import { spawnSync } from 'node:child_process';
import { chownSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import type { Containerizer } from '#src/containerizer/index.js';
import { expectNothingLeft, IMAGE, sh, storeWithBusybox } from '../helpers/containers.js';
import { describeWith } from '../helpers/requirements.js';
import { temporaryDirectory } from '../helpers/test-store.js';

const NEEDS = ['root', 'overlay', 'crun', 'runc', 'busybox', 'cgroups'] as const;
const CDI = '/var/run/cdi';

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

/** @returns the name of its one device, `thing0` */
function cdiFile(edits: object, common: object = {}): string {
  const kind = `provisioner-test-${process.pid}.example/thing`;
  mkdirSync(CDI, { recursive: true, mode: 0o755 });
  const path = join(CDI, `provisioner-test-${process.pid}.json`);
  onTestFinished(() => rmSync(path, { force: true }));
  const document = {
    cdiVersion: '1.1.0',
    kind,
    containerEdits: common,
    devices: [{ name: 'thing0', containerEdits: edits }],
  };
  writeFileSync(path, JSON.stringify(document), { mode: 0o644 });
  return `${kind}=thing0`;
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

  test('that is gone is told at the next start, which leaves the container as it was', async () => {
    const { containers } = await storeWithBusybox();
    const source = madeDevice('zero', ZERO);
    await containers.launch('job', IMAGE, {
      ...sh('head -c 3 /dev/mine | wc -c'),
      devices: [{ source, target: '/dev/mine' }],
    });
    expect(await containers.wait('job')).toMatchObject({ code: 0 });
    rmSync(source);
    await expect(containers.start('job')).rejects.toMatchObject({ code: 'ERR_DEVICE_NOT_FOUND' });
    spawnSync('mknod', [source, 'c', '1', '5']);
    await containers.start('job');
    expect(await containers.wait('job')).toMatchObject({ code: 0 });
  });

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
        hooks: [hook('createContainer'), hook('poststop')],
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
    expect(readFileSync(join(place, 'order'), 'utf8')).toContain('createRuntime\ncreateContainer\n');
    expect(JSON.parse(readFileSync(join(place, 'createContainer'), 'utf8'))).toMatchObject({
      bundle: expect.stringContaining('/bundle'),
    });
    await containers.destroy('job');
    await expectNothingLeft(root);
  });

  test('whose hook fails is not started, and leaves nothing', async () => {
    const { containers, root } = await storeWithBusybox();
    const name = cdiFile({ hooks: [{ hookName: 'createContainer', path: '/bin/false' }] });
    const launched = containers.launch('job', IMAGE, { command: ['true'], cdiDevices: [name] });
    await expect(launched).rejects.toMatchObject({ code: 'ERR_START_FAILED' });
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
    ['a word that is not known', { rlimits: [1] }, 'ERR_CDI_FILE', /rlimits: is unknown/],
  ])('and asks for %s is refused, and leaves nothing', async (_, edits, code, message) => {
    const { containers, root } = await storeWithBusybox();
    const launched = containers.launch('job', IMAGE, { command: ['true'], cdiDevices: [cdiFile(edits)] });
    await expect(launched).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
    await expectNothingLeft(root);
  });
});
