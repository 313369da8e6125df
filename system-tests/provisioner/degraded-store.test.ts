import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Provisioner } from '#src/index.js';
import { APP_V1, APP_V2, newStore } from '../cli/run-cli.js';
import { describeWith } from '../helpers/requirements.js';
import { openStore } from '../helpers/test-store.js';

const repository = fileURLToPath(new URL('../..', import.meta.url));

let place: string;
beforeAll(() => {
  place = mkdtempSync(join(tmpdir(), 'provisioner-degraded-'));
  installWithoutKoffi(place);
});
afterAll(() => rmSync(place, { recursive: true, force: true }));

/** The program as it is where koffi could not be installed, and better-sqlite3 could. */
function installWithoutKoffi(directory: string): void {
  mkdirSync(join(directory, 'node_modules'));
  for (const name of ['package.json', 'dist']) {
    cpSync(join(repository, name), join(directory, name), { recursive: true });
  }
  const { dependencies } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8'));
  for (const name of Object.keys(dependencies).filter((dependency) => dependency !== 'koffi')) {
    symlinkSync(join(repository, 'node_modules', name), join(directory, 'node_modules', name));
  }
}

interface Said {
  readonly status: number | null;
  readonly stdout: string;
  /** The codes of warnings and errors. */
  readonly codes: readonly string[];
}

function cli(program: string, root: string, args: readonly string[]): Said {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args, '--root', root, '--json'], {
    encoding: 'utf8',
    env: { PATH: process.env['PATH'] },
  });
  const lines = stderr.split('\n').filter((line) => line.startsWith('{'));
  const codes = lines.map((line) => JSON.parse(line)).map(({ error, warning }) => (error ?? warning).code);
  return { status, stdout, codes };
}

/** What was asked for, on a store of its own: by the program that lacks koffi, and by the whole one. */
function stores() {
  const { root } = newStore();
  return {
    root,
    lacking: (...args: string[]) => cli(join(place, 'dist/cli/main.js'), root, args),
    whole: (...args: string[]) => cli(join(repository, 'dist/cli/main.js'), root, args),
  };
}

const documentOf = ({ stdout }: Said) => JSON.parse(stdout);

/** The owner of a file that the image gives to uid 1000. */
function ownerOfNotes(root: string): number {
  const layers = readdirSync(join(root, 'layers')).map((name) => join(root, 'layers', name, 'rootfs'));
  const notes = layers.map((layer) => join(layer, 'home/user/notes.txt')).find((path) => existsSync(path));
  return lstatSync(notes as string).uid;
}

describeWith(['root', 'overlay'], 'root on Linux without native system calls', () => {
  test('makes no store, and leaves nothing of one', () => {
    const { root, lacking } = stores();
    for (const args of [
      ['load', '-i', '/dev/null'],
      ['pull', APP_V1],
      ['provision', 'job', APP_V1],
    ]) {
      expect(lacking(...args)).toEqual({ status: 1, stdout: '', codes: ['ERR_NATIVE_MISSING'] });
      expect(existsSync(root)).toBe(false);
    }
  });

  test('makes a degraded one where that is allowed, and is warned whenever it writes layers', () => {
    const { lacking } = stores();
    const first = lacking('pull', APP_V1, '--name', 'app:v1', '--allow-degraded');
    expect(first.status).toBe(0);
    expect(first.codes).toContain('NATIVE_MISSING');
    expect(lacking('pull', APP_V2, '--allow-degraded').codes).toContain('NATIVE_MISSING');
    expect(documentOf(lacking('info'))).toMatchObject({
      format: { whiteouts: 'plain' },
      syscalls: 'native-free',
      degraded: { reason: expect.stringMatching(/koffi/), hint: expect.any(String) },
    });
    // It writes no layers: that it copies is all there is to say.
    expect(lacking('provision', 'job', 'app:v1')).toMatchObject({ status: 0, codes: ['BACKEND_FALLBACK'] });
    expect(lacking('provision', 'job', 'app:v1', '--backend', 'copy')).toMatchObject({ status: 0, codes: [] });
  });

  test('adds no layers to it where that is not allowed, and reads it', () => {
    const { lacking } = stores();
    expect(lacking('pull', APP_V1, '--name', 'app:v1', '--allow-degraded').status).toBe(0);
    expect(lacking('pull', APP_V2)).toMatchObject({ status: 1, stdout: '[]\n', codes: ['ERR_NATIVE_MISSING'] });
    expect(lacking('pull', APP_V1)).toMatchObject({ status: 0, codes: [] });
    expect(documentOf(lacking('images'))).toHaveLength(1);
  });

  test('reads a store that was made with them, and neither adds layers to it nor copies from them', () => {
    const { root, lacking, whole } = stores();
    expect(whole('pull', APP_V1, '--name', 'app:v1').status).toBe(0);
    for (const flags of [[], ['--allow-degraded']]) {
      expect(lacking('pull', APP_V2, ...flags).codes).toEqual(['ERR_NATIVE_MISSING']);
      expect(lacking('provision', 'job', 'app:v1', ...flags).codes).toEqual(['ERR_NATIVE_MISSING']);
    }
    expect(readdirSync(join(root, 'containers'))).toEqual([]);
    expect(documentOf(lacking('images'))).toHaveLength(1);
    expect(documentOf(lacking('info'))).toMatchObject({ format: { whiteouts: 'trusted' }, degraded: null });
    expect(documentOf(lacking('info')).backends.filter(({ usable }: { usable: boolean }) => usable)).toEqual([]);
  });
});

describeWith(['root', 'overlay'], 'a root filesystem that is mounted', () => {
  test('is not destroyed without native system calls, which is told as such, and is with them', () => {
    const { root, lacking, whole } = stores();
    expect(whole('pull', APP_V1, '--name', 'app:v1').status).toBe(0);
    const { rootfs } = documentOf(whole('provision', 'job', 'app:v1', '--backend', 'overlay'));
    expect(lacking('destroy', 'job').codes).toEqual(['ERR_NATIVE_MISSING']);
    expect(readdirSync(join(rootfs, 'opt/data'))).toEqual(['new.txt']);
    expect(whole('destroy', 'job').status).toBe(0);
    expect(readdirSync(join(root, 'containers'))).toEqual([]);
  });
});

describeWith(['root', 'overlay'], 'a degraded store', () => {
  test('is told of by whoever adds layers with native system calls, and by info; one that is not costs no word', () => {
    const { lacking, whole } = stores();
    lacking('pull', APP_V1, '--name', 'app:v1', '--allow-degraded');
    const pulled = whole('pull', APP_V2);
    expect(pulled).toMatchObject({ status: 0, codes: expect.arrayContaining(['STORE_DEGRADED']) });
    expect(whole('images').codes).toEqual([]);
    expect(documentOf(whole('info')).degraded).toEqual({
      reason: expect.stringMatching(/only the copy backend.*devices/),
      hint: expect.stringMatching(/convert/),
    });
    const sound = stores();
    expect(sound.whole('pull', APP_V1).codes).toEqual([]);
    expect(documentOf(sound.whole('info')).degraded).toBeNull();
  });

  test('is told of once: who has heard that it only copies does not hear it again when it does', async () => {
    const { root, lacking } = stores();
    lacking('pull', APP_V1, '--name', 'app:v1', '--allow-degraded');
    const codesOf = async (work: (p: Provisioner) => Promise<unknown>) => {
      const p = await openStore({ root });
      const codes: string[] = [];
      p.events.on('warning', ({ code }) => codes.push(code));
      await work(p);
      for (const id of ['one', 'two']) expect((await p.provision(id, 'app:v1')).backend).toBe('copy');
      for (const id of ['one', 'two']) await p.destroy(id);
      return codes;
    };
    expect(await codesOf((p) => p.images.pull(APP_V2))).toEqual(['STORE_DEGRADED']);
    expect(await codesOf((p) => p.images.list())).toEqual(['BACKEND_FALLBACK']);
  });

  test('is converted by the steps that docs/cli.md tells', () => {
    const { root, lacking, whole } = stores();
    lacking('pull', APP_V1, '--name', 'app:v1', '--allow-degraded');
    lacking('pull', APP_V2, '--name', 'app:v2', '--allow-degraded');
    expect(whole('pin', 'app:v1').status).toBe(0);
    expect(documentOf(whole('provision', 'job', 'app:v1'))).toMatchObject({ backend: 'copy' });
    // That takes no native calls.
    expect(ownerOfNotes(root)).toBe(1000);

    const images = documentOf(whole('images'));
    expect(whole('destroy', 'job').status).toBe(0);
    renameSync(root, `${root}.degraded`);
    for (const { source, names, platform, pinned } of images) {
      for (const name of names) {
        const pulled = whole('pull', source, '--name', name, '--platform', platform);
        expect(pulled).toMatchObject({ status: 0, codes: [] });
        if (pinned) expect(whole('pin', name).status).toBe(0);
      }
    }
    rmSync(`${root}.degraded`, { recursive: true });

    expect(documentOf(whole('info'))).toMatchObject({ degraded: null, format: { whiteouts: 'trusted' } });
    const kept = (list: { names: string[]; pinned: boolean }[]) =>
      list.map(({ names, pinned }) => [names, pinned]).sort();
    expect(kept(documentOf(whole('images')))).toEqual(kept(images));
    expect(ownerOfNotes(root)).toBe(1000);
    expect(documentOf(whole('provision', 'job', 'app:v1'))).toMatchObject({ backend: 'overlay' });
    expect(whole('destroy', 'job').status).toBe(0);
    expect(statSync(root).mode & 0o777).toBe(0o700);
  });
});
