import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../helpers/test-store.js';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const modules = join(repository, 'node_modules');

interface Installation {
  /** Default: a copy of its own, as npm makes one when two dependencies want different releases. */
  readonly betterSqlite3?: 'none';
}

/** This package with its dependencies, as another package brings it along. @returns the address of its entry */
function install({ betterSqlite3 }: Installation = {}): string {
  const directory = temporaryDirectory();
  cpSync(join(repository, 'dist'), join(directory, 'dist'), { recursive: true });
  cpSync(join(repository, 'package.json'), join(directory, 'package.json'));
  mkdirSync(join(directory, 'node_modules'));
  for (const name of readdirSync(modules)) {
    const to = join(directory, 'node_modules', name);
    if (name !== 'better-sqlite3') symlinkSync(join(modules, name), to);
    else if (betterSqlite3 !== 'none') {
      for (const part of ['package.json', 'lib', 'build/Release/better_sqlite3.node'])
        cpSync(join(modules, name, part), join(to, part), { recursive: true });
    }
  }
  return pathToFileURL(join(directory, 'dist/index.js')).href;
}

/** What a process says in which `first` has a store open while `second` opens and closes it. */
function saidBy(first: string, second: string): { sqlite: unknown[]; locks: unknown[] } {
  const code = `
    import { readFileSync, statSync } from 'node:fs';
    const [first, second, root] = process.argv.slice(1);
    const locks = () => {
      const ours = new Set(['', '-shm'].map((end) => statSync(root + '/metadata.sqlite' + end).ino));
      return readFileSync('/proc/locks', 'utf8').split('\\n').map((line) => line.trim().split(/\\s+/))
        .filter(([, kind, , , pid, place]) => kind === 'POSIX' && Number(pid) === process.pid && ours.has(Number(place.split(':')[2])))
        .map(([, , , mode, , , from, to]) => [mode, from, to].join(' ')).sort();
    };
    const a = await (await import(first)).Provisioner.open({ root });
    const before = locks();
    const b = await (await import(second)).Provisioner.open({ root });
    const sqlite = [(await a.store.info()).sqlite, (await b.store.info()).sqlite];
    await b.close();
    const after = locks();
    console.log(JSON.stringify({ sqlite, locks: [before, after] }));
    await a.close();`;
  const args = ['--input-type=module', '-e', code, first, second, join(temporaryDirectory(), 'store')];
  return JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' }));
}

describe('two installations of the package in one process, on one store, use one copy of SQLite, so that what one closes leaves the locks of the other', () => {
  function expectOneCopy(first: Installation, second: Installation, sqlite: string): void {
    const said = saidBy(install(first), install(second));
    expect(said.sqlite).toEqual([sqlite, sqlite]);
    expect(said.locks[0]).not.toEqual([]);
    expect(said.locks[1]).toEqual(said.locks[0]);
  }

  it('where each has a better-sqlite3 of its own', () => expectOneCopy({}, {}, 'better-sqlite3'));

  it('where the first alone has better-sqlite3', () => expectOneCopy({}, { betterSqlite3: 'none' }, 'better-sqlite3'));

  // Node.js 20 brings no SQLite: the first cannot open anything there.
  if (process.getBuiltinModule('node:sqlite') !== undefined)
    it('where the second alone has better-sqlite3', () => expectOneCopy({ betterSqlite3: 'none' }, {}, 'node:sqlite'));
});
