import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import type { Containerizer, LaunchOptions } from '#src/containerizer/index.js';
import { loadSyscalls } from '#src/system/syscalls/load-syscalls.js';
import {
  again,
  expectNothingLeft,
  IMAGE,
  launchPath,
  otherContainerizer,
  sh,
  storeWithBusybox,
} from '../helpers/containers.js';
import { mountFileSystem } from '../helpers/file-systems.js';
import { describeWith } from '../helpers/requirements.js';

const NEEDS = ['root', 'overlay', 'crun', 'runc', 'busybox', 'cgroups', 'mount'] as const;
const MIB = 2 ** 20;
const limits = (mebibytes: number) => ({ limits: { diskBytes: mebibytes * MIB } });
/** Of a shell: writes so many MiB, and says how that went. */
const write = (path: string, mebibytes: number) =>
  `dd if=/dev/zero of=${path} bs=1M count=${mebibytes} 2>/tmp/error && echo wrote ${path} || cat /tmp/error;`;
const TMP: LaunchOptions['mounts'] = [{ type: 'tmpfs', target: '/tmp' }];
const KILLED = { signal: 9, reason: 'disk-limit' };
/** What a kernel tells whoever writes more. */
const FULL = /No space left on device|Disk quota exceeded/;

async function printed(containers: Containerizer, id: string): Promise<string> {
  await containers.wait(id);
  let text = '';
  for await (const { bytes } of containers.logs(id)) text += bytes;
  return text;
}

async function exec(containers: Containerizer, id: string, script: string): Promise<string> {
  const { stdout, stderr, ended } = await containers.exec(id, ['sh', '-c', script]);
  stderr.resume();
  let text = '';
  for await (const bytes of stdout) text += bytes;
  await ended;
  return text;
}

/** A store on a file system without quotas. */
const onTmpfs = () => storeWithBusybox({ root: join(mountFileSystem('tmpfs').path, 'store') });

describeWith(NEEDS, 'a limit of disk space on a file system without quotas', () => {
  test.each([
    ['overlay', 'crun'],
    ['overlay', 'runc'],
    ['copy', 'crun'],
  ] as const)('ends what has written more to its %s, run by %s, and says why', async (backend, runtime) => {
    const root = join(mountFileSystem('tmpfs').path, 'store');
    const { containers } = await storeWithBusybox({ root, runtime });
    const launched = await containers.launch('job', IMAGE, {
      ...sh(`${write('/file', 30)} sleep 100`),
      ...limits(20),
      provision: { backend },
    });
    expect(launched.diskLimit).toEqual({ by: 'counting', reason: expect.stringContaining('no project quota') });
    expect(await containers.wait('job')).toMatchObject(KILLED);
    expect((await containers.get('job'))?.exit).toMatchObject(KILLED);
    const events: unknown[] = [];
    for await (const { kind, details } of containers.events()) if (kind === 'exit') events.push(details);
    expect(events).toMatchObject([KILLED]);
    await containers.destroy('job');
    await expectNothingLeft(root);
  });

  test('leaves alone what the image has brought, and what is in volumes with a name and on tmpfs', async () => {
    const { containers } = await onTmpfs();
    await containers.launch('job', IMAGE, {
      ...sh(`${write('/data/file', 30)} ${write('/tmp/file', 30)} cp /bin/busybox /copy; sleep 3; exit 7`),
      ...limits(8),
      mounts: [...TMP, { type: 'volume', source: 'data', target: '/data' }],
      provision: { backend: 'copy' },
    });
    expect(await containers.wait('job')).toMatchObject({ code: 7, reason: 'exited' });
  });

  test('counts volumes without a name', async () => {
    const { containers } = await onTmpfs();
    await containers.launch('job', IMAGE, {
      ...sh(`${write('/data/file', 30)} sleep 100`),
      ...limits(20),
      mounts: [{ type: 'volume', target: '/data' }],
    });
    expect(await containers.wait('job')).toMatchObject(KILLED);
  });

  test('counts a file of several names once, and no holes', async () => {
    const { containers } = await onTmpfs();
    const script = `${write('/one', 10)} for i in 1 2 3 4 5; do ln /one /link$i; done; truncate -s 500M /sparse; sleep 3; exit 7`;
    await containers.launch('job', IMAGE, { ...sh(script), ...limits(15) });
    expect(await containers.wait('job')).toMatchObject({ code: 7 });
  });

  test.each([
    ['overlay', '/'],
    ['copy', '/'],
    ['overlay', '/data/'],
  ] as const)('counts what is deleted and still open: %s, in %s', async (backend, place) => {
    const { containers } = await onTmpfs();
    const script = `exec 3>${place}open; rm ${place}open; dd if=/dev/zero bs=1M count=30 >&3 2>/dev/null; sleep 100`;
    const mounts: LaunchOptions['mounts'] = [{ type: 'volume', target: '/data' }];
    await containers.launch('job', IMAGE, { ...sh(script), ...limits(20), mounts, provision: { backend } });
    expect(await containers.wait('job')).toMatchObject(KILLED);
  });

  test('does not count what is deleted and still open in volumes with a name, on tmpfs, or in another container', async () => {
    const { containers } = await onTmpfs();
    const open = (...places: string[]) =>
      places.map(
        (path, at) => `exec ${at + 3}>${path}; rm ${path}; dd if=/dev/zero bs=1M count=30 >&${at + 3} 2>/dev/null; `,
      );
    const mounts: LaunchOptions['mounts'] = [...TMP, { type: 'volume', source: 'data', target: '/data' }];
    await containers.launch('other', IMAGE, sh(`${open('/open').join('')} sleep 100`));
    const script = `${open('/data/open', '/tmp/open', '/dev/shm/open').join('')} sleep 3; exit 7`;
    await containers.launch('job', IMAGE, { ...sh(script), ...limits(8), mounts });
    expect(await containers.wait('job')).toMatchObject({ code: 7 });
  });

  test.each(['overlay', 'copy'] as const)('counts what it has of its own in /etc, with %s', async (backend) => {
    const { containers } = await onTmpfs();
    await containers.launch('job', IMAGE, {
      ...{ command: ['sleep', '100'], ...limits(20), mounts: TMP, provision: { backend } },
    });
    expect(await exec(containers, 'job', write('/etc/hosts', 10))).toContain('wrote');
    await expect(containers.update('job', limits(5).limits)).rejects.toMatchObject({ code: 'ERR_LIMIT_UPDATE' });
    expect(await exec(containers, 'job', write('/etc/resolv.conf', 20))).toContain('wrote');
    expect(await containers.wait('job')).toMatchObject(KILLED);
  });

  test('counts names of files that are empty, which are places in the file system', async () => {
    const { containers } = await onTmpfs();
    const script = 'mkdir /d; for i in $(seq 1 4000); do echo -n >/d/$i; done; sleep 100';
    await containers.launch('job', IMAGE, { ...sh(script), ...limits(3) });
    expect(await containers.wait('job')).toMatchObject(KILLED);
  });

  test('ends what has left no room for a file in the store, and says why', async () => {
    const { path } = mountFileSystem('tmpfs');
    const { containers, root } = await storeWithBusybox({ root: join(path, 'store') });
    // Nobody counts until all is taken.
    const body = `await c.launch('job', '${IMAGE}', ${JSON.stringify({
      ...sh(
        'while [ ! -e /go ]; do sleep 0.1; done; i=0; while echo -n 2>/dev/null >/$i; do i=$((i+1)); done; dd if=/dev/zero of=/0 bs=1M count=8; sleep 100',
      ),
      ...limits(5),
    })}); say('up'); await sleep(100_000);`;
    const other = otherContainerizer(root, body);
    await other.says('up');
    await other.kill();
    execFileSync('mount', ['-o', 'remount,nr_inodes=3000', path]);
    await exec(containers, 'job', 'echo -n >/go');
    let files = 0;
    await vi.waitFor(() => expect(() => writeFileSync(join(path, `${files++}`), '')).toThrow('ENOSPC'));
    expect(await containers.wait('job')).toMatchObject(KILLED);
  });

  test('is counted by another process when the one that counts is killed', async () => {
    const { containers, root } = await onTmpfs();
    const body = `await c.launch('job', '${IMAGE}', ${JSON.stringify({ command: ['sleep', '100'], ...limits(20) })});
      say('up'); await sleep(100_000);`;
    const other = otherContainerizer(root, body);
    await other.says('up');
    const wait = containers.wait('job');
    const { launchId = '' } = (await containers.get('job')) ?? {};
    const lock = join(launchPath(root, launchId), 'space.lock');
    await vi.waitFor(() => expect(existsSync(lock)).toBe(true));
    await other.kill();
    expect(await exec(containers, 'job', `${write('/file', 30)}`)).toContain('wrote');
    expect(await wait).toMatchObject(KILLED);
  });

  test('is kept for what is recovered, and for what was created', async () => {
    const { containers, provisioner, root } = await onTmpfs();
    await containers.create('job', IMAGE, { ...sh(`sleep 1; ${write('/file', 30)} sleep 100`), ...limits(20) });
    await containers.start('job');
    await provisioner.close();
    const { containers: next } = await again(root);
    await next.recover();
    await vi.waitFor(async () => expect((await next.get('job'))?.exit).toMatchObject(KILLED), { timeout: 15_000 });
  });

  test('is changed while it runs, but not to less than is in use; and what has none gets none', async () => {
    const { containers } = await onTmpfs();
    await containers.launch('job', IMAGE, { command: ['sleep', '100'], ...limits(20) });
    expect(await exec(containers, 'job', write('/one', 10))).toContain('wrote');
    await expect(containers.update('job', limits(5).limits)).rejects.toMatchObject({ code: 'ERR_LIMIT_UPDATE' });
    await containers.update('job', limits(60).limits);
    expect(await exec(containers, 'job', write('/two', 20))).toContain('wrote');
    await new Promise((resolve) => setTimeout(resolve, 3000));
    expect((await containers.get('job'))?.state).toBe('running');
    expect(await exec(containers, 'job', write('/three', 40))).toContain('wrote');
    expect(await containers.wait('job')).toMatchObject(KILLED);

    await containers.launch('free', IMAGE, { command: ['sleep', '100'] });
    await expect(containers.update('free', limits(50).limits)).rejects.toMatchObject({ code: 'ERR_LIMIT_UPDATE' });
    await expect(containers.update('job', { diskBytes: 100 })).rejects.toMatchObject({ code: 'ERR_LIMIT_INVALID' });
  });

  test('refuses to start what is over it, until files have been removed', async () => {
    const { containers, root } = await onTmpfs();
    const script = `test -e /again && exit 7; touch /again; ${write('/file', 30)} sleep 100`;
    await containers.launch('job', IMAGE, { ...sh(script), ...limits(20) });
    expect(await containers.wait('job')).toMatchObject(KILLED);
    await expect(containers.start('job')).rejects.toMatchObject({ code: 'ERR_DISK_LIMIT' });
    await containers.files('job').remove('/file');
    await containers.start('job');
    expect(await containers.wait('job')).toMatchObject({ code: 7 });
    await containers.destroy('job');
    await expectNothingLeft(root);
  });

  test('is changed for what has ended over it, which can be started then; other limits are not', async () => {
    const { containers } = await onTmpfs();
    const script = `test -e /again && exit 7; touch /again; ${write('/file', 30)} sleep 100`;
    await containers.launch('job', IMAGE, { ...sh(script), ...limits(20) });
    expect(await containers.wait('job')).toMatchObject(KILLED);
    await expect(containers.update('job', limits(25).limits)).rejects.toMatchObject({ code: 'ERR_LIMIT_UPDATE' });
    for (const others of [{ pids: 9 }, { pids: 9, ...limits(50).limits }])
      await expect(containers.update('job', others)).rejects.toMatchObject({ code: 'ERR_CONTAINER_NOT_RUNNING' });
    await expect(containers.start('job')).rejects.toMatchObject({ code: 'ERR_DISK_LIMIT' });
    await containers.update('job', limits(50).limits);
    await containers.start('job');
    expect(await containers.wait('job')).toMatchObject({ code: 7 });
    await containers.destroy('job');
    await containers.launch('free', IMAGE, sh('true'));
    await containers.wait('free');
    await expect(containers.update('free', limits(50).limits)).rejects.toMatchObject({ code: 'ERR_LIMIT_UPDATE' });
  });

  test.each([100, 2 ** 20 - 1, 1.5 * MIB + 0.5, -1])('is refused where it is none: %j', async (diskBytes) => {
    const { containers, root } = await onTmpfs();
    const launch = containers.launch('job', IMAGE, { ...sh('true'), limits: { diskBytes } });
    await expect(launch).rejects.toMatchObject({ code: 'ERR_LIMIT_INVALID' });
    await expectNothingLeft(root);
  });
});

describeWith([...NEEDS, 'xfs', 'project quotas'], 'a limit of disk space by project quotas', () => {
  const kinds = {
    xfs: { mount: ['prjquota'] },
    ext4: { mount: ['prjquota'], mkfs: ['-O', 'project,quota'] },
  };
  const storeOn = (kind: keyof typeof kinds) =>
    storeWithBusybox({ root: join(mountFileSystem(kind, kinds[kind]).path, 'store') });

  const cases = (['xfs', 'ext4'] as const).flatMap((kind) =>
    (['overlay', 'copy'] as const).map((backend) => ({ kind, backend })),
  );
  test.each(cases)('has an error told to who writes more: on $kind, with $backend', async ({ kind, backend }) => {
    const { containers, provisioner, root } = await storeOn(kind);
    const mounts: LaunchOptions['mounts'] = [
      ...TMP,
      { type: 'volume', target: '/data' },
      { type: 'volume', source: 'named', target: '/named' },
    ];
    const script = `${write('/named/file', 30)} ${write('/data/part', 12)} ${write('/rest', 12)} echo went on; exit 7`;
    const launched = await containers.launch('job', IMAGE, {
      ...{ ...sh(script), ...limits(20), mounts, provision: { backend } },
    });
    expect(launched.diskLimit).toEqual({ by: 'quota' });
    expect(await printed(containers, 'job')).toMatch(
      new RegExp(`^wrote /named/file\\nwrote /data/part\\n[^]*(?:${FULL.source})[^]*went on\\n$`),
    );
    expect((await containers.get('job'))?.exit).toMatchObject({ code: 7, reason: 'exited' });

    // Nobody else is hurt; and the limit is there again.
    await containers.launch('other', IMAGE, { ...sh(write('/file', 60)), mounts: TMP, provision: { backend } });
    expect(await printed(containers, 'other')).toContain('wrote /file');
    await containers.start('job');
    expect(await printed(containers, 'job')).toMatch(FULL);

    const [held] = await provisioner.holdings.list({ kind: 'project-quota' });
    const project = Number(held?.name);
    expect(loadSyscalls().projectUse(root, project).limit).toBeGreaterThan(20 * MIB - 1);
    for (const id of ['job', 'other']) await containers.destroy(id);
    expect(await provisioner.holdings.list()).toEqual([]);
    await provisioner.store.swept();
    expect(loadSyscalls().projectUse(root, project)).toEqual({ bytes: 0, files: 0, limit: 0 });
    await provisioner.volumes.remove('named');
    await expectNothingLeft(root);
  });

  test.each(['crun', 'runc'] as const)('is not got around by root of the container, run by %s', async (runtime) => {
    const root = join(mountFileSystem('xfs', kinds.xfs).path, 'store');
    const { containers } = await storeWithBusybox({ root, runtime });
    const script = `mkdir /in; ${write('/one', 15)} $C -p 0 /one; $C -P /in; ${write('/in/two', 15)}`;
    // This machine's, with what it is linked with.
    const own = ['/usr', '/lib', '/lib64'].map((path) => ({
      ...{ type: 'bind' as const, source: path, target: path === '/usr' ? '/machine' : path, readOnly: true },
    }));
    const mounts = [...(TMP ?? []), ...own];
    await containers.launch('job', IMAGE, { ...sh(`C=/machine/bin/chattr; ${script}`), ...limits(20), mounts });
    const text = await printed(containers, 'job');
    expect(text.match(/not permitted/g)).toHaveLength(2);
    expect(text).toMatch(FULL);
  });

  test('is changed while it runs, but not to less than is in use', async () => {
    const { containers, root } = await storeOn('xfs');
    await containers.launch('job', IMAGE, { command: ['sleep', '100'], ...limits(20), mounts: TMP });
    expect(await exec(containers, 'job', write('/one', 15))).toContain('wrote');
    expect(await exec(containers, 'job', write('/two', 15))).toMatch(FULL);
    await expect(containers.update('job', limits(10).limits)).rejects.toMatchObject({ code: 'ERR_LIMIT_UPDATE' });
    await containers.update('job', limits(60).limits);
    expect(await exec(containers, 'job', write('/two', 30))).toContain('wrote');
    await containers.stop('job', { grace: 0 });
    const { launchId = '' } = (await containers.get('job')) ?? {};
    const text = readFileSync(join(launchPath(root, launchId), 'spec.json'), 'utf8');
    const kept = JSON.parse(text) as { options: { limits: object } };
    expect(kept.options.limits).toEqual(limits(60).limits);
  });

  test('goes back with what was destroyed without its containerizer', async () => {
    const { containers, provisioner } = await storeOn('ext4');
    await containers.launch('job', IMAGE, { ...sh('true'), ...limits(20) });
    await containers.wait('job');
    await provisioner.destroy('job');
    expect(await provisioner.holdings.list()).toHaveLength(1);
    expect((await containers.recover()).swept).toContainEqual(expect.stringMatching(/^project quota \d+$/));
    expect(await provisioner.holdings.list()).toEqual([]);
  });
});
