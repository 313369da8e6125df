import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type BuildOptions, build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const dist = join(repository, 'dist');
const { dependencies } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8'));

const PROGRAM = `
  import { Provisioner } from 'provisioner';
  const [root, image] = process.argv.slice(2);
  async function main() {
    const provisioner = await Provisioner.open({ root, records: 'memory', allowDegraded: true, lockTimeout: 1000 });
    try {
      await provisioner.images.pull(image, { name: 'app:v1', platform: 'linux/amd64' });
      return { images: (await provisioner.store.info()).images };
    } catch ({ code, message, hint }) {
      return { code, message, hint };
    } finally {
      await provisioner.close();
    }
  }
  main().then((said) => console.log(JSON.stringify(said)));`;
const TAKEN_APART = {
  code: 'ERR_WORKER_DIED',
  message: expect.stringMatching(/^no worker thread can be started: .+/),
  hint: expect.stringMatching(/keep `provisioner` external.*copy worker\*\.js/),
};

let place = '';
beforeAll(() => {
  // Where the bundle finds the packages that it leaves outside; the library's own name leads to this checkout.
  place = mkdtempSync(join(tmpdir(), 'provisioner-bundled-'));
  mkdirSync(join(place, 'node_modules'));
  for (const name of Object.keys(dependencies))
    symlinkSync(join(repository, 'node_modules', name), join(place, 'node_modules', name), 'junction');
  symlinkSync(repository, join(place, 'node_modules/provisioner'), 'junction');
});
afterAll(() => rmSync(place, { recursive: true, force: true }));

let programs = 0;
/** Bundles the program and runs it. @param besides what else is put beside it @returns what it says */
async function bundled(options: BuildOptions, besides: (directory: string) => void = () => {}): Promise<unknown> {
  const directory = join(place, `${programs++}`);
  const outfile = join(directory, options.format === 'cjs' ? 'program.cjs' : 'program.mjs');
  await build({
    stdin: { contents: PROGRAM, resolveDir: place },
    bundle: true,
    platform: 'node',
    external: Object.keys(dependencies),
    outfile,
    logLevel: 'silent',
    ...options,
  });
  besides(directory);
  const image = `oci:${join(repository, 'fixtures/app-v1')}`;
  return JSON.parse(execFileSync(process.execPath, [outfile, join(directory, 'store'), image], { encoding: 'utf8' }));
}

describe('a program that is bundled together with the library', () => {
  it('says what to do where the files of the worker threads stay behind', async () => {
    expect(await bundled({ format: 'esm' })).toEqual(TAKEN_APART);
  });

  it('says the same as a script, whose code does not know where it is', async () => {
    expect(await bundled({ format: 'cjs' })).toEqual(TAKEN_APART);
  });

  it('pulls when those files are put beside it', async () => {
    const besides = (directory: string) => {
      for (const name of readdirSync(dist).filter((file) => /^worker.*\.js$/.test(file)))
        cpSync(join(dist, name), join(directory, name));
    };
    expect(await bundled({ format: 'esm' }, besides)).toEqual({ images: 1 });
  });

  it('pulls when the library is left outside', async () => {
    expect(await bundled({ format: 'esm', packages: 'external' })).toEqual({ images: 1 });
  });
});
