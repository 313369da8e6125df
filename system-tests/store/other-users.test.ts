import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { Provisioner } from '#src/index.js';
import { APP_V1, madeStore, newStore } from '../cli/run-cli.js';
import { describeWith } from '../helpers/requirements.js';
import { openStore, temporaryDirectory } from '../helpers/test-store.js';

/** Nobody's. */
const OTHER = 65534;
const LIBRARY = new URL('../../dist/index.js', import.meta.url).pathname;
const MAIN = new URL('../../dist/cli/main.js', import.meta.url).pathname;

const READING = [['images'], ['ps'], ['df'], ['info'], ['check'], ['why', 'app:v1'], ['inspect', 'app:v1']];
const CHANGING = [['pull', APP_V1], ['prune'], ['recover'], ['destroy', 'job']];

/** A directory that every user can pass. */
function passable(): string {
  const directory = temporaryDirectory();
  chmodSync(directory, 0o755);
  return directory;
}

function modesBelow(root: string): Record<string, string> {
  const names = readdirSync(root).sort();
  return Object.fromEntries(names.map((name) => [name, (statSync(join(root, name)).mode & 0o7777).toString(8)]));
}

describeWith(['root'], "another user's store", () => {
  test('is refused to root by every command, with whose it is and what to do, and nothing of it is touched', async () => {
    const { root, run } = await madeStore();
    const precious = join(dirname(root), 'precious');
    mkdirSync(precious);
    writeFileSync(join(precious, 'file'), 'x');
    execFileSync('chown', ['-R', `${OTHER}:${OTHER}`, root]);
    rmdirSync(join(root, 'gc'));
    symlinkSync(precious, join(root, 'gc'));
    rmSync(join(root, 'lock'));
    symlinkSync(join(precious, 'file'), join(root, 'lock'));
    rmSync(join(root, 'metadata.sqlite'));
    symlinkSync(join(precious, 'made'), join(root, 'metadata.sqlite'));
    for (const args of [...READING, ...CHANGING]) {
      const { status, stdout, stderr } = await run(args);
      expect({ args, status, stdout }).toEqual({ args, status: 1, stdout: '' });
      expect(stderr).toMatch(
        /^provisioner: the store \S+ belongs to uid 65534, and this process is root\nhint: run it as that user .*\n$/,
      );
    }
    expect(readdirSync(precious)).toEqual(['file']);
    expect(readFileSync(join(precious, 'file'), 'utf8')).toBe('x');
  });

  test('is refused to an ordinary user by every command, with the same words, however open it is', async () => {
    const { root, run } = newStore();
    chmodSync(dirname(root), 0o755);
    expect(await run(['pull', APP_V1, '--name', 'app:v1'])).toMatchObject({ status: 0 });
    for (const mode of [0o700, 0o755]) {
      for (const args of [...READING, ...CHANGING]) {
        chmodSync(root, mode);
        const { status, stdout, stderr } = await run([...args, '--json'], { uid: OTHER });
        expect({ args, status, stdout }).toEqual({ args, status: 1, stdout: '' });
        expect(JSON.parse(stderr)).toMatchObject({
          error: {
            code: 'ERR_PERMISSION',
            message: `the store ${root} belongs to root, and this process is uid ${OTHER}`,
            hint: expect.stringMatching(/^run it as root/),
            details: { owner: 0, user: OTHER },
          },
        });
      }
    }
  });
});

describeWith(['root'], 'a store of root that others could enter', () => {
  test('keeps them out of all its files from the moment that it is opened', async () => {
    const home = passable();
    const root = join(home, 'store');
    mkdirSync(root, { mode: 0o755 });
    const p = await openStore({ root });
    await p.images.pull(APP_V1, { name: 'app:v1' });
    expect(spawnSync('head', ['-c', '16', join(root, 'metadata.sqlite')], { uid: OTHER }).status).not.toBe(0);
    expect(statSync(root).mode & 0o7777).toBe(0o700);
  });

  test('has files that only root can read whatever the umask is, those of SQLite too', () => {
    const root = join(passable(), 'store');
    const code = `
      import { Provisioner } from ${JSON.stringify(LIBRARY)};
      process.umask(0);
      const p = await Provisioner.open({ root: ${JSON.stringify(root)} });
      await p.images.pull(${JSON.stringify(APP_V1)}, { name: 'app:v1' });
      await p.provision('job', 'app:v1', { backend: 'copy' });
      await p.pruneImages();
      process.kill(process.pid, 'SIGKILL');`;
    spawnSync(process.execPath, ['--input-type=module', '-e', code], { stdio: 'ignore' });
    expect(modesBelow(root)).toEqual({
      ...Object.fromEntries(['alive', 'containers', 'gc', 'layers', 'reserve', 'staging'].map((name) => [name, '700'])),
      ...Object.fromEntries(['format', 'generation', 'lock', 'owners'].map((name) => [name, '600'])),
      ...Object.fromEntries(['', '-shm', '-wal'].map((suffix) => [`metadata.sqlite${suffix}`, '600'])),
    });
  });
});

describeWith(['root'], 'the lock of a store', () => {
  /** In a process of its own, which loads the library as everybody does. @param plant what is put in the lock's place once the store is open */
  function pruneWith(plant: string): { root: string; outcome: string } {
    const root = join(temporaryDirectory(), 'store');
    const code = `
      import { execFileSync } from 'node:child_process';
      import { Provisioner } from ${JSON.stringify(LIBRARY)};
      const p = await Provisioner.open({ root: ${JSON.stringify(root)} });
      execFileSync('sh', ['-c', ${JSON.stringify(plant)}], { cwd: p.root });
      process.stdout.write(await p.pruneImages().then(() => 'done', (error) => error.code));
      await p.close();`;
    const options = { encoding: 'utf8', timeout: 30_000 } as const;
    return { root, outcome: spawnSync(process.execPath, ['--input-type=module', '-e', code], options).stdout };
  }

  test('is not made, or cut short, where a symlink in its place points to', () => {
    const made = pruneWith('ln -sf ../victim lock');
    expect(made.outcome).toBe('ERR_STORE_DAMAGED');
    expect(existsSync(join(made.root, '..', 'victim'))).toBe(false);
    const cut = pruneWith('echo precious > ../victim; ln -sf ../victim lock');
    expect(cut.outcome).toBe('ERR_STORE_DAMAGED');
    expect(readFileSync(join(cut.root, '..', 'victim'), 'utf8')).toBe('precious\n');
  });

  test.each(['rm lock; mkfifo lock', 'rm lock; mkdir lock', 'chown 65534 lock'])('is refused after `%s`', (plant) => {
    expect(pruneWith(plant).outcome).toMatch(/^ERR_(STORE_DAMAGED|IO|PERMISSION)$/);
  });
});

/** The rootfs has no program that runs: the machine's own are bound into it. */
function runAsOther(rootfs: string, script: string): string {
  const binds = ['bin', 'usr', 'lib', 'lib64'].filter((name) => existsSync(`/${name}`));
  const mounts = binds.map((name) => `mkdir -p "$R/h/${name}" && mount --bind /${name} "$R/h/${name}"`);
  const command = `mount --bind "$R" "$R/h/r" && ${mounts.join(' && ')} && exec chroot --userspec=1000:1000 "$R/h" /bin/sh -c "cd /r; ${script}"`;
  mkdirSync(join(rootfs, 'h', 'r'), { recursive: true });
  return execFileSync('unshare', ['--mount', 'sh', '-ec', command], {
    env: { PATH: process.env['PATH'], R: rootfs },
    encoding: 'utf8',
  });
}

describeWith(['root', 'overlay', 'chroot'], 'a rootfs in a store that only root may enter', () => {
  test('is used by programs of other users that root starts in it', async () => {
    const p = await openStore();
    await p.images.pull(APP_V1, { name: 'app:v1' });
    for (const backend of ['overlay', 'copy'] as const) {
      const { rootfs } = await p.provision(`job-${backend}`, 'app:v1', { backend });
      mkdirSync(join(rootfs, 'open'));
      chmodSync(join(rootfs, 'open'), 0o777);
      const script = `id -u; echo it > open/file; cat etc/os-release`;
      expect(runAsOther(rootfs, script)).toBe(`1000\n${readFileSync(join(rootfs, 'etc/os-release'), 'utf8')}`);
      expect(statSync(join(rootfs, 'open', 'file')).uid).toBe(1000);
    }
  });
});

describeWith(['root', 'user namespaces'], 'root of a user namespace', () => {
  test('has a store of its own below directories whose owners have no id there', () => {
    const home = passable();
    const own = join(home, 'own');
    mkdirSync(own);
    chownSync(own, OTHER, OTHER);
    const inNamespace = (root: string) =>
      spawnSync('unshare', ['--user', '--map-root-user', process.execPath, MAIN, '--root', root, 'pull', APP_V1], {
        uid: OTHER,
        gid: OTHER,
        encoding: 'utf8',
        env: { PATH: process.env['PATH'] },
      });
    expect(inNamespace(join(own, 'store'))).toMatchObject({ status: 0, stdout: expect.stringMatching(/^sha256:/) });
    mkdirSync(join(home, 'roots'), { mode: 0o755 });
    const refused = inNamespace(join(home, 'roots'));
    expect(refused).toMatchObject({ status: 1, stdout: '' });
    expect(refused.stderr).toMatch(/belongs to a user who has no id in this user namespace, and this process is root/);
  });
});

describeWith(['root', 'overlay', 'user namespaces'], 'an ordinary user outside of his user namespace', () => {
  test('destroys nothing that was mounted in one, is told why, and goes on in another one', () => {
    const home = passable();
    chownSync(home, OTHER, OTHER);
    const asOther = (wrapper: readonly string[], ...words: string[]) => {
      const [program = '', ...args] = [...wrapper, process.execPath, MAIN, '--root', join(home, 'store'), ...words];
      const env = { PATH: process.env['PATH'] };
      return spawnSync(program, args, { uid: OTHER, gid: OTHER, encoding: 'utf8', env });
    };
    const inNamespace = ['unshare', '--user', '--map-root-user', '--mount'];
    expect(asOther(inNamespace, 'pull', APP_V1, '--name', 'app:v1').status).toBe(0);
    const { status, stdout, stderr } = asOther(inNamespace, 'provision', 'job', 'app:v1', '--backend', 'overlay');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const rootfs = stdout.trim();
    for (let time = 0; time < 2; time++) {
      const refused = asOther([], 'destroy', 'job', '--json');
      expect(refused).toMatchObject({ status: 1 });
      const { error } = JSON.parse(refused.stderr.trim().split('\n').at(-1) ?? '');
      expect(error).toMatchObject({
        code: 'ERR_CONTAINER_ELSEWHERE',
        message: expect.stringMatching(/cannot be found out here/),
        hint: expect.stringContaining('unshare -rm provisioner destroy job'),
      });
      expect(existsSync(rootfs)).toBe(true);
    }
    expect(asOther(inNamespace, 'destroy', 'job')).toMatchObject({ status: 0, stdout: 'job\n' });
    expect(readdirSync(join(home, 'store', 'containers'))).toEqual([]);
  });
});

describeWith(['root'], 'an opening that fails', () => {
  test.each(['size=8k', 'size=64k', 'size=128k', 'nr_inodes=2', 'nr_inodes=3', 'nr_inodes=7', 'nr_inodes=8'])(
    'leaves nothing where there was nothing, on a file system with %s',
    async (limit) => {
      const home = temporaryDirectory();
      execFileSync('mount', ['-t', 'tmpfs', '-o', limit, 'none', home]);
      try {
        const opening = Provisioner.open({ root: join(home, 'deep', 'store') });
        await expect(opening).rejects.toMatchObject({ code: 'ERR_NO_SPACE' });
        expect(readdirSync(home)).toEqual([]);
      } finally {
        execFileSync('umount', [home]);
      }
    },
  );

  test('leaves what was there, and decides nothing', async () => {
    const root = temporaryDirectory();
    writeFileSync(join(root, 'metadata.sqlite'), 'no database at all, but long enough to be taken for one'.repeat(100));
    await expect(Provisioner.open({ root })).rejects.toMatchObject({ code: 'ERR_STORE_DAMAGED' });
    expect(readdirSync(root)).toEqual(['metadata.sqlite']);
  });
});

describeWith(['root'], 'a umask that takes bits from the owner himself', () => {
  test.each(['0777', '0277', '0177'])(
    '%s keeps no user from his own store, where every mode is as it should be',
    (mask) => {
      const home = passable();
      chownSync(home, OTHER, OTHER);
      const image = join(home, 'image');
      cpSync(APP_V1.slice('oci:'.length), image, { recursive: true });
      execFileSync('chown', ['-R', `${OTHER}:${OTHER}`, image]);
      const root = join(home, 'deep', 'store');
      const run = (...args: string[]) => {
        const command = ['-c', 'umask "$0"; exec "$@"', mask, process.execPath, MAIN, ...args, '--root', root];
        return spawnSync('sh', command, { cwd: '/', uid: OTHER, gid: OTHER, encoding: 'utf8' });
      };
      for (const args of [
        ['pull', `oci:${image}`, '--name', 'app:v1'],
        ['provision', 'job', 'app:v1', '--backend', 'copy'],
        ['check', '--full'],
        ['destroy', 'job'],
      ]) {
        const { status, stderr } = run(...args);
        expect({ args, status, stderr: status === 0 ? '' : stderr }).toEqual({ args, status: 0, stderr: '' });
      }
      expect((statSync(dirname(root)).mode & 0o7777).toString(8)).toBe('700');
      const isDirectory = (name: string) => statSync(join(root, name)).isDirectory();
      for (const [name, mode] of Object.entries(modesBelow(root))) {
        expect([name, mode]).toEqual([name, isDirectory(name) ? '700' : '600']);
      }
      expect(run('prune').status).toBe(0);
      expect(readdirSync(join(root, 'layers'))).toEqual([]);
    },
  );
});
