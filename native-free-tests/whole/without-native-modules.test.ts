import { execFile } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const NATIVE = ['koffi', 'better-sqlite3'];

/** Nobody's. */
const ORDINARY = 65534;
const isRoot = process.getuid?.() === 0;

let place: string;
beforeAll(() => {
  place = mkdtempSync(join(tmpdir(), 'provisioner-whole-'));
  chmodSync(place, 0o755);
  installWithoutNativeModules(join(place, 'installed'));
});
afterAll(() => rmSync(place, { recursive: true, force: true }));

/** The program as it is where the native modules could not be installed: no hook pretends anything, they are not there. */
function installWithoutNativeModules(directory: string): void {
  mkdirSync(join(directory, 'node_modules'), { recursive: true });
  for (const name of ['package.json', 'dist', 'fixtures']) {
    cpSync(join(repository, name), join(directory, name), { recursive: true });
  }
  for (const script of ['whole-job.mjs', 'refused-stores.mjs']) {
    cpSync(join(repository, 'native-free-tests/whole', script), join(directory, script));
  }
  const { dependencies } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8'));
  for (const name of Object.keys(dependencies).filter((dependency) => !NATIVE.includes(dependency))) {
    symlinkSync(join(repository, 'node_modules', name), join(directory, 'node_modules', name), 'junction');
  }
}

/** Does the whole job in a child process. @param uid whose it is; default ours */
function wholeJob(uid?: number): Promise<Record<string, unknown>> {
  const home = newHome(uid);
  return runScript('whole-job.mjs', [join(home, 'store'), join(place, 'installed/fixtures')], home, uid);
}

function newHome(uid?: number): string {
  const home = mkdtempSync(join(place, 'home-'));
  if (uid !== undefined) chownSync(home, uid, uid);
  return home;
}

/** @returns what the script said in JSON */
async function runScript(
  script: string,
  args: readonly string[],
  home: string,
  uid?: number,
): Promise<Record<string, unknown>> {
  const { stdout } = await promisify(execFile)(process.execPath, [join(place, 'installed', script), ...args], {
    env: { PATH: process.env['PATH'], HOME: home },
    ...(uid === undefined ? {} : { uid, gid: uid }),
  });
  return JSON.parse(stdout);
}

/** Somebody else can read a file only when everything on the way to it lets them. */
function isReadableByAll(file: string): boolean {
  if ((statSync(file).mode & 0o004) === 0) return false;
  for (let at = dirname(file); ; at = dirname(at)) {
    if ((statSync(at).mode & 0o001) === 0) return false;
    if (at === dirname(at)) return true;
  }
}

const TREE = [
  'app/',
  'app/main.sh',
  'etc/',
  'etc/os-release',
  'etc/passwd',
  'home/',
  'home/user/',
  'home/user/notes.txt',
  'opt/',
  'opt/data/',
  'opt/data/new.txt',
  'tmp/',
  'usr/',
  'usr/bin/',
  'usr/bin/alias -> tool',
  'usr/bin/elevate',
  'usr/bin/tool',
  'usr/bin/tool-again',
  'usr/share/',
  'usr/share/exact.txt',
  'var/',
  'var/cache/',
];

const EXPECTED = {
  attempts: ['ERR_MODULE_NOT_FOUND', 'ERR_MODULE_NOT_FOUND'],
  syscalls: 'native-free',
  chosen: 'copy',
  // Two images of four layers share three.
  phases: ['done', 'done', 'done', 'done', 'done', 'stored', 'stored', 'stored'],
  backends: ['copy', 'copy'],
  tree: TREE,
  programs: ['#!/bin/sh\necho app v1\n', '#!/bin/sh\necho app v2\n'],
  sameInode: true,
  shared: false,
  cmd: ['/app/main.sh'],
  destroyed: [true, true, false],
  containers: [],
  left: [],
};

describe('with no native module installed', () => {
  it('a process of this user pulls, provisions, shows the merged tree, destroys, and leaves nothing', async () => {
    expect(await wholeJob()).toEqual({ ...EXPECTED, uid: process.getuid?.() });
  });

  it('a store that needs them is refused, naming what is missing, and leaves nothing', async () => {
    const home = newHome();
    const refused = (module: string) => ({ ended: 'ERR_NATIVE_MISSING', module, left: false });
    const bringsSqlite = process.getBuiltinModule('node:sqlite') !== undefined;
    const suffers = isRoot && process.platform === 'linux';
    const layers = suffers ? refused('koffi') : { ended: 'opened' };
    expect(await runScript('refused-stores.mjs', [home], home)).toEqual({
      records: bringsSqlite ? [layers, { ended: 'opened' }] : [refused('better-sqlite3'), refused('better-sqlite3')],
      layers,
    });
  });

  const reason = !isRoot
    ? ' (skipped: that is the one above)'
    : isReadableByAll(join(repository, 'node_modules/tar/package.json'))
      ? ''
      : ' (skipped: ordinary users cannot read this checkout)';
  it.skipIf(reason !== '')(`a process of an ordinary user does the same${reason}`, async () => {
    expect(await wholeJob(ORDINARY)).toEqual({ ...EXPECTED, uid: ORDINARY });
  });
});
