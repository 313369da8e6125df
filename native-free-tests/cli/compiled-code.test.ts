import {
  chmodSync,
  chownSync,
  existsSync,
  lchownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CompiledCode, codeCacheDirectory } from '#src/cli/start/compiled-code.js';

let place: string;
let files: string;
let cache: string;
beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), 'compiled-code-'));
  files = join(place, 'dist');
  cache = join(place, 'cache');
  mkdirSync(files);
});
afterEach(() => rmSync(place, { recursive: true, force: true }));

const TIME = new Date('1985-10-26T08:15:00Z');

/** As packages have them: with the same time whatever is in them. @returns its path */
function putModule(name: string, code: string, length = 40_000): string {
  const path = join(files, name);
  writeFileSync(path, `${code}\n//${'-'.repeat(length)}`.slice(0, length));
  utimesSync(path, TIME, TIME);
  return path;
}

/** What a process that begins with `first` gets, and keeps. */
function run(first: string): unknown {
  const code = new CompiledCode(files, cache);
  const exported = code.load(first);
  code.keep();
  return exported;
}

/** The directory of what was compiled of `files`. */
function kept(): string {
  const [own = ''] = readdirSync(cache);
  return join(cache, own);
}

/** The cache moved there, and a link in its place. */
function makeLink(elsewhere: string): string {
  renameSync(cache, elsewhere);
  symlinkSync(elsewhere, cache);
  return cache;
}

/** The directory in which the cache lies becomes such a one. */
function moveInto(elsewhere: string, mode: number, owner: number): void {
  mkdirSync(elsewhere);
  renameSync(cache, join(elsewhere, 'cache'));
  cache = join(elsewhere, 'cache');
  chmodSync(elsewhere, mode);
  chownSync(elsewhere, owner, owner);
}

const inodeOf = (name: string) => statSync(join(kept(), name)).ino;

describe('what V8 has compiled of the command line', () => {
  it('is kept for whoever runs it next, readable for nobody else, and not written again', () => {
    putModule('first.cjs', 'exports.value = (() => 42)();');
    expect(run('first.cjs')).toEqual({ value: 42 });
    expect(readdirSync(kept())).toEqual(['first.cjs']);
    expect([kept(), dirname(kept())].map((path) => statSync(path).mode & 0o777)).toEqual([0o700, 0o700]);
    expect(statSync(join(kept(), 'first.cjs')).mode & 0o777).toBe(0o600);
    const before = inodeOf('first.cjs');
    expect(run('first.cjs')).toEqual({ value: 42 });
    expect(inodeOf('first.cjs')).toBe(before);
  });

  it('grows by the functions of each command that is run for the first time', () => {
    putModule('first.cjs', "exports.load = (name) => require('./' + name + '.cjs');");
    for (const name of ['one', 'two']) putModule(`${name}.cjs`, `module.exports = '${name}';`, 100);
    const runWith = (name: string) => {
      const code = new CompiledCode(files, cache);
      const { load } = code.load('first.cjs') as { load: (name: string) => unknown };
      expect(load(name)).toBe(name);
      code.keep();
      return inodeOf('first.cjs');
    };
    const one = runWith('one');
    expect(runWith('one')).toBe(one);
    const both = runWith('two');
    expect(both).not.toBe(one);
    expect([runWith('one'), runWith('two')]).toEqual([both, both]);
    expect(readdirSync(kept())).toEqual(['first.cjs']);
  });

  it('is never that of another file of the same name, length and time', () => {
    putModule('first.cjs', 'exports.value = (() => 1)();');
    expect(run('first.cjs')).toEqual({ value: 1 });
    putModule('first.cjs', 'exports.value = (() => 2)();');
    expect(run('first.cjs')).toEqual({ value: 2 });
    expect(run('first.cjs')).toEqual({ value: 2 });
  });

  it.each<[string, (path: string) => void]>([
    ['cut', (path) => writeFileSync(path, readFileSync(path).subarray(0, -100))],
    ['empty', (path) => writeFileSync(path, '')],
    ['of zeros', (path) => writeFileSync(path, Buffer.alloc(5000))],
    [
      'damaged',
      (path) => {
        const bytes = readFileSync(path);
        writeFileSync(path, bytes.fill(0xff, bytes.length - 400, bytes.length - 300));
      },
    ],
    [
      'a directory',
      (path) => {
        rmSync(path);
        mkdirSync(path);
      },
    ],
    [
      'a link',
      (path) => {
        renameSync(path, join(place, 'elsewhere'));
        symlinkSync(join(place, 'elsewhere'), path);
      },
    ],
    ['to be written by others', (path) => chmodSync(path, 0o622)],
  ])('is compiled again where it is %s', (_, spoil) => {
    putModule('first.cjs', 'exports.value = (() => 42)();');
    run('first.cjs');
    const path = join(kept(), 'first.cjs');
    spoil(path);
    const spoilt = statSync(path).ino;
    expect(run('first.cjs')).toEqual({ value: 42 });
    if (!statSync(path).isDirectory()) expect(statSync(path).ino).not.toBe(spoilt);
  });

  it('is neither read nor written where others may write', () => {
    putModule('first.cjs', 'exports.value = (() => 42)();');
    run('first.cjs');
    const before = inodeOf('first.cjs');
    chmodSync(kept(), 0o777);
    putModule('first.cjs', 'exports.value = (() => 43)();');
    expect(run('first.cjs')).toEqual({ value: 43 });
    expect(inodeOf('first.cjs')).toBe(before);
  });

  it.runIf(process.geteuid?.() === 0).each<[string, (elsewhere: string) => void]>([
    ['a link of somebody else leads to it', (elsewhere) => lchownSync(makeLink(elsewhere), 4002, 4002)],
    ['it lies in somebody else’s directory', (elsewhere) => moveInto(elsewhere, 0o755, 4002)],
    ['it lies where others may write', (elsewhere) => moveInto(elsewhere, 0o777, 0)],
  ])('is not read, nor is anything made or removed there, where %s', (_, arrange) => {
    putModule('first.cjs', 'exports.value = (() => 42)();');
    run('first.cjs');
    writeFileSync(join(kept(), 'other'), '');
    const own = readdirSync(cache)[0] ?? '';
    const elsewhere = join(place, 'elsewhere');
    arrange(elsewhere);
    const before = readdirSync(join(cache, own), { withFileTypes: true }).map(({ name }) => name);
    putModule('first.cjs', 'exports.value = (() => 43)();');
    expect(run('first.cjs')).toEqual({ value: 43 });
    expect(readdirSync(join(cache, own))).toEqual(before);
  });

  it('is kept where a link of root’s or the user’s own leads to, and above in a sticky directory', () => {
    putModule('first.cjs', 'exports.value = (() => 42)();');
    mkdirSync(join(place, 'elsewhere'), { mode: 0o700 });
    symlinkSync(join(place, 'elsewhere'), cache);
    run('first.cjs');
    expect(readdirSync(kept())).toEqual(['first.cjs']);
    expect(realpathSync(kept()).startsWith(realpathSync(join(place, 'elsewhere')))).toBe(true);
  });

  it('makes no directory above those of its own, and none where it cannot', () => {
    putModule('first.cjs', 'exports.value = (() => 42)();');
    for (const path of ['/proc/self', '/proc/none', join(place, 'a/b/c/d'), join(place, 'dist/first.cjs')]) {
      const code = new CompiledCode(files, path);
      expect(code.load('first.cjs')).toEqual({ value: 42 });
      code.keep();
    }
    expect(readdirSync(place)).toEqual(['dist']);
  });

  it('is let be when it cannot be written, and leaves no draft', () => {
    putModule('first.cjs', 'exports.value = (() => 42)();');
    run('first.cjs');
    rmSync(join(kept(), 'first.cjs'));
    mkdirSync(join(kept(), 'first.cjs'));
    for (let times = 0; times < 3; times++) run('first.cjs');
    expect(readdirSync(kept())).toEqual(['first.cjs']);
  });

  it('forgets a module that threw', () => {
    putModule('first.cjs', "exports.half = 1; throw new Error('no');");
    const code = new CompiledCode(files, cache);
    for (let times = 0; times < 2; times++) expect(() => code.load('first.cjs')).toThrow('no');
  });

  it('takes the place of what was there of another release, and of what a killed process has left', () => {
    putModule('first.cjs', "exports.value = require('./second.cjs');");
    putModule('second.cjs', "module.exports = 'old';");
    run('first.cjs');
    writeFileSync(join(kept(), 'first.cjs.1.draft'), '');
    rmSync(join(files, 'second.cjs'));
    putModule('first.cjs', "exports.value = require('./third.cjs');");
    putModule('third.cjs', "module.exports = 'new';");
    expect(run('first.cjs')).toEqual({ value: 'new' });
    expect(readdirSync(kept()).toSorted()).toEqual(['first.cjs', 'third.cjs']);
  });

  it('is not needed: where nothing can be kept, all is compiled', () => {
    putModule('first.cjs', 'exports.value = (() => 42)();');
    writeFileSync(cache, 'a file');
    expect(run('first.cjs')).toEqual({ value: 42 });
    expect(new CompiledCode(files, undefined).load('first.cjs')).toEqual({ value: 42 });
  });

  it('is of modules that may require one another, packages, and themselves in a circle', async () => {
    putModule(
      'first.cjs',
      "exports.name = 'first'; exports.second = require('./second.cjs'); exports.path = require('node:path');" +
        "exports.later = () => importModule('node:path'); exports.here = [__filename, __dirname, module.exports === exports];",
    );
    putModule('second.cjs', "exports.seen = require('./first.cjs').name;");
    run('first.cjs');
    const exported = run('first.cjs') as { later: () => Promise<object> };
    expect(await exported.later()).toMatchObject({ join });
    expect(exported).toMatchObject({
      second: { seen: 'first' },
      path: { join },
      here: [join(files, 'first.cjs'), files, true],
    });
    expect(existsSync(join(kept(), 'second.cjs'))).toBe(true);
  });
});

describe('where it is kept', () => {
  it('is in the caches of the user, and in those of the machine for root, whoever’s home he is in', () => {
    expect(codeCacheDirectory({ HOME: '/home/u' }, 1000)).toBe('/home/u/.cache/provisioner');
    expect(codeCacheDirectory({ HOME: '/home/u', XDG_CACHE_HOME: '/c' }, 1000)).toBe('/c/provisioner');
    expect(codeCacheDirectory({ HOME: '/home/u', XDG_CACHE_HOME: 'c' }, 1000)).toBe('/home/u/.cache/provisioner');
    expect(codeCacheDirectory({ HOME: '/home/u', XDG_CACHE_HOME: '/c' }, 0)).toBe('/var/cache/provisioner');
  });

  it('is named by PROVISIONER_CODE_CACHE, or nowhere when that is off, relative, or there are no users', () => {
    expect(codeCacheDirectory({ PROVISIONER_CODE_CACHE: '/d' }, 0)).toBe('/d');
    expect(codeCacheDirectory({ PROVISIONER_CODE_CACHE: 'off' }, 0)).toBeUndefined();
    expect(codeCacheDirectory({ PROVISIONER_CODE_CACHE: 'd' }, 0)).toBeUndefined();
    expect(codeCacheDirectory({ HOME: '/home/u' }, undefined)).toBeUndefined();
    expect(codeCacheDirectory({ HOME: 'relative' }, 1000)).toBeUndefined();
  });
});
