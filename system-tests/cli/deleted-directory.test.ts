import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { describeWith } from '../helpers/requirements.js';
import { temporaryDirectory } from '../helpers/test-store.js';
import { APP_V1 } from './run-cli.js';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const LIBRARY = new URL('../../dist/index.js', import.meta.url).href;

/** Runs Node in a directory that is deleted before it starts, as that of a CI job may be. */
function inDeletedDirectory(home: string, args: readonly string[]) {
  const gone = join(home, 'gone');
  mkdirSync(gone);
  const command = ['-c', 'cd "$1" && rmdir "$1" && shift && exec "$@"', 'sh', gone, process.execPath, ...args];
  const { status, stdout, stderr } = spawnSync('sh', command, { encoding: 'utf8', timeout: 60_000 });
  return { status, stdout, stderr };
}

describeWith(['root', 'overlay'], 'a command whose working directory has been deleted', () => {
  it('does what it does elsewhere, with absolute paths', () => {
    const home = temporaryDirectory();
    const root = join(home, 'store');
    for (const args of [
      ['pull', APP_V1, '--name', 'app:v1'],
      ['provision', 'job-1', 'app:v1', '--backend', 'copy'],
      ['check', '--full'],
      ['df'],
      ['destroy', 'job-1'],
      ['prune'],
    ]) {
      expect(inDeletedDirectory(home, [MAIN, '--quiet', '--root', root, ...args])).toMatchObject({
        status: 0,
        stderr: '',
      });
    }
    expect(readdirSync(join(root, 'layers'))).toEqual([]);
  });

  it('refuses relative paths in words of their own, and makes nothing of them anywhere', () => {
    const home = temporaryDirectory();
    const root = join(home, 'store');
    for (const args of [
      ['pull', APP_V1, '--root', 'store-of-nowhere'],
      ['pull', 'oci:layout-of-nowhere', '--root', root],
      ['pull', APP_V1, 'oci:layout-of-nowhere', '--root', root],
      ['load', '-i', 'archive-of-nowhere', '--root', root],
    ]) {
      const { status, stderr } = inDeletedDirectory(home, [MAIN, '--json', ...args]);
      const { error } = JSON.parse(stderr.trimEnd()) as { error: { code: string; message: string } };
      expect({ status, ...error }).toMatchObject({ status: 1, code: 'ERR_BAD_OPTION' });
      expect(error.message).toMatch(/-of-nowhere is a relative path, and the working directory has been deleted/);
    }
    for (const place of ['/', home]) expect(existsSync(join(place, 'store-of-nowhere'))).toBe(false);
  });

  it('is no other place for a program that embeds the library: what it writes by relative paths turns up nowhere', () => {
    const home = temporaryDirectory();
    const code = `
      import { readdirSync, writeFileSync } from 'node:fs';
      import { Provisioner } from '${LIBRARY}';
      const p = await Provisioner.open({ root: '${join(home, 'store')}' });
      await p.images.pull('${APP_V1}');
      let written;
      try { writeFileSync('written', ''); } catch (error) { written = error.code; }
      const another = await Provisioner.open({ root: 'other' }).catch((error) => error.code);
      await p.close();
      console.log(JSON.stringify({ written, another }));`;
    // From a file: Node itself cannot do with code on the command line there.
    const program = join(temporaryDirectory(), 'program.mjs');
    writeFileSync(program, code);
    const { status, stdout, stderr } = inDeletedDirectory(home, [program]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(JSON.parse(stdout)).toEqual({ written: 'ENOENT', another: 'ERR_BAD_OPTION' });
    expect(readdirSync(home)).toEqual(['store']);
  });
});
