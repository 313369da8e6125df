import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { authFilePlaces, writtenAuthFile } from '#src/registry/credentials/auth-file-places.js';
import { temporaryDirectory } from '../../helpers/memory-store.js';

/** A user with the number that owns what this test makes, and a `/run` of its own. */
function user(environment: Record<string, string>, uid = process.getuid?.() ?? 0) {
  const run = temporaryDirectory();
  return { environment, uid, run };
}

const home = { HOME: '/home/me' };

describe('a login is written to', () => {
  it('the file that the call names, else the one of the environment', () => {
    const named = { ...home, REGISTRY_AUTH_FILE: '/b', XDG_RUNTIME_DIR: '/c' };
    expect(writtenAuthFile('/a', user(named))).toBe('/a');
    expect(writtenAuthFile(undefined, user(named))).toBe('/b');
  });

  it('that of the session, where the environment tells of one', () => {
    const session = temporaryDirectory();
    const environment = { ...home, REGISTRY_AUTH_FILE: '', XDG_RUNTIME_DIR: session };
    expect(writtenAuthFile(undefined, user(environment))).toBe(join(session, 'containers/auth.json'));
  });

  it('none where the session is not there', () => {
    expect(() => writtenAuthFile(undefined, user({ ...home, XDG_RUNTIME_DIR: '/nonexistent/1000' }))).toThrow(
      'XDG_RUNTIME_DIR names /nonexistent/1000, which is not there',
    );
  });

  it('that of root, as podman has it', () => {
    const root = user(home, 0);
    expect(writtenAuthFile(undefined, root)).toBe(join(root.run, 'containers/0/auth.json'));
  });

  it("that of an ordinary user's session though the environment does not tell, where it is his", () => {
    const ordinary = { ...user(home), uid: process.getuid?.() === 0 ? 4321 : (process.getuid?.() ?? 1) };
    mkdirSync(join(ordinary.run, 'user', String(ordinary.uid)), { recursive: true });
    const isHis = process.getuid?.() === ordinary.uid;
    expect(writtenAuthFile(undefined, ordinary)).toBe(
      isHis
        ? join(ordinary.run, 'user', String(ordinary.uid), 'containers/auth.json')
        : '/home/me/.config/containers/auth.json',
    );
  });

  it('that of the user where there is no session', () => {
    expect(writtenAuthFile(undefined, user(home, 4321))).toBe('/home/me/.config/containers/auth.json');
    expect(writtenAuthFile(undefined, user({ ...home, XDG_CONFIG_HOME: '/conf' }, 4321))).toBe(
      '/conf/containers/auth.json',
    );
  });

  it('nothing where there is not even a home', () => {
    expect(() => writtenAuthFile(undefined, user({ HOME: '' }, 4321))).toThrow('there is no place for a login');
  });
});

it.each([
  ['root', home, 0],
  ['an ordinary user', home, 4321],
  ['a user with a session', { ...home, XDG_RUNTIME_DIR: '/' }, 4321],
  ['a user with a place for settings', { ...home, XDG_CONFIG_HOME: '/conf' }, 4321],
])('what is written for %s is where it is looked for', (_, environment, uid) => {
  const somebody = user(environment, uid);
  expect(authFilePlaces(somebody)).toContain(writtenAuthFile(undefined, somebody));
});

it("podman's of the session comes first, then podman's of the user, then Docker's", () => {
  const ordinary = user(home, 4321);
  expect(authFilePlaces(ordinary)).toEqual([
    join(ordinary.run, 'containers/4321/auth.json'),
    join(ordinary.run, 'user/4321/containers/auth.json'),
    '/home/me/.config/containers/auth.json',
    '/home/me/.docker/config.json',
  ]);
  expect(authFilePlaces(user({ ...home, XDG_RUNTIME_DIR: '/run/me', DOCKER_CONFIG: '/d' }))).toEqual([
    '/run/me/containers/auth.json',
    '/home/me/.config/containers/auth.json',
    '/d/config.json',
  ]);
});
