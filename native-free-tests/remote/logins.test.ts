import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { listTags, loggedInAs, login, logout, logoutAll } from '#src/index.js';
import { temporaryDirectory } from '../helpers/memory-store.js';
import { refuse, serveOnLoopback } from '../helpers/quirky-registry.js';

const NAMES = ['XDG_RUNTIME_DIR', 'XDG_CONFIG_HOME', 'DOCKER_CONFIG', 'REGISTRY_AUTH_FILE', 'HOME', 'PATH'] as const;
const before = Object.fromEntries(NAMES.map((name) => [name, process.env[name]]));
const SECRET = 's3cret-wörd';
const ME = { username: 'me', password: SECRET };
const BASIC = `Basic ${Buffer.from(`me:${SECRET}`).toString('base64')}`;
const registry = { hostsDir: '', retries: 0 };
let home = '';
/** Where a login goes when nobody says otherwise. */
let file = '';

beforeEach(() => {
  home = temporaryDirectory();
  registry.hostsDir = temporaryDirectory();
  mkdirSync(join(home, 'run'));
  for (const name of NAMES) if (name !== 'PATH') delete process.env[name];
  Object.assign(process.env, { HOME: home, XDG_RUNTIME_DIR: join(home, 'run') });
  file = join(home, 'run/containers/auth.json');
});
afterEach(() => {
  for (const name of NAMES) {
    if (before[name] === undefined) delete process.env[name];
    else process.env[name] = before[name];
  }
});

const contentOf = (path: string) => JSON.parse(readFileSync(path, 'utf8'));

/** A registry that wants a name and a password, and has one repository. @returns also the requests, with what was shown */
async function passwordRegistry() {
  const asked: string[] = [];
  const host = await serveOnLoopback(({ method, url, headers: { authorization } }, response) => {
    asked.push(`${method} ${url} ${authorization ?? '-'}`);
    if (authorization === BASIC) return response.end('{"tags":["v1"]}');
    // A bad one repeats what it was shown.
    return refuse(response, 401, {
      code: 'UNAUTHORIZED',
      message: `what is ${authorization ?? 'nothing'}?`,
      headers: { 'www-authenticate': 'Basic realm="r"' },
    });
  });
  return { host, asked };
}

/** @returns the value of what a promise is rejected with, and all that can be seen of it */
async function failureOf(promise: Promise<unknown>) {
  try {
    await promise;
  } catch (error) {
    return { error, seen: inspect(error, { depth: 10, showHidden: true }) };
  }
  throw new Error('it did not fail');
}

describe('a login', () => {
  it('is shown to the registry, and kept where pulls find it', async () => {
    const { host, asked } = await passwordRegistry();
    expect(await login(host, ME, { registry })).toEqual({
      key: host,
      username: 'me',
      file,
      helper: null,
      verified: true,
    });
    expect(asked).toEqual(['GET /v2/ -', `GET /v2/ ${BASIC}`]);
    expect(contentOf(file)).toEqual({ auths: { [host]: { auth: BASIC.slice('Basic '.length) } } });
    expect(await loggedInAs(host)).toBe('me');
    expect((await listTags(`${host}/app`, { registry })).tags).toEqual(['v1']);
  });

  it('that the registry refuses changes nothing, and the password is nowhere in the error', async () => {
    const { host } = await passwordRegistry();
    const wrong = 'wr0ng-password-of-mine';
    const { error, seen } = await failureOf(login(host, { username: 'me', password: wrong }, { registry }));
    expect(error).toMatchObject({
      code: 'ERR_REGISTRY_UNAUTHORIZED',
      message: expect.stringContaining(`${host} does not accept the credentials`),
    });
    for (const secret of [wrong, Buffer.from(`me:${wrong}`).toString('base64')]) expect(seen).not.toContain(secret);
    expect(existsSync(file)).toBe(false);
  });

  it('is proved by a token for no repository where the registry takes tokens', async () => {
    const asked: string[] = [];
    const tokens = await serveOnLoopback(({ url = '', headers }, response) => {
      asked.push(url);
      if (headers.authorization === BASIC) response.end('{"token":"abc"}');
      else refuse(response, 401);
    });
    const host = await serveOnLoopback(({ headers }, response) => {
      if (headers.authorization === 'Bearer abc') response.end('{}');
      else response.writeHead(401, { 'www-authenticate': `Bearer realm="http://${tokens}/t",service="s"` }).end();
    });
    expect(await login(host, ME, { registry })).toMatchObject({ verified: true });
    expect(asked).toEqual(['/t?service=s&account=me']);
    const { error } = await failureOf(login(host, { ...ME, password: 'x' }, { registry }));
    expect(error).toMatchObject({
      code: 'ERR_REGISTRY_UNAUTHORIZED',
      message: expect.stringContaining('signs tokens'),
    });
  });

  it('to a registry that asks for nothing is kept, and called unproven', async () => {
    const host = await serveOnLoopback((_, response) => response.end('{}'));
    expect(await login(host, ME, { registry })).toMatchObject({ verified: false });
    expect(await loggedInAs(host)).toBe('me');
  });

  it('to what is no registry, or is not there, is kept nowhere', async () => {
    const host = await serveOnLoopback((_, response) => response.writeHead(404).end());
    await expect(login(host, ME, { registry })).rejects.toMatchObject({ code: 'ERR_REGISTRY_FAILED' });
    await expect(login('localhost:1', ME, { registry })).rejects.toMatchObject({ code: 'ERR_REGISTRY_UNREACHABLE' });
    expect(existsSync(file)).toBe(false);
  });

  it('for a part of a registry counts there alone', async () => {
    const { host } = await passwordRegistry();
    expect(await login(`${host}/team`, ME, { registry })).toMatchObject({ key: `${host}/team` });
    expect(await loggedInAs(`${host}/team/app`)).toBe('me');
    expect(await loggedInAs(host)).toBeUndefined();
    expect((await listTags(`${host}/team/app`, { registry })).tags).toEqual(['v1']);
    await expect(listTags(`${host}/other/app`, { registry })).rejects.toMatchObject({
      code: 'ERR_REGISTRY_UNAUTHORIZED',
    });
  });

  it('takes the place of the one before, however that was written', async () => {
    const { host } = await passwordRegistry();
    mkdirSync(join(file, '..'));
    writeFileSync(file, JSON.stringify({ auths: { [`http://${host}/v1/`]: { auth: 'b2xkOm9sZA==' } } }));
    await login(host, ME, { registry });
    expect(Object.keys(contentOf(file).auths)).toEqual([host]);
  });

  it('goes to the file that is named, which is made', async () => {
    const { host } = await passwordRegistry();
    const authFile = join(home, 'new/auth.json');
    expect(await login(host, ME, { registry, authFile })).toMatchObject({ file: authFile });
    process.env['REGISTRY_AUTH_FILE'] = join(home, 'other.json');
    expect(await login(host, ME, { registry })).toMatchObject({ file: join(home, 'other.json') });
    expect([existsSync(authFile), existsSync(join(home, 'other.json')), existsSync(file)]).toEqual([true, true, false]);
  });

  it('shows no password to anybody before it is known that the file can take it', async () => {
    const { host, asked } = await passwordRegistry();
    mkdirSync(join(file, '..'));
    writeFileSync(file, '{');
    await expect(login(host, ME, { registry })).rejects.toMatchObject({ code: 'ERR_REGISTRY_CONFIG' });
    expect(asked).toEqual([]);
    expect(readFileSync(file, 'utf8')).toBe('{');
  });

  it('is not shown to a mirror, nor to a host that answers for the registry', async () => {
    const { host, asked } = await passwordRegistry();
    const mirror = await passwordRegistry();
    const hostsDir = temporaryDirectory();
    const write = (text: string) => writeFileSync(join(hostsDir, host, 'hosts.toml'), text);
    mkdirSync(join(hostsDir, host));
    write(`[host."http://${mirror.host}"]\n`);
    await login(host, ME, { registry: { ...registry, hostsDir } });
    expect([asked.length, mirror.asked.length]).toEqual([2, 0]);
    write(`server = "http://${mirror.host}"\n`);
    await expect(login(host, ME, { registry: { ...registry, hostsDir } })).rejects.toMatchObject({
      code: 'ERR_REGISTRY_CONFIG',
      message: `hosts.toml has ${mirror.host} answer for ${host}`,
      hint: expect.stringContaining(`log in to ${mirror.host}`),
    });
    expect(mirror.asked).toEqual([]);
  });

  it.each([
    ['no name', { username: '', password: 'x' }],
    ['a name with a colon', { username: 'a:b', password: 'x' }],
    ['no password', { username: 'a', password: '' }],
    ['a password of two lines', { username: 'a', password: 's3cret\nword' }],
  ])('with %s is refused before anybody is asked', async (_, credentials) => {
    const { error, seen } = await failureOf(login('localhost:1', credentials, { registry }));
    expect(error).toMatchObject({
      code: 'ERR_BAD_OPTION',
      message: expect.stringContaining('these are no credentials'),
    });
    expect(seen).not.toContain('s3cret');
  });

  it('with an option that there is not, or without a password, is refused', async () => {
    const options = { registry: { authFile: 'x' } } as object;
    await expect(login('localhost:1', ME, options)).rejects.toMatchObject({ code: 'ERR_BAD_OPTION' });
    const { error, seen } = await failureOf(login('r.example', { password: SECRET } as never, {}));
    expect(error).toMatchObject({ code: 'ERR_BAD_OPTION', message: 'login: credentials.username is missing' });
    expect(seen).not.toContain(SECRET);
  });

  it('is given up by who gives up', async () => {
    const host = await serveOnLoopback(() => {});
    const abort = new AbortController();
    const waiting = login(host, ME, { registry, signal: abort.signal });
    abort.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    expect(existsSync(file)).toBe(false);
  });
});

describe('a logout', () => {
  const write = (path: string, content: unknown) => {
    mkdirSync(join(path, '..'), { recursive: true });
    writeFileSync(path, JSON.stringify(content));
  };
  const entry = { auth: Buffer.from('me:pw').toString('base64') };

  it('forgets a registry, by all its spellings, and nothing below or beside it', async () => {
    write(file, {
      auths: { 'docker.io': entry, 'https://index.docker.io/v1/': entry, 'docker.io/team': entry, r: entry },
    });
    expect(await logout('docker.io')).toEqual({
      key: 'https://index.docker.io/v1/',
      file,
      removed: true,
      elsewhere: [],
    });
    expect(contentOf(file)).toEqual({ auths: { 'docker.io/team': entry, r: entry } });
    expect(await loggedInAs('docker.io')).toBeUndefined();
    expect(await logout('docker.io/team')).toMatchObject({ key: 'docker.io/team', removed: true });
  });

  it('of who has not logged in finds nothing, and makes no file', async () => {
    expect(await logout('r.example')).toEqual({ key: 'r.example', file, removed: false, elsewhere: [] });
    expect(await logout('r.example', { authFile: join(home, 'none.json') })).toMatchObject({ removed: false });
    expect([existsSync(file), existsSync(join(home, 'none.json'))]).toEqual([false, false]);
  });

  it('tells which other files know the registry', async () => {
    const dockers = join(home, '.docker/config.json');
    write(dockers, { auths: { 'r.example': entry } });
    expect(await logout('r.example')).toMatchObject({ removed: false, elsewhere: [dockers] });
    write(file, { auths: { 'r.example': entry } });
    expect(await logout('r.example')).toMatchObject({ removed: true, elsewhere: [dockers] });
    expect(await loggedInAs('r.example')).toBe('me');
  });

  it('of all leaves what is no login', async () => {
    write(file, { auths: { a: entry, 'b.example/team': entry }, HttpHeaders: { A: 'b' } });
    expect(await logoutAll()).toEqual({ file, removed: ['a', 'b.example/team'] });
    expect(contentOf(file)).toEqual({ auths: {}, HttpHeaders: { A: 'b' } });
    expect(await logoutAll()).toEqual({ file, removed: [] });
  });

  it('leaves a damaged file alone', async () => {
    write(file, []);
    await expect(logout('r.example')).rejects.toMatchObject({ code: 'ERR_REGISTRY_CONFIG' });
    await expect(logoutAll()).rejects.toMatchObject({ code: 'ERR_REGISTRY_CONFIG' });
    expect(readFileSync(file, 'utf8')).toBe('[]');
  });
});

describe('a helper that the file names', () => {
  let kept = '';

  beforeEach(() => {
    const bin = temporaryDirectory();
    kept = join(bin, 'kept');
    mkdirSync(kept);
    const program = join(bin, 'docker-credential-it');
    const key = `sed 's/.*"ServerURL":"//; s/".*//' | tr / _`;
    writeFileSync(
      program,
      `#!/bin/sh
text=$(cat); place=${kept}/$(echo "$text" | ${key})
case $1 in
  store) echo "$text" > "$place" ;;
  get) cat "$place" 2> /dev/null || { echo 'credentials not found in native keychain'; exit 1; } ;;
  erase) rm "$place" ;;
esac\n`,
    );
    chmodSync(program, 0o755);
    process.env['PATH'] = `${bin}${delimiter}${before['PATH']}`;
  });

  it.each([
    ['for all registries', () => ({ credsStore: 'it' })],
    ['for that one', (host: string) => ({ credHelpers: { [host]: 'it' } })],
  ])('%s keeps and forgets the credentials, and the file has none', async (_, settings) => {
    const { host } = await passwordRegistry();
    const authFile = join(home, 'config.json');
    writeFileSync(authFile, JSON.stringify({ auths: { [host]: { auth: 'b2xkOm9sZA==' } }, ...settings(host) }));
    expect(await login(host, ME, { registry, authFile })).toMatchObject({ helper: 'it' });
    expect(JSON.parse(readFileSync(join(kept, host), 'utf8'))).toEqual({
      ServerURL: host,
      Username: 'me',
      Secret: SECRET,
    });
    expect(contentOf(authFile)).toEqual({ auths: { [host]: {} }, ...settings(host) });
    expect((await listTags(`${host}/app`, { registry: { ...registry, authFile } })).tags).toEqual(['v1']);
    expect(await logout(host, { authFile })).toMatchObject({ removed: true, elsewhere: [] });
    expect(existsSync(join(kept, host))).toBe(false);
    expect(contentOf(authFile)).toEqual({ auths: {}, ...settings(host) });
    expect(await logout(host, { authFile })).toMatchObject({ removed: false });
  });

  it('forgets all of them with a logout of all, each under its key', async () => {
    const one = await passwordRegistry();
    const two = await passwordRegistry();
    const authFile = join(home, 'config.json');
    const settings = { credsStore: 'it', credHelpers: { [two.host]: 'it', 'never.example': 'it', 'odd.example': '' } };
    writeFileSync(authFile, JSON.stringify(settings));
    for (const { host } of [one, two]) await login(host, ME, { registry, authFile });
    const { removed } = await logoutAll({ authFile });
    expect(removed.toSorted()).toEqual([one.host, two.host].sort());
    expect(contentOf(authFile)).toEqual({ ...settings, auths: {} });
    expect([existsSync(join(kept, one.host)), existsSync(join(kept, two.host))]).toEqual([false, false]);
  });

  it('is not given the credentials of a part of a registry', async () => {
    const authFile = join(home, 'config.json');
    writeFileSync(authFile, '{"credsStore":"it"}');
    await expect(login('r.example/team', ME, { registry, authFile })).rejects.toMatchObject({
      code: 'ERR_REGISTRY_CONFIG',
      message: expect.stringContaining('keeps credentials of whole registries alone'),
    });
  });

  it('that does not keep them leaves the file as it was', async () => {
    const { host } = await passwordRegistry();
    const authFile = join(home, 'config.json');
    const text = JSON.stringify({ credsStore: 'not-there', auths: { [host]: { auth: 'b2xkOm9sZA==' } } });
    writeFileSync(authFile, text);
    const { error, seen } = await failureOf(login(host, ME, { registry, authFile }));
    expect(error).toMatchObject({
      code: 'ERR_REGISTRY_CONFIG',
      message: expect.stringContaining('it is not installed'),
    });
    expect(seen).not.toContain(SECRET);
    expect(readFileSync(authFile, 'utf8')).toBe(text);
  });
});
