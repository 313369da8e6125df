import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { buildImage, buildIndex, buildLayer } from '../../native-free-tests/helpers/image-builder.js';
import { newStore } from '../cli/run-cli.js';
import { makeCertificate } from '../helpers/certificates.js';
import { startRegistry } from '../helpers/registry.js';
import { describeWith } from '../helpers/requirements.js';
import { temporaryDirectory } from '../helpers/test-store.js';
import { encoded, startTokenRegistry } from './who-we-are.js';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const USER = { name: 'someone', password: 'pass:word-öf tests' };
const image = buildImage([buildLayer([{ path: 'a', content: 'a' }])]);

/** A user with a session and a home of his own, and the command line as he has it. */
function session() {
  const home = temporaryDirectory();
  mkdirSync(join(home, 'run'));
  const env = { HOME: home, XDG_RUNTIME_DIR: join(home, 'run') };
  const { run, root } = newStore();
  const logIn = (registry: string, ...args: readonly string[]) =>
    run(['login', registry, '-u', USER.name, '--password-stdin', ...args], { input: `${USER.password}\n`, env });
  return {
    env,
    file: join(home, 'run/containers/auth.json'),
    home,
    root,
    run: (...args: string[]) => run(args, { env }),
    logIn,
  };
}

async function privateRegistry() {
  const registry = await startRegistry({ user: USER });
  await registry.push('team/app', 'v1', image);
  return registry;
}

/** What a tool of others says. */
function ask(command: string, args: readonly string[], env: Readonly<Record<string, string>>, input = '') {
  const { status, stdout, stderr } = spawnSync(command, args, {
    env: { PATH: process.env['PATH'], ...env },
    encoding: 'utf8',
    input,
  });
  return { status, stdout: stdout.trim(), stderr };
}

describeWith(['root', 'docker-registry'], 'a login to a registry with passwords', () => {
  it('is found by a pull, and forgotten by a logout, for which no store is needed', async () => {
    const { host } = await privateRegistry();
    const { run, logIn, file, root } = session();
    expect((await run('pull', `${host}/team/app:v1`)).stderr).toContain('wants to know who asks');
    expect(await logIn(host)).toEqual({
      status: 0,
      stdout: `logged in to ${host} as ${USER.name}; kept in ${file}\n`,
      stderr: '',
    });
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect((await run('tags', `${host}/team/app`)).stdout).toBe('v1\n');
    expect((await run('login', '--get-login', host)).stdout).toBe(`${USER.name}\n`);
    expect((await run('pull', `${host}/team/app:v1`)).stdout).toBe(`${image.manifest.descriptor.digest}\n`);
    expect((await run('logout', host)).stdout).toBe(`${host}\n`);
    const again = await run('logout', host);
    expect([again.status, again.stderr.split('\n')[0]]).toEqual([
      1,
      `provisioner: there is no login to ${host} in ${file}`,
    ]);
    expect((await run('tags', `${host}/team/app`)).status).toBe(1);
    expect(existsSync(root)).toBe(true);
  });

  it('with a wrong password leaves no file, no store, and nothing of it in any output', async () => {
    const { host } = await privateRegistry();
    const { env, file, root } = session();
    const { run } = newStore();
    for (const args of [['--debug'], ['--json', '--debug']]) {
      const wrong = await run(['login', host, '-u', 'me', '--password-stdin', ...args], {
        env,
        input: 'wr0ng-secret\n',
      });
      expect([wrong.status, wrong.stdout]).toEqual([1, '']);
      expect(wrong.stderr).toContain('does not accept the credentials');
      for (const secret of ['wr0ng-secret', encoded('me', 'wr0ng-secret')]) expect(wrong.stderr).not.toContain(secret);
    }
    expect([existsSync(file), existsSync(root)]).toEqual([false, false]);
  });

  it('by -p is warned about', async () => {
    const { host } = await privateRegistry();
    const { run } = session();
    const { status, stdout, stderr } = await run('login', host, '-u', USER.name, '-p', USER.password, '--json');
    expect([status, JSON.parse(stdout)]).toMatchObject([0, { key: host, verified: true, helper: null }]);
    expect(JSON.parse(stderr)).toMatchObject({ warning: { code: 'PASSWORD_SHOWN' } });
  });

  it('of eight at the same time loses none, whatever each is for', async () => {
    const { host } = await privateRegistry();
    const { logIn, file } = session();
    const parts = Array.from({ length: 8 }, (_, n) => `${host}/part${n}`);
    expect((await Promise.all(parts.map((part) => logIn(part)))).map(({ status }) => status)).toEqual(
      parts.map(() => 0),
    );
    expect(Object.keys(JSON.parse(readFileSync(file, 'utf8')).auths).sort()).toEqual(parts);
    expect(readdirSync(join(file, '..'))).toEqual(['auth.json']);
  });

  it('keeps the owner of the file, and what is in it', async () => {
    const { host } = await privateRegistry();
    const { logIn, home } = session();
    const file = join(home, 'theirs.json');
    writeFileSync(file, '{"HttpHeaders":{"A":"b"}}');
    chownSync(file, 4321, 4322);
    chmodSync(file, 0o640);
    expect((await logIn(host, '--authfile', file)).status).toBe(0);
    const { uid, gid, mode } = statSync(file);
    expect([uid, gid, mode & 0o777]).toEqual([4321, 4322, 0o600]);
    expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({ HttpHeaders: { A: 'b' } });
  });

  it('over TLS takes the authority that is named', async () => {
    const tls = makeCertificate();
    const { host } = await startRegistry({ user: USER, tls });
    const { logIn } = session();
    expect((await logIn(host)).stderr).toContain(`the certificate of ${host} is`);
    expect((await logIn(host, '--cert-dir', tls.authority)).status).toBe(0);
    expect((await logIn(host, '--tls-verify=false')).status).toBe(0);
  });
});

describeWith(['root', 'docker-registry', 'openssl'], 'a login to a registry with tokens', () => {
  it('is proved at the token server, with the name of the account', async () => {
    const { tokens, host } = await startTokenRegistry(image);
    tokens.users.set(USER.name, 'of the tests');
    const { env, run } = session();
    const logIn = (registry: string) =>
      newStore().run(['login', registry, '-u', USER.name, '--password-stdin'], { input: 'of the tests', env });
    expect((await logIn(host)).status).toBe(0);
    expect(tokens.seen.map(({ url }) => url)).toEqual([expect.stringContaining(`account=${USER.name}`)]);
    expect((await run('tags', `${host}/team/app`)).stdout).toBe('v1\n');
    tokens.users.set(USER.name, 'another');
    expect((await logIn(host)).stderr).toContain('does not accept the credentials');
  });
});

describeWith(['root', 'mount', 'docker-registry'], 'a login on a full disk', () => {
  it('is told, and leaves the file as it was, and nothing beside it', async () => {
    const { host } = await privateRegistry();
    const { logIn, home } = session();
    const disk = join(home, 'disk');
    mkdirSync(disk);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=16k', 'none', disk]);
    try {
      const file = join(disk, 'auth.json');
      const text = '{"auths":{"other.example":{"auth":"YTpi"}}}';
      writeFileSync(file, text);
      spawnSync('dd', ['if=/dev/zero', `of=${join(disk, 'filler')}`, 'bs=1k']);
      const { status, stderr } = await logIn(host, '--authfile', file, '--json');
      expect([status, JSON.parse(stderr)]).toMatchObject([1, { error: { code: 'ERR_NO_SPACE' } }]);
      expect(readFileSync(file, 'utf8')).toBe(text);
      expect(readdirSync(disk).sort()).toEqual(['auth.json', 'filler']);
    } finally {
      execFileSync('umount', [disk]);
    }
  });
});

describeWith(['root', 'script', 'docker-registry'], 'a login on a terminal', () => {
  it('asks for what is missing, and does not show the password', async () => {
    const { host } = await privateRegistry();
    const { env, file } = session();
    const command = `${process.execPath} ${MAIN} login ${host}`;
    // What is typed comes from a process that waits for each question, as a person does.
    const typist = `
      const { spawn } = require('node:child_process');
      const terminal = spawn('script', ['--quiet', '--return', '--command', ${JSON.stringify(command)}, '/dev/null']);
      const answers = [['Username: ', ${JSON.stringify(`${USER.name}\r`)}], ['Password: ', ${JSON.stringify(`${USER.password}\r`)}]];
      let shown = '';
      terminal.stdout.on('data', (text) => {
        shown += text;
        if (answers.length > 0 && shown.includes(answers[0][0])) terminal.stdin.write(answers.shift()[1]);
      });
      terminal.on('close', (status) => { console.log(JSON.stringify({ status, shown })); process.exit(); });`;
    const { stdout } = ask(process.execPath, ['-e', typist], { ...env, TERM: 'xterm' });
    const { status, shown } = JSON.parse(stdout);
    expect([status, shown]).toEqual([0, expect.stringContaining(`logged in to ${host} as ${USER.name}`)]);
    expect(shown).toContain(USER.name);
    expect(shown).not.toContain(USER.password);
    expect(existsSync(file)).toBe(true);
  });
});

describeWith(['root', 'docker-registry', 'podman', 'skopeo'], 'podman, skopeo and we', () => {
  it('find each other’s logins, and forget them', async () => {
    const { host } = await privateRegistry();
    const { env, run, logIn } = session();
    const names = () =>
      ['podman', 'skopeo'].map((tool) => ask(tool, ['login', '--get-login', host], env).stdout || 'nobody');
    expect((await logIn(host)).status).toBe(0);
    expect(names()).toEqual([USER.name, USER.name]);
    const inspected = ask('skopeo', ['inspect', '--tls-verify=false', `docker://${host}/team/app:v1`], env);
    expect(JSON.parse(inspected.stdout).Digest).toBe(image.manifest.descriptor.digest);
    expect((await run('logout', host)).status).toBe(0);
    expect(names()).toEqual(['nobody', 'nobody']);
    for (const tool of ['podman', 'skopeo']) {
      const login = ['login', '--tls-verify=false', host, '-u', USER.name, '--password-stdin'];
      expect(ask(tool, login, env, USER.password)).toMatchObject({ status: 0 });
      expect((await run('login', '--get-login', host)).stdout).toBe(`${USER.name}\n`);
      expect((await run('tags', `${host}/team/app`)).stdout).toBe('v1\n');
      expect((await run('logout', host)).status).toBe(0);
      expect(names()).toEqual(['nobody', 'nobody']);
    }
    expect((await logIn(host)).status).toBe(0);
    expect(ask('podman', ['logout', host], env).status).toBe(0);
    expect((await run('login', '--get-login', host)).status).toBe(1);
  });

  it('agree on what a login to Docker Hub, and to a part of a registry, is called', () => {
    const { env, file } = session();
    mkdirSync(join(file, '..'));
    const auth = encoded(USER.name, USER.password);
    // As `login` writes them: no Docker Hub is within the reach of a test.
    writeFileSync(
      file,
      JSON.stringify({ auths: { 'https://index.docker.io/v1/': { auth }, 'r.example/team': { auth } } }),
    );
    for (const tool of ['podman', 'skopeo']) {
      for (const registry of ['docker.io', 'r.example/team', 'r.example/team/app'])
        expect([tool, registry, ask(tool, ['login', '--get-login', registry], env).stdout]).toEqual([
          tool,
          registry,
          USER.name,
        ]);
    }
  });
});

describeWith(['root', 'docker-registry'], 'an image of a real registry', () => {
  it('is inspected without a store as it would be pulled, and its raw document is what the tag names', async () => {
    const registry = await startRegistry();
    const other = buildImage([buildLayer([{ path: 'b', content: 'b' }])], {
      platform: { os: 'linux', architecture: 's390x' },
    });
    const index = buildIndex([image, other]);
    await registry.push('team/app', 'v1', index);
    const { run, root } = session();
    const source = `${registry.host}/team/app:v1`;
    const { stdout } = await run('inspect', '--remote', source, '--platform', 'linux/s390x');
    expect(JSON.parse(stdout)).toMatchObject([
      {
        type: 'remote-image',
        source: `docker://${source}`,
        digest: index.index.descriptor.digest,
        id: other.manifest.descriptor.digest,
        platforms: ['linux/amd64', 'linux/s390x'],
        layers: [
          { digest: other.layers[0]?.digest, diffId: other.layers[0]?.diffId, bytes: other.layers[0]?.blob.length },
        ],
      },
    ]);
    const raw = await run('inspect', '--remote', '--raw', source);
    expect(raw.stdout).toBe(index.index.bytes.toString());
    expect(existsSync(root)).toBe(false);
  });
});
