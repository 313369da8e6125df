import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { Provisioner } from '#src/index.js';
import { APP_V1, madeStore, newStore, pulledStore } from '../cli/run-cli.js';
import { describeWith } from '../helpers/requirements.js';
import { temporaryDirectory } from '../helpers/test-store.js';

/** Every command that needs something to be stored already. */
const LOOKING = [
  ['images'],
  ['images', '--pulling'],
  ['inspect', 'app'],
  ['ps'],
  ['why', 'app'],
  ['df'],
  ['check'],
  ['check', '--repair'],
  ['info'],
  ['tag', 'app', 'other'],
  ['rmi', 'app'],
  ['pin', 'app'],
  ['unpin', 'app'],
  ['destroy', 'job'],
  ['prune'],
  ['prune', '--dry-run'],
  ['recover'],
];

function codeOf(stderr: string): string {
  return (JSON.parse(stderr.trimEnd().split('\n').at(-1) ?? '') as { error: { code: string } }).error.code;
}

describeWith(['root'], 'a store that is not there', () => {
  it.each(LOOKING.map((args) => [args.join(' '), args] as const))(
    'is not made by %s, which says so',
    async (_, args) => {
      const home = temporaryDirectory();
      const { run } = newStore();
      const missing = await run([...args, '--json', '--root', join(home, 'typo/deep')]);
      expect({ status: missing.status, stdout: missing.stdout, code: codeOf(missing.stderr) }).toEqual({
        status: 1,
        stdout: '',
        code: 'ERR_STORE_NOT_FOUND',
      });
      expect(readdirSync(home)).toEqual([]);
    },
  );

  it('is not made inside of another one, whose prune would take it away', async () => {
    const { run, lines, root } = await pulledStore(APP_V1, '--name', 'app:v1');
    for (const place of ['gc', 'staging', 'containers', 'alive', 'gc/deeper/still']) {
      const { status, stderr } = await run(['pull', APP_V1, '--json', '--root', join(root, place)]);
      expect({ place, status, code: codeOf(stderr) }).toEqual({ place, status: 1, code: 'ERR_STORE_NOT_FOUND' });
      expect(stderr).toContain('inside of the store');
    }
    expect(await lines('check', '--full')).toEqual([expect.stringContaining('no damage')]);
    // Beside its own things there may be another one.
    await lines('pull', APP_V1, '--root', join(root, 'beside'));
  });

  it('is not what has lost its format: how its layers say that a file is gone is not found out anew', async () => {
    const { run, lines, root } = await pulledStore(APP_V1, '--name', 'app:v1');
    const format = readFileSync(join(root, 'format'));
    rmSync(join(root, 'format'));
    for (const args of [['images'], ['pull', APP_V1], ['provision', 'job', 'app:v1'], ['recover'], ['check']]) {
      const { status, stderr } = await run([...args, '--json']);
      expect({ args, status, code: codeOf(stderr) }).toEqual({ args, status: 1, code: 'ERR_STORE_DAMAGED' });
    }
    expect(existsSync(join(root, 'format'))).toBe(false);
    writeFileSync(join(root, 'format'), format, { mode: 0o600 });
    expect(await lines('check', '--full')).toEqual([expect.stringContaining('no damage')]);
  });

  it.each(['metadata.sqlite', 'generation', 'lock'])(
    'is told from others by its %s, which a damaged one has',
    async (trace) => {
      const { run } = newStore();
      const root = join(temporaryDirectory(), 'root');
      mkdirSync(join(root, 'containers/job'), { recursive: true, mode: 0o700 });
      writeFileSync(join(root, trace), '', { mode: 0o600 });
      for (const args of [['ps'], ['pull', APP_V1]]) {
        const { status, stderr } = await run([...args, '--json', '--root', root]);
        expect({ args, status, code: codeOf(stderr) }).toEqual({ args, status: 1, code: 'ERR_STORE_DAMAGED' });
      }
    },
  );

  it.each(['layers', 'containers', 'staging', 'gc', 'parked', 'launches'])(
    'is not the directory of others that has something in %s, nor is made there whatever is allowed, and all stays as it is',
    async (place) => {
      const { run } = newStore();
      for (const others of [[], ['passwd']]) {
        const root = join(temporaryDirectory(), 'etc');
        mkdirSync(join(root, place, 'registries.d'), { recursive: true, mode: 0o700 });
        for (const name of others) writeFileSync(join(root, name), '');
        for (const args of [['ps'], ['recover'], ['pull', APP_V1], ['pull', APP_V1, '--allow-other-files']]) {
          const { status, stderr } = await run([...args, '--json', '--root', root]);
          expect({ args, status, code: codeOf(stderr) }).toEqual({ args, status: 1, code: 'ERR_STORE_NOT_FOUND' });
          expect(stderr).toContain(`something in ${join(root, place)}`);
          expect(stderr).not.toMatch(/backup|move what/);
        }
        expect(readdirSync(root).sort()).toEqual([place, ...others].sort());
        expect(readdirSync(join(root, place))).toEqual(['registries.d']);
      }
    },
  );

  it.each(['layers', 'containers', 'staging', 'gc'])(
    'is made where one who died has left in %s what he tried to rename, and nobody takes that for something that was lost',
    async (place) => {
      const { lines, json, root } = newStore();
      mkdirSync(join(root, place, '.rename'), { recursive: true, mode: 0o700 });
      await lines('pull', APP_V1);
      expect(await json('recover')).toMatchObject({ recordsGap: null, foreign: [], untrusted: [] });
      expect(readdirSync(join(root, place))).not.toContain('.rename');
    },
  );

  it('is told in one line with what to do', async () => {
    const { run, root } = newStore();
    const { stderr } = await run(['ps']);
    expect(stderr).toBe(
      `provisioner: there is no store at ${root}\nhint: check --root and PROVISIONER_ROOT; a store is made by \`pull\`, \`load\` and \`provision\`\n`,
    );
  });

  it('is not made of a directory either, be it empty, new, full, or the beginning of one, nor through a symlink', async () => {
    const home = temporaryDirectory();
    const { run } = newStore();
    const contents = { empty: [], new: ['lost+found'], full: ['notes.txt'], begun: ['lock', 'staging'] };
    for (const [name, files] of Object.entries(contents)) {
      mkdirSync(join(home, name));
      for (const file of files) writeFileSync(join(home, name, file), '');
      const { status, stderr } = await run(['ps', '--json', '--root', join(home, name)]);
      expect([name, status, codeOf(stderr)]).toEqual([name, 1, 'ERR_STORE_NOT_FOUND']);
      expect(readdirSync(join(home, name)).sort()).toEqual([...files].sort());
    }
    symlinkSync('nowhere', join(home, 'link'));
    expect((await run(['ps', '--root', join(home, 'link')])).status).toBe(1);
    expect(existsSync(join(home, 'nowhere'))).toBe(false);
  });

  it('is made by what puts something into one: where nothing is, in an empty directory and in a new file system', async () => {
    const { run } = newStore();
    const home = temporaryDirectory();
    mkdirSync(join(home, 'empty'));
    mkdirSync(join(home, 'new/lost+found'), { recursive: true });
    for (const name of ['deep/er', 'empty', 'new']) {
      const root = join(home, name);
      expect(await run(['pull', '--quiet', APP_V1, '--root', root])).toMatchObject({ status: 0, stderr: '' });
      expect((await run(['ps', '--root', root])).status).toBe(0);
    }
  });

  it('is not made among other files, unless that is asked for, and these stay', async () => {
    const { run } = newStore();
    const root = temporaryDirectory();
    writeFileSync(join(root, 'notes.txt'), 'mine');
    for (const args of [
      ['pull', APP_V1],
      ['provision', 'job', APP_V1],
      ['load', '-i', '/dev/null'],
    ]) {
      const { status, stderr } = await run([...args, '--json', '--root', root]);
      expect([status, codeOf(stderr)]).toEqual([1, 'ERR_STORE_NOT_FOUND']);
      expect(stderr).toMatch(/notes\.txt.*--allow-other-files/);
      expect(readdirSync(root)).toEqual(['notes.txt']);
    }
    expect((await run(['pull', APP_V1, '--root', root, '--allow-other-files'])).status).toBe(0);
    // From then on it is a store.
    expect((await run(['images', '--root', root])).status).toBe(0);
    expect(readdirSync(root)).toContain('notes.txt');
  });

  it('is made by the library unless it is told not to', async () => {
    const home = temporaryDirectory();
    const root = join(home, 'store');
    await expect(Provisioner.open({ root, create: false })).rejects.toMatchObject({ code: 'ERR_STORE_NOT_FOUND' });
    expect(readdirSync(home)).toEqual([]);
    await (await Provisioner.open({ root })).close();
    await (await Provisioner.open({ root, create: false })).close();
    writeFileSync(join(home, 'other'), '');
    await expect(Provisioner.open({ root: home })).rejects.toMatchObject({ code: 'ERR_STORE_NOT_FOUND' });
    expect(readdirSync(home).sort()).toEqual(['other', 'store']);
    await (await Provisioner.open({ root: home, allowOtherFiles: true })).close();
  });

  it('has other files in it later without ceasing to be one', async () => {
    const { run, root } = await madeStore();
    writeFileSync(join(root, 'notes.txt'), '');
    expect((await run(['ps'])).status).toBe(0);
    expect((await run(['pull', APP_V1])).status).toBe(0);
  });
});
