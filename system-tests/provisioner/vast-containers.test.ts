import { execFile } from 'node:child_process';
import { closeSync, existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { Provisioner } from '#src/index.js';
import { loadSyscalls } from '#src/system/syscalls/load-syscalls.js';
import { loadTreeCalls } from '#src/system/syscalls/load-tree-calls.js';
import { buildImage, buildLayer } from '../../native-free-tests/helpers/image-builder.js';
import { WHOLE_RANGE } from '../../native-free-tests/helpers/whole-range.js';
import { describeWith } from '../helpers/requirements.js';
import { pullImages, temporaryDirectory } from '../helpers/test-store.js';

const PROGRAM = fileURLToPath(new URL('./operate-once.mjs', import.meta.url));
const MIB = 2 ** 20;
/** `PROVISIONER_TEST_VAST=1` makes them as large as they can well be, which takes some minutes. */
const SHARE = Number(process.env['PROVISIONER_TEST_VAST'] ?? (WHOLE_RANGE ? 1 : 0.4));
/** Of those whose names are long: 80 000 of them, listed whole, take twice the bound. */
const NAMED = SHARE < 1 ? SHARE / 2 : SHARE;
/** Above what an idle provisioner takes. */
const MOST = Math.max(26, 64 * SHARE) * MIB;
const LONG = 'n'.repeat(200);

const calls = loadTreeCalls(loadSyscalls());

/** What a container may leave behind: each of these took more memory than the bound when directories were listed whole. */
const trees: Record<string, (path: string) => void> = {
  'very many files in one directory': (path) => {
    const directory = calls.openDirectory(path);
    for (let index = 0; index < 400_000 * NAMED; index++) closeSync(directory.createFile(`${index}${LONG}`, 0o600));
    directory.close();
  },
  'very many directories in one directory': (path) => {
    const directory = calls.openDirectory(path);
    for (let index = 0; index < 250_000 * NAMED; index++) directory.makeDirectory(`${index}${LONG}`);
    directory.close();
  },
  'very many files with two names': (path) => {
    const directory = calls.openDirectory(path);
    for (let index = 0; index < 400_000 * SHARE; index++) {
      closeSync(directory.createFile(`a${index}`, 0o600));
      directory.makeHardLink(directory, `a${index}`, `b${index}`);
    }
    directory.close();
  },
  'very many directories within each other': (path) => {
    let deepest = calls.openDirectory(path);
    for (let depth = 0; depth < 100_000 * SHARE; depth++) {
      deepest.makeDirectory(LONG);
      if (depth % 10 === 0) closeSync(deepest.createFile('file', 0o600));
      const next = deepest.openDirectory(LONG);
      deepest.close();
      deepest = next;
    }
    deepest.close();
  },
};

async function operate(...args: string[]): Promise<{ grown: number; result: unknown }> {
  const argv = ['--max-old-space-size=64', PROGRAM, ...args];
  const { stdout } = await promisify(execFile)(process.execPath, argv);
  return JSON.parse(stdout) as { grown: number; result: unknown };
}

describeWith(['root'], 'a container that has', () => {
  test.each(Object.keys(trees))(
    '%s is measured, destroyed and swept in little memory',
    async (name) => {
      const root = join(temporaryDirectory(), 'store');
      const provisioner = await Provisioner.open({ root });
      try {
        await pullImages(provisioner, { app: buildImage([buildLayer([{ path: 'f' }])]) });
        const { rootfs } = await provisioner.provision('vast', 'app', { backend: 'copy' });
        trees[name]?.(rootfs);
      } finally {
        await provisioner.close();
      }
      expect((await operate(root, 'df')).grown).toBeLessThan(MOST);
      expect(await operate(root, 'destroy', 'vast')).toMatchObject({ result: true });
      expect(readdirSync(join(root, 'gc'))).not.toEqual([]);
      expect((await operate(root, 'df')).grown).toBeLessThan(MOST);
      expect((await operate(root, 'recover')).grown).toBeLessThan(MOST);
      expect(readdirSync(join(root, 'gc'))).toEqual([]);
      expect(existsSync(join(root, 'containers', 'vast'))).toBe(false);
    },
    600_000,
  );
});
