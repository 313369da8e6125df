import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, it } from 'vitest';
import { helperFor, helperKey, parseAuthFile, storedCredentials } from '#src/registry/credentials/auth-file.js';
import { CredentialLookup } from '#src/registry/credentials/credentials.js';
import { temporaryDirectory } from '../../helpers/memory-store.js';

const PATH = '/home/me/config.json';
const auth = (user: string) => ({ auth: Buffer.from(`${user}:pw:${user}`).toString('base64') });
const file = (content: unknown) => parseAuthFile(JSON.stringify(content), PATH);
const userOf = (content: unknown, registry: string, repository = 'team/app') => {
  const found = storedCredentials(file(content), registry, repository, PATH);
  return found?.kind === 'password' ? found.username : found?.kind;
};

it('the longest part of a repository that a file names wins', () => {
  const content = {
    auths: { 'r.example': auth('all'), 'r.example/team': auth('team'), 'r.example/team/app': auth('app') },
  };
  expect(userOf(content, 'r.example', 'team/app')).toBe('app');
  expect(userOf(content, 'r.example', 'team/other')).toBe('team');
  expect(userOf(content, 'r.example', 'teams/app')).toBe('all');
  expect(userOf(content, 'r.example:5000')).toBeUndefined();
  expect(userOf(content, 'evil-r.example')).toBeUndefined();
});

it.each(['https://index.docker.io/v1/', 'docker.io', 'index.docker.io', 'https://registry-1.docker.io/v2/'])(
  'Docker Hub is known as %s',
  (key) => {
    expect(userOf({ auths: { [key]: auth('hub') } }, 'docker.io', 'library/app')).toBe('hub');
  },
);

it('old spellings of a registry are its name', () => {
  expect(userOf({ auths: { 'https://r.example/v1/': auth('old') } }, 'r.example')).toBe('old');
  expect(userOf({ auths: { 'http://localhost:5000': auth('old') } }, 'localhost:5000')).toBe('old');
});

it.each(['https://r.example/some/path', 'http://r.example', 'https://r.example/v1/', 'https://x@r.example/a?b#c'])(
  '%s is the registry that it is a URL of',
  (key) => {
    expect(userOf({ auths: { [key]: auth('url') } }, 'r.example')).toBe('url');
    expect(userOf({ auths: { [key]: auth('url') } }, 'r.example:443')).toBeUndefined();
    expect(userOf({ auths: { [key]: auth('url'), 'r.example': auth('exact') } }, 'r.example')).toBe('exact');
  },
);

it('a path without a scheme is a part of the registry', () => {
  expect(userOf({ auths: { 'r.example/some/path': auth('part') } }, 'r.example')).toBeUndefined();
  expect(userOf({ auths: { 'https://r.example.evil/r.example': auth('evil') } }, 'r.example')).toBeUndefined();
});

it('null is what is not there, wherever it stands', () => {
  const whole = { auth: auth('me').auth, identitytoken: null, registrytoken: null, username: null, password: null };
  expect(userOf({ auths: { r: whole, s: null }, credHelpers: null, credsStore: null }, 'r')).toBe('me');
  expect(userOf({ auths: { s: null } }, 's')).toBeUndefined();
  expect(userOf({ auths: { r: { auth: null, username: 'x', password: null } } }, 'r')).toBeUndefined();
  expect(helperFor(file({ credHelpers: { r: null }, credsStore: 'all' }), 'r')).toBe('all');
});

it('a password may hold colons, and what is padded with NULs is the same', () => {
  const padded = Buffer.from('me:a:b\0\0').toString('base64');
  expect(storedCredentials(file({ auths: { r: { auth: padded } } }), 'r', 'a', PATH)).toEqual({
    kind: 'password',
    username: 'me',
    password: 'a:b',
  });
});

it('tokens and plain fields are understood, and empty entries passed over', () => {
  expect(userOf({ auths: { r: { identitytoken: 'x', ...auth('x') } } }, 'r')).toBe('identity-token');
  expect(userOf({ auths: { r: { registrytoken: 'x' } } }, 'r')).toBe('bearer');
  expect(userOf({ auths: { r: { username: 'plain', password: 'x' } } }, 'r')).toBe('plain');
  expect(userOf({ auths: { r: {} } }, 'r')).toBeUndefined();
  expect(userOf({}, 'r')).toBeUndefined();
});

it('a helper of its own comes before the one for all', () => {
  const content = file({ credHelpers: { 'r.example': 'own', 'docker.io': 'hub' }, credsStore: 'all' });
  expect(helperFor(content, 'r.example')).toBe('own');
  expect(helperFor(content, 'docker.io')).toBe('hub');
  expect(helperFor(content, 'other.example')).toBe('all');
  expect(helperFor(file({}), 'r.example')).toBeUndefined();
  const excepted = file({ credHelpers: { 'https://r.example/v2/': '' }, credsStore: 'all' });
  expect(helperFor(excepted, 'r.example')).toBeUndefined();
  expect(helperFor(excepted, 'other.example')).toBe('all');
  expect(helperKey('docker.io')).toBe('https://index.docker.io/v1/');
  expect(helperKey('localhost:5000')).toBe('localhost:5000');
});

it('a file that makes no sense is an error that quotes nothing of it', () => {
  for (const text of ['{"auths": {"r": {"auth": "c2VjcmV0"', '{"auths": ["c2VjcmV0"]}', '{"auths":{"r":{"auth":5}}}']) {
    let error: unknown;
    try {
      parseAuthFile(text, PATH);
    } catch (caught) {
      error = caught;
    }
    expect(error).toMatchObject({ code: 'ERR_REGISTRY_CONFIG', message: expect.stringContaining(PATH) });
    expect(`${(error as Error).stack} ${(error as Error).cause}`).not.toContain('c2VjcmV0');
  }
});

it('files are looked for where podman and Docker keep them, the first that knows the registry wins', async () => {
  const home = temporaryDirectory();
  const write = (path: string, content: unknown) => {
    mkdirSync(dirname(join(home, path)), { recursive: true });
    writeFileSync(join(home, path), JSON.stringify(content));
    return join(home, path);
  };
  write('.docker/config.json', { auths: { r: auth('docker'), s: auth('docker') } });
  write('.config/containers/auth.json', { auths: { r: auth('podman') } });
  const environment = { HOME: home };
  const find = async (registry: string, own?: string, env: Record<string, string> = environment) => {
    const found = await new CredentialLookup(own, env, undefined).find(registry, 'app');
    return found?.kind === 'password' ? found.username : undefined;
  };
  expect(await find('r')).toBe('podman');
  expect(await find('s')).toBe('docker');
  expect(await find('t')).toBeUndefined();
  write('run/containers/auth.json', { auths: { r: auth('session') } });
  expect(await find('r', undefined, { ...environment, XDG_RUNTIME_DIR: join(home, 'run') })).toBe('session');
  const named = write('named.json', { auths: { r: auth('named') } });
  expect(await find('r', undefined, { ...environment, REGISTRY_AUTH_FILE: named })).toBe('named');
  expect(await find('s', named)).toBeUndefined();
  await expect(find('r', join(home, 'missing.json'))).rejects.toMatchObject({ code: 'ERR_REGISTRY_CONFIG' });
});
