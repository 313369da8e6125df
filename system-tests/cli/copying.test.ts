import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, vi } from 'vitest';
import { IMAGE, sh, storeWithBusybox } from '../helpers/containers.js';
import { describeWith } from '../helpers/requirements.js';
import { temporaryDirectory } from '../helpers/test-store.js';
import { type CliOptions, newStore } from './run-cli.js';

/** The command line, and a container that was provisioned, with its root filesystem. */
async function withContainer() {
  const { root, containers, provisioner } = await storeWithBusybox();
  const { rootfs } = await provisioner.provision('job', IMAGE);
  const { start, startWaiting } = newStore();
  const run = (args: readonly string[], options: CliOptions = {}) => start(['--root', root, ...args], options).done;
  const waiting = (args: readonly string[]) => startWaiting(['--root', root, ...args]);
  const host = temporaryDirectory();
  mkdirSync(join(host, 'dir'));
  writeFileSync(join(host, 'dir/file'), 'content');
  return { root, containers, rootfs, run, waiting, host };
}

const NEEDS = ['root', 'overlay', 'cgroups', 'crun', 'busybox'] as const;
const DONE = { status: 0, stdout: '', stderr: '' };

const REFUSED: readonly (readonly [args: readonly string[], status: number, message: string])[] = [
  [['HOST/dir', 'job:/etc/passwd'], 1, 'a directory cannot become one'],
  [['HOST/dir/file', 'job:/missing/'], 1, 'no such directory'],
  [['job:/missing', 'HOST'], 1, 'no such file or directory'],
  [['HOST/dir', 'job:/a/b'], 1, 'no such file or directory'],
  [['job:/etc/passwd', '/dev/null'], 1, 'is not replaced'],
  [['none:/x', 'HOST'], 1, 'there is no container none'],
  [['HOST/dir', 'HOST/b'], 2, 'none of the paths'],
  [['job:/etc', 'job:/b'], 2, 'both paths'],
  [['-', '-'], 2, 'none of the paths'],
  [['job:', 'HOST'], 2, 'there is no path'],
];

describeWith(NEEDS, 'provisioner cp', () => {
  it('copies by the rules of docker, both ways', async () => {
    const { run, host, rootfs } = await withContainer();
    const there = (path: string) => readFileSync(join(rootfs, path), 'utf8');
    expect(await run(['cp', `${host}/dir/file`, 'job:/tmp'])).toEqual(DONE);
    expect(await run(['cp', `${host}/dir/file`, 'job:tmp/renamed'])).toEqual(DONE);
    expect(await run(['cp', `${host}/dir`, 'job:/tmp'])).toEqual(DONE);
    expect(await run(['cp', `${host}/dir`, 'job:/made'])).toEqual(DONE);
    expect(await run(['cp', `${host}/dir/.`, 'job:/home'])).toEqual(DONE);
    for (const path of ['tmp/file', 'tmp/renamed', 'tmp/dir/file', 'made/file', 'home/file'])
      expect(there(path), path).toBe('content');
    expect(await run(['cp', 'job:/made/.', `${host}/new`])).toEqual(DONE);
    expect(await run(['cp', 'job:/made', host])).toEqual(DONE);
    expect([readdirSync(join(host, 'new')), readdirSync(join(host, 'made'))]).toEqual([['file'], ['file']]);
    symlinkSync('/etc/passwd', join(rootfs, 'link'));
    expect(await run(['cp', '-L', 'job:/link', join(host, 'followed')])).toEqual(DONE);
    expect(readFileSync(join(host, 'followed'), 'utf8')).toContain('alice');
    expect(JSON.parse((await run(['cp', `${host}/dir`, 'job:/once', '--json'])).stdout)).toEqual({
      id: 'job',
      entries: 2,
      bytes: 7,
      leftOut: [],
    });
  });

  it('refuses in a line what cannot be done', async () => {
    const { run, host } = await withContainer();
    for (const [args, status, message] of REFUSED) {
      const ended = await run(['cp', ...args.map((word) => word.replace('HOST', host))]);
      expect(ended, args.join(' ')).toMatchObject({ status, stdout: '', stderr: expect.stringContaining(message) });
      expect(ended.stderr.split('\n').length).toBeLessThanOrEqual(3);
    }
    expect(readdirSync(host)).toEqual(['dir']);
  });

  it('hands archives on to tar, and takes those that tar writes', async () => {
    const { run, host, rootfs } = await withContainer();
    const input = execFileSync('tar', ['-c', '--owner=7', '--group=8', '-C', host, 'dir']);
    expect(await run(['cp', '-', 'job:/tmp'], { input })).toEqual(DONE);
    expect(execFileSync('stat', ['-c', '%u:%g', join(rootfs, 'tmp/dir/file')], { encoding: 'utf8' })).toBe('7:8\n');
    const { stdout } = await run(['cp', 'job:/tmp/dir', '-']);
    expect(execFileSync('tar', ['-t'], { input: stdout, encoding: 'utf8' })).toBe('dir/\ndir/file\n');
    expect(await run(['cp', '-', 'job:/tmp'], { input: 'no archive' })).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('the archive is refused'),
    });
  });

  it('leaves nothing under its name when it is interrupted', async () => {
    const { waiting, host, rootfs } = await withContainer();
    writeFileSync(join(host, 'dir/big'), Buffer.alloc(2 ** 20));
    const tar = execFileSync('tar', ['-c', '-C', host, 'dir/big'], { maxBuffer: 2 ** 23 });
    const copying = waiting(['cp', '-', 'job:/tmp']);
    copying.process.stdin.write(tar.subarray(0, 700_000));
    await vi.waitFor(
      () => expect(readdirSync(join(rootfs, 'tmp'))).toEqual([expect.stringMatching(/^\.provisioner-/)]),
      { timeout: 20_000 },
    );
    copying.process.kill('SIGINT');
    expect(await copying.done).toMatchObject({ status: 130 });
    expect(readdirSync(join(rootfs, 'tmp'))).toEqual([]);
  });
});

describeWith(NEEDS, 'provisioner export', () => {
  it('writes the root filesystem, to be made a tree again by tar', async () => {
    const { run, host, rootfs } = await withContainer();
    chmodSync(join(rootfs, 'home'), 0o711);
    expect(await run(['export', '-o', join(host, 'root.tar'), 'job'])).toEqual(DONE);
    mkdirSync(join(host, 'again'));
    execFileSync('tar', ['-xpf', join(host, 'root.tar'), '--numeric-owner', '-C', join(host, 'again')]);
    const tree = (path: string) =>
      execFileSync('sh', ['-c', `cd ${path} && find . -mindepth 1 -printf '%p %y %m %U:%G %T@ %l\\n' | sort`], {
        encoding: 'utf8',
      });
    expect(tree(join(host, 'again'))).toBe(tree(rootfs));
  });

  it('leaves the file as it was when it fails', async () => {
    const { run, host } = await withContainer();
    writeFileSync(join(host, 'root.tar'), 'before');
    expect(await run(['export', '-o', join(host, 'root.tar'), 'none'])).toMatchObject({ status: 1 });
    expect(readFileSync(join(host, 'root.tar'), 'utf8')).toBe('before');
    expect(readdirSync(host).sort()).toEqual(['dir', 'root.tar']);
  });

  it('has nothing of volumes while the program runs', async () => {
    const { run, host, containers } = await withContainer();
    const mounts = [{ type: 'bind', source: join(host, 'dir'), target: '/data' }] as const;
    await containers.launch('running', IMAGE, { ...sh('exec sleep 1000'), mounts });
    await run(['export', '-o', join(host, 'root.tar'), 'running']);
    const names = execFileSync('tar', ['-tf', join(host, 'root.tar')], { encoding: 'utf8' });
    expect(names).toContain('data/\n');
    expect(names).not.toContain('data/file');
  });
});
