import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
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

/** As /tmp. */
function sharedDirectory(): string {
  const directory = join(temporaryDirectory(), 'shared');
  mkdirSync(directory);
  chmodSync(directory, 0o1777);
  return directory;
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

  it('never writes to where a symlink leads that it has copied before', async () => {
    const { run, host, rootfs } = await withContainer();
    const [victim, there] = [join(host, 'victim'), join(host, 'there')];
    mkdirSync(victim);
    writeFileSync(join(victim, 'file'), 'mine');
    mkdirSync(there);
    const inside = (path: string) => join(rootfs, path);
    const copyOut = (from: string, to: string) => run(['cp', `job:${from}`, to]);
    for (const target of [join(victim, 'file'), join(victim, 'new')]) {
      symlinkSync(target, inside('result'));
      expect(await copyOut('/result', join(there, 'result'))).toEqual(DONE);
      rmSync(inside('result'));
      writeFileSync(inside('result'), 'from the container');
      expect(await copyOut('/result', join(there, 'result'))).toEqual(DONE);
      expect(readFileSync(join(there, 'result'), 'utf8')).toBe('from the container');
      rmSync(inside('result'));
      rmSync(join(there, 'result'));
    }
    symlinkSync(victim, inside('results'));
    expect(await copyOut('/results', join(there, 'results'))).toEqual(DONE);
    rmSync(inside('results'));
    mkdirSync(inside('results'));
    writeFileSync(inside('results/file'), 'from the container');
    for (const [from, to] of [
      ['/results', 'results'],
      ['/results/.', 'results'],
      ['/results/file', 'results'],
      ['/results', '.'],
    ] as const)
      expect(await copyOut(from, join(there, to)), from).toMatchObject({ status: 1 });
    expect([readdirSync(victim), readFileSync(join(victim, 'file'), 'utf8')]).toEqual([['file'], 'mine']);
    // With a slash behind it what it leads to is meant.
    expect(await copyOut('/results/.', `${there}/results/`)).toEqual(DONE);
    expect(readFileSync(join(victim, 'file'), 'utf8')).toBe('from the container');
  });

  it('follows no symlink that somebody else has put into a directory that all may write to', async () => {
    const { run, host, shared } = { ...(await withContainer()), shared: sharedDirectory() };
    symlinkSync(host, join(shared, 'link'));
    lchownSync(join(shared, 'link'), 4321, 4321);
    expect(await run(['cp', 'job:/etc/passwd', join(shared, 'link/')])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('user 4321'),
    });
    expect(await run(['cp', join(shared, 'link/dir'), 'job:/tmp'])).toMatchObject({ status: 1 });
    expect(readdirSync(host)).toEqual(['dir']);
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

  it('makes a file that nobody else may read, and leaves mode and owner of one that was there', async () => {
    const { run, host } = await withContainer();
    const looks = (name: string) => {
      const { mode, uid, gid } = statSync(join(host, name));
      return [(mode & 0o7777).toString(8), uid, gid];
    };
    expect(await run(['export', '-o', join(host, 'new.tar'), 'job'])).toEqual(DONE);
    writeFileSync(join(host, 'old.tar'), 'before');
    chmodSync(join(host, 'old.tar'), 0o640);
    chownSync(join(host, 'old.tar'), 4321, 4322);
    symlinkSync('old.tar', join(host, 'link.tar'));
    expect(await run(['export', '-o', join(host, 'link.tar'), 'job'])).toEqual(DONE);
    expect([looks('new.tar'), looks('old.tar')]).toEqual([
      ['600', 0, 0],
      ['640', 4321, 4322],
    ]);
    expect([lstatSync(join(host, 'link.tar')).isSymbolicLink(), statSync(join(host, 'old.tar')).size]).toEqual([
      true,
      statSync(join(host, 'new.tar')).size,
    ]);
  });

  it('writes neither to a file nor by a symlink that somebody else has planted', async () => {
    const { run, host, shared } = { ...(await withContainer()), shared: sharedDirectory() };
    writeFileSync(join(shared, 'file.tar'), '');
    chownSync(join(shared, 'file.tar'), 4321, 4321);
    symlinkSync(join(host, 'root.tar'), join(shared, 'link.tar'));
    lchownSync(join(shared, 'link.tar'), 4321, 4321);
    for (const name of ['file.tar', 'link.tar'])
      expect(await run(['export', '-o', join(shared, name), 'job']), name).toMatchObject({
        status: 1,
        stderr: expect.stringContaining('user 4321'),
      });
    expect([readdirSync(host), readdirSync(shared).sort()]).toEqual([['dir'], ['file.tar', 'link.tar']]);
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

describeWith([...NEEDS, 'setfattr'], 'provisioner export', () => {
  it('writes to a pipe that is named, and tells what is not in the archive', async () => {
    const { root, run, rootfs } = await withContainer();
    execFileSync('setfattr', ['-n', 'user.k=ey', '-v', 'val', join(rootfs, 'etc/passwd')]);
    const command = `"$0" "$1" --root "$2" export -o /dev/stdout job | tar -t`;
    const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
    const piped = spawnSync('sh', ['-c', command, process.execPath, main, root], { encoding: 'utf8' });
    expect(piped.stdout).toContain('etc/passwd\n');
    expect(piped.stderr).toContain('not copied: job:/etc/passwd: its attributes');
    expect(lstatSync('/dev/stdout').isSymbolicLink()).toBe(true);
    const { stdout } = await run(['export', 'job']);
    expect(stdout).not.toContain('user.k');
  });
});
