import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { beforeAll, expect, it } from 'vitest';
import { buildImage, buildLayer, type Image, writeOciLayout } from '../../native-free-tests/helpers/image-builder.js';
import { describeWith } from '../helpers/requirements.js';
import { temporaryDirectory } from '../helpers/test-store.js';
import { APP_V1, madeStore, newStore } from './run-cli.js';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

/** Fails unless an interrupted command has left nothing in the store. */
function expectEmptyStore(root: string): void {
  for (const directory of ['staging', 'layers', 'gc', 'containers']) {
    expect([directory, readdirSync(join(root, directory))]).toEqual([directory, []]);
  }
}

describeWith(['root'], 'an interrupted command', () => {
  /** Unpacks for longer than a signal takes to arrive. */
  let slow: Image;
  beforeAll(() => {
    const files = Array.from({ length: 60_000 }, (_, index) => ({ path: `file-${index}`, content: 'x' }));
    slow = buildImage([buildLayer(files), buildLayer(files.slice(0, 30_000))]);
  });

  async function slowSource(): Promise<string> {
    const layout = join(temporaryDirectory(), 'layout');
    await writeOciLayout(layout, [{ image: slow, refName: 'slow:v1' }]);
    return `oci:${layout}`;
  }

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('ends on %s with status %d and leaves nothing of the pull', async (signal, status) => {
    const { start, root, json } = newStore();
    const pull = start(['pull', await slowSource()]);
    await pull.says('unpacking');
    pull.process.kill(signal);
    const outcome = await pull.done;
    expect(outcome).toMatchObject({ status, stdout: '' });
    expect(outcome.stderr.trimEnd().split('\n').at(-1)).toBe(`provisioner: cancelled by ${signal}`);
    expectEmptyStore(root);
    expect(await json('images')).toEqual([]);
    // Nothing is left that would be in the way of the next one.
    expect((await start(['pull', APP_V1, '--quiet']).done).status).toBe(0);
  });

  it('does not begin with the next source, and says what it had finished', async () => {
    const { start, json } = newStore();
    const pull = start(['pull', APP_V1, await slowSource(), 'oci:/nonexistent', '--debug']);
    await pull.says('2 layers');
    pull.process.kill('SIGINT');
    const { status, stdout, stderr } = await pull.done;
    expect(status).toBe(130);
    expect(stdout).toMatch(/^sha256:[0-9a-f]{64}\n$/);
    expect(stderr).not.toContain('nonexistent');
    expect(await json('images')).toMatchObject([{ id: stdout.trimEnd() }]);
  });

  it('stops waiting for an archive on standard input that does not come', async () => {
    const { startWaiting, root } = newStore();
    const load = startWaiting(['load', '--json']);
    while (!storeIsOpen(root)) await sleep(10);
    await sleep(200);
    load.process.kill('SIGINT');
    const { status, stderr } = await load.done;
    expect(status).toBe(130);
    expect(JSON.parse(stderr)).toMatchObject({ error: { code: 'ERR_ABORTED', message: 'cancelled by SIGINT' } });
    expectEmptyStore(root);
  });

  it('ends at once on a second signal', async () => {
    const { start } = newStore();
    const pull = start(['pull', await slowSource()]);
    await pull.says('unpacking');
    pull.process.kill('SIGTERM');
    pull.process.kill('SIGINT');
    expect([130, 143]).toContain((await pull.done).status);
  });
});

function storeIsOpen(root: string): boolean {
  try {
    return readdirSync(root).includes('metadata.sqlite');
  } catch {
    return false;
  }
}

describeWith(['root'], 'standard output', () => {
  it('may be closed early: the work is done, and nothing is said about it', async () => {
    const { start, json } = newStore();
    const pull = start(['pull', APP_V1]);
    pull.process.stdout.destroy();
    const { status, stderr } = await pull.done;
    expect(status).toBe(0);
    expect(stderr).not.toContain('EPIPE');
    expect(stderr).not.toContain('provisioner:');
    expect(await json('images')).toHaveLength(1);
  });

  it('and standard error may both be closed early', async () => {
    const { start, json } = newStore();
    const pull = start(['pull', 'oci:/nonexistent', APP_V1]);
    pull.process.stdout.destroy();
    pull.process.stderr.destroy();
    expect((await pull.done).status).toBe(1);
    expect(await json('images')).toHaveLength(1);
  });

  it.each([
    ['in text', [], /^provisioner: no space left to write the output at standard output\nhint: .*\n$/],
    ['in JSON', ['--json'], /^\{"error":\{"code":"ERR_NO_SPACE",.*\}\}\n$/],
  ] as const)('that cannot be written makes the command fail, which is told %s', async (_, options, told) => {
    const { root } = await madeStore();
    const full = openSync('/dev/full', 'w');
    const args = [MAIN, 'images', '--root', root, ...options];
    const child = spawn(process.execPath, args, { stdio: ['ignore', full, 'pipe'] });
    closeSync(full);
    let stderr = '';
    child.stderr?.setEncoding('utf8').on('data', (text) => {
      stderr += text;
    });
    const [status] = await once(child, 'close');
    expect(status).toBe(1);
    expect(stderr).toMatch(told);
  });

  it('is complete when it is long and slowly read', async () => {
    const { lines, start, root } = newStore();
    await lines('pull', APP_V1);
    const { Provisioner } = await import('#src/index.js');
    await using provisioner = await Provisioner.open({ root });
    for (let index = 0; index < 3000; index += 1) await provisioner.images.tag('app:v1', `app:tag-${index}`);
    const images = start(['images']);
    images.process.stdout.pause();
    await sleep(500);
    images.process.stdout.resume();
    const { status, stdout } = await images.done;
    expect(status).toBe(0);
    expect(stdout.split('\n')).toHaveLength(1 + 3001 + 1);
    expect(stdout.endsWith('\n')).toBe(true);
  });
});

describeWith(['root'], 'a command', () => {
  it('ends by itself soon after its work', async () => {
    const { lines, run } = newStore();
    await lines('pull', APP_V1);
    const started = performance.now();
    await run(['images']);
    // An idle worker or an open handle would hold it for seconds.
    expect(performance.now() - started).toBeLessThan(2000);
  });

  it('shows the stack and the causes of an error with --debug, and not without', async () => {
    const { run } = newStore();
    const plain = await run(['pull', 'oci:/nonexistent']);
    expect(plain.stderr).not.toMatch(/^ +at /m);
    const debug = await run(['pull', 'oci:/nonexistent', '--debug']);
    expect(debug.stderr).toMatch(/^ +at /m);
    expect(debug.stderr).toContain('caused by: Error: ENOENT');
  });

  it('can be started by the name that the package gives it', async () => {
    const child = spawn(MAIN, ['--version'], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [text] = (await once(child.stdout, 'data')) as [Buffer];
    expect(text.toString()).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});
