import { execFileSync } from 'node:child_process';
import { cpSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { expect, test } from 'vitest';
import { buildImage, buildLayer } from '../helpers/image-builder.js';
import { layoutOf, temporaryDirectory } from '../helpers/memory-store.js';

const repository = fileURLToPath(new URL('../..', import.meta.url));

/** Another copy of the package, as two dependencies of one program bring it along. @returns the address of its entry */
function anotherCopy(): string {
  const directory = temporaryDirectory();
  for (const name of ['build', 'dist']) cpSync(join(repository, name), join(directory, name), { recursive: true });
  writeFileSync(join(directory, 'package.json'), '{"type":"module"}');
  symlinkSync(join(repository, 'node_modules'), join(directory, 'node_modules'));
  return pathToFileURL(join(directory, 'build/index.js')).href;
}

/** What a process says that has both copies loaded, `ours` and `other`. @param body of a module; `say(value)` says one */
function saidWithTwoCopies(body: string): unknown[] {
  const code = `
    import * as ours from '${pathToFileURL(join(repository, 'build/index.js')).href}';
    import * as other from '${anotherCopy()}';
    const say = (value) => console.log(JSON.stringify(value));
    ${body}`;
  const said = execFileSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' });
  return said
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

test('an error of one copy of the package is recognised and judged by another one, and one that only looks like it is not', () => {
  expect(
    saidWithTwoCopies(`
      const error = new other.ProvisionerError('ERR_NO_SPACE', 'full');
      say(error instanceof ours.ProvisionerError);
      say([ours.isProvisionerError(error), ours.isProvisionerError(error, 'ERR_NO_SPACE'), ours.isProvisionerError(error, 'ERR_IO')]);
      say(ours.isRetryable(error));
      say(other.isProvisionerError(new ours.ProvisionerError('ERR_IO', 'x'), 'ERR_IO'));
      const lookalike = Object.assign(new Error('x'), { name: 'ProvisionerError', code: 'ERR_IO', details: {} });
      say(ours.isProvisionerError(lookalike));`),
  ).toEqual([false, [true, true, false], true, true, false]);
});

test('so is one that comes from a worker thread of the other copy', async () => {
  const layer = buildLayer([{ path: 'etc/' }]);
  const lying = buildImage([{ ...layer, diffId: `sha256:${'0'.repeat(64)}` }]);
  const options = { root: join(temporaryDirectory(), 'store'), records: 'memory', allowDegraded: true };
  expect(
    saidWithTwoCopies(`
      const p = await other.Provisioner.open(${JSON.stringify(options)});
      try {
        await p.images.pull(${JSON.stringify(await layoutOf(lying))});
      } catch (error) {
        say([error instanceof ours.ProvisionerError, error instanceof other.ProvisionerError]);
        say([ours.isProvisionerError(error, 'ERR_DIFF_ID_MISMATCH'), ours.isRetryable(error)]);
      } finally {
        await p.close();
      }`),
  ).toEqual([
    [false, true],
    [true, false],
  ]);
});
