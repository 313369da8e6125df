import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { type AuthDocument, withEntry, withoutEntries } from '#src/registry/credentials/auth-entries.js';
import { isKeyOfScope } from '#src/registry/credentials/auth-file.js';
import { withAuthFileLock } from '#src/registry/credentials/auth-file-lock.js';
import { editAuthFile, readAuthDocument } from '#src/registry/credentials/edit-auth-file.js';
import { parseRegistryScope } from '#src/registry/credentials/registry-scope.js';
import { NativeFreeSyscalls } from '#src/system/syscalls/native-free/native-free-syscalls.js';
import { temporaryDirectory } from '../../helpers/memory-store.js';

const here = (name = 'auth.json') => join(temporaryDirectory(), name);
const logIn = (path: string, registry: string, auth = 'YTpi') =>
  editAuthFile(path, undefined, (document) => withEntry(document, parseRegistryScope(registry), { auth }));
const contentOf = (path: string) => JSON.parse(readFileSync(path, 'utf8'));
const namesBeside = (path: string) => readdirSync(join(path, '..'));

describe('an auth file that is changed', () => {
  it('keeps what stands in it under a key in another case', async () => {
    const path = here();
    writeFileSync(path, JSON.stringify({ Auths: { other: { auth: 'YTpi' } } }));
    await logIn(path, 'r.example');
    expect(contentOf(path)).toEqual({ auths: { other: { auth: 'YTpi' }, 'r.example': { auth: 'YTpi' } } });
  });

  it('is left alone where the file beside it that would be its lock is somebody’s', async () => {
    const path = here();
    writeFileSync(`${path}.lock`, 'important');
    await expect(logIn(path, 'r.example')).rejects.toMatchObject({
      code: 'ERR_REGISTRY_CONFIG',
      message: /none of ours/,
    });
    expect(readFileSync(`${path}.lock`, 'utf8')).toBe('important');
  });

  it('is made where it is missing, with its directories, for its user alone', async () => {
    const path = here('new/containers/auth.json');
    await logIn(path, 'r.example');
    expect(contentOf(path)).toEqual({ auths: { 'r.example': { auth: 'YTpi' } } });
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(join(path, '..')).mode & 0o777).toBe(0o700);
    expect(namesBeside(path)).toEqual(['auth.json']);
  });

  it('keeps what nobody here understands, in its order', async () => {
    const path = here();
    const other = { auth: 'Yzpk', email: 'me@example.org', odd: [1, null] };
    const before = {
      HttpHeaders: { A: 'b' },
      auths: { 'other.example': other },
      credHelpers: { x: 'y' },
      zzz: { '': 0 },
    };
    writeFileSync(path, JSON.stringify(before));
    await logIn(path, 'r.example');
    const after = { ...before, auths: { ...before.auths, 'r.example': { auth: 'YTpi' } } };
    expect(JSON.stringify(contentOf(path))).toBe(JSON.stringify(after));
  });

  it.each(['', ' \n', '{}', '{"auths":null}'])('may have been %j', async (text) => {
    const path = here();
    writeFileSync(path, text);
    await logIn(path, 'r.example');
    expect(contentOf(path)).toEqual({ auths: { 'r.example': { auth: 'YTpi' } } });
  });

  it('stays behind its symbolic links, also where they lead to nothing yet', async () => {
    const path = here('link');
    mkdirSync(join(path, '../real'));
    symlinkSync('second', path);
    symlinkSync('real/auth.json', join(path, '../second'));
    for (const registry of ['a.example', 'b.example']) await logIn(path, registry);
    expect(lstatSync(path).isSymbolicLink()).toBe(true);
    expect(Object.keys(contentOf(join(path, '../real/auth.json')).auths)).toEqual(['a.example', 'b.example']);
  });

  it('is closed to others, if they could read it', async () => {
    const path = here();
    writeFileSync(path, '{}');
    chmodSync(path, 0o644);
    await logIn(path, 'r.example');
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it.each(['{"auths":{', '[]', '"x"', '{"auths":[]}', '{"auths":{"r":{"auth":1}}}'])(
    'is refused and left alone when it is damaged: %s',
    async (text) => {
      const path = here();
      writeFileSync(path, text);
      await expect(logIn(path, 'r.example')).rejects.toMatchObject({
        code: 'ERR_REGISTRY_CONFIG',
        message: expect.stringContaining(`${path} is malformed`),
        hint: expect.stringContaining('correct it'),
      });
      expect(readFileSync(path, 'utf8')).toBe(text);
      expect(namesBeside(path)).toEqual(['auth.json']);
    },
  );

  it('is none where it would be a directory or a device, which stay', async () => {
    const directory = temporaryDirectory();
    await expect(logIn(directory, 'r.example')).rejects.toThrow(`${directory} is a directory`);
    await expect(logIn('/dev/null', 'r.example')).rejects.toThrow('/dev/null is no regular file');
    expect(lstatSync('/dev/null').isCharacterDevice()).toBe(true);
    const circle = here('circle');
    symlinkSync('circle', circle);
    await expect(logIn(circle, 'r.example')).rejects.toThrow('leads in circles');
  });

  it('loses nothing of those who change it at the same time', async () => {
    const path = here();
    const registries = Array.from({ length: 30 }, (_, n) => `r${n}.example`);
    await Promise.all(registries.map((registry) => logIn(path, registry)));
    expect(Object.keys(contentOf(path).auths).sort()).toEqual(registries.sort());
    expect(namesBeside(path)).toEqual(['auth.json']);
  });

  it('loses nothing of what a program writes into it meanwhile that knows no lock', async () => {
    const path = here();
    writeFileSync(path, '{"auths":{}}');
    let edits = 0;
    await editAuthFile(path, undefined, (document) => {
      edits++;
      if (edits === 1) writeFileSync(path, '{"auths":{"theirs.example":{"auth":"Yzpk"}}}');
      return withEntry(document, parseRegistryScope('ours.example'), { auth: 'YTpi' });
    });
    expect(edits).toBe(2);
    expect(Object.keys(contentOf(path).auths)).toEqual(['theirs.example', 'ours.example']);
  });

  it('is given up when somebody writes it again and again', async () => {
    const path = here();
    let edits = 0;
    const writing = editAuthFile(path, undefined, (document) => {
      writeFileSync(path, JSON.stringify({ auths: {}, edits: ++edits }));
      return document;
    });
    await expect(writing).rejects.toMatchObject({ code: 'ERR_REGISTRY_CONFIG' });
    expect(contentOf(path)).toEqual({ auths: {}, edits });
    expect(namesBeside(path)).toEqual(['auth.json']);
  });

  it('is not touched, and not made, when there is nothing to change', async () => {
    const path = here();
    await editAuthFile(path, undefined, () => undefined);
    expect(existsSync(path)).toBe(false);
    expect(await readAuthDocument(path)).toEqual({});
  });
});

it('in one process, those who change an auth file wait for each other also where the system has no locks', async () => {
  const path = here();
  const order: number[] = [];
  const syscalls = new NativeFreeSyscalls();
  const work = (number: number) => async () => {
    order.push(number);
    await setImmediate();
    order.push(number);
  };
  await Promise.all([1, 2, 3].map((number) => withAuthFileLock(path, undefined, work(number), { syscalls })));
  expect(order).toEqual([1, 1, 2, 2, 3, 3]);
  expect(namesBeside(path)).toEqual([]);
});

describe('entries', () => {
  const document = (...keys: string[]): AuthDocument => ({
    auths: Object.fromEntries(keys.map((key) => [key, { auth: 'old' }])),
  });
  const keysOf = ({ auths }: AuthDocument) => Object.keys(auths as object);

  it.each([
    [
      'docker.io',
      ['docker.io', 'index.docker.io', 'https://registry-1.docker.io/v2/', 'docker.io/team'],
      ['docker.io/team', 'https://index.docker.io/v1/'],
    ],
    [
      'r.example',
      ['https://r.example/v1/', 'r.example:443', 'r.example/team'],
      ['r.example:443', 'r.example/team', 'r.example'],
    ],
    [
      'r.example/team',
      ['r.example', 'r.example/team', 'r.example/team/app'],
      ['r.example', 'r.example/team/app', 'r.example/team'],
    ],
    [
      'index.docker.io/team',
      ['index.docker.io/team', 'https://index.docker.io/v1/'],
      ['https://index.docker.io/v1/', 'docker.io/team'],
    ],
  ] as const)('of %s take the place of other spellings of it, and of nothing else', (registry, before, after) => {
    const changed = withEntry(document(...before), parseRegistryScope(registry), { auth: 'new' });
    expect(keysOf(changed)).toEqual(after);
  });

  it('are taken away by whichever spelling', () => {
    const scope = parseRegistryScope('docker.io');
    const { document: rest, removed } = withoutEntries(
      document('docker.io', 'a', 'https://index.docker.io/v1/', 'docker.io/b'),
      (key) => isKeyOfScope(key, scope),
    );
    expect([keysOf(rest), removed]).toEqual([
      ['a', 'docker.io/b'],
      ['docker.io', 'https://index.docker.io/v1/'],
    ]);
  });

  it('of a name that objects have anyway are entries like any other', () => {
    const text = '{"auths":{"__proto__":{"auth":"YTpi"}}}';
    const changed = withEntry(JSON.parse(text), parseRegistryScope('r.example'), {});
    expect(JSON.stringify(changed)).toBe('{"auths":{"__proto__":{"auth":"YTpi"},"r.example":{}}}');
  });
});

describe('a registry to log in to', () => {
  it.each([
    ['docker.io', 'docker.io', ''],
    ['index.docker.io', 'docker.io', ''],
    ['registry-1.docker.io', 'docker.io', ''],
    ['https://index.docker.io/v1/', 'docker.io', ''],
    ['docker.io/team', 'docker.io', 'team'],
    ['localhost', 'localhost', ''],
    ['localhost:5000', 'localhost:5000', ''],
    ['[::1]:5000', '[::1]:5000', ''],
    ['https://r.example/v2/', 'r.example', ''],
    ['http://me:pw@r.example:5000', 'r.example:5000', ''],
    ['r.example/team/app', 'r.example', 'team/app'],
  ])('may be written %s', (text, registry, repository) => {
    expect(parseRegistryScope(text)).toEqual({ registry, repository });
  });

  it.each([
    '',
    'registry',
    'team/app',
    'r.example/',
    'r.example/App',
    'r.example/app:v1',
    'r.example/a b',
    'r.example//x',
    'ftp://r.example',
  ])('is not %j', (text) => {
    expect(() => parseRegistryScope(text)).toThrow(expect.objectContaining({ code: 'ERR_BAD_REFERENCE' }));
  });

  it('is told without the password that was written into it', () => {
    expect(() => parseRegistryScope('me:s3cret@r.example/App')).toThrow(
      expect.objectContaining({ message: expect.not.stringContaining('s3cret') }),
    );
  });
});
