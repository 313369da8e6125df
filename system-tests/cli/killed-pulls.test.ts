import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { buildImage, buildLayer, writeOciLayout } from '../../native-free-tests/helpers/image-builder.js';
import { describeWith } from '../helpers/requirements.js';
import { temporaryDirectory } from '../helpers/test-store.js';
import { APP_V1, newStore } from './run-cli.js';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

/** Unpacks for longer than a signal takes to arrive. */
const files = Array.from({ length: 40_000 }, (_, index) => ({ path: `file-${index}`, content: 'x' }));
const slow = buildImage([buildLayer(files)]);

async function slowSource(): Promise<string> {
  const layout = join(temporaryDirectory(), 'layout');
  await writeOciLayout(layout, [{ image: slow, refName: 'slow:v1' }]);
  return `oci:${layout}`;
}

const namesIn = (root: string, directory: string) => readdirSync(join(root, directory));

/** Of the one layer that is being unpacked. */
function stagedFiles(root: string): number {
  const [pull = 'none'] = namesIn(root, 'staging');
  const rootfs = join(root, 'staging', pull, '0', 'rootfs');
  return existsSync(rootfs) ? readdirSync(rootfs).length : 0;
}

/** A store in which a pull was killed while it unpacked. */
async function afterKilledPull() {
  const store = newStore();
  const pull = store.start(['pull', await slowSource()]);
  await pull.says('unpacking');
  while (stagedFiles(store.root) < 1000) await sleep(5);
  pull.process.kill('SIGKILL');
  expect((await pull.done).status).toBeNull();
  expect(namesIn(store.root, 'staging')).toHaveLength(1);
  return store;
}

describeWith(['root', 'strace'], 'what a killed pull has left in staging', () => {
  test('is told by df, with the bytes, and by check, as what the next prune gives back', async () => {
    const { root, run, json } = await afterKilledPull();
    const { staging } = (await json('df')) as { staging: { count: number; bytes: number; abandoned: object } };
    expect(staging.abandoned).toEqual({ count: 1, bytes: expect.any(Number) });
    expect((staging.abandoned as { bytes: number }).bytes).toBeGreaterThan(1_000_000);
    const { stdout, stderr } = await run(['df']);
    expect(stdout).toMatch(/^ {2}abandoned +1 +\d/m);
    expect(stderr).toMatch(/^hint: dead pulls left .* in staging: `provisioner prune` gives it back$/m);
    expect((await run(['check'])).stdout).toContain('was left by a pull that died');
    expect(namesIn(root, 'staging')).toHaveLength(1);
  });

  test('is given back by a prune, which a dry run foretells and does not do', async () => {
    const { root, lines, json } = await afterKilledPull();
    const left = join(root, 'staging', namesIn(root, 'staging')[0] as string);
    expect(await json('prune', '--dry-run')).toMatchObject({ removed: { staging: [left] } });
    expect(existsSync(left)).toBe(true);
    expect(await lines('prune')).toContain(`removed  ${left}: of a pull that died`);
    expect([...namesIn(root, 'staging'), ...namesIn(root, 'gc')]).toEqual([]);
    expect(await json('df')).toMatchObject({ staging: { count: 0, abandoned: { count: 0, bytes: 0 } } });
  });

  test('is given back by a prune by a plan, too', async () => {
    const { root, lines } = await afterKilledPull();
    const plan = join(temporaryDirectory(), 'plan');
    await lines('prune', '--dry-run', '--plan', plan);
    await lines('prune', '--apply', plan);
    expect(namesIn(root, 'staging')).toEqual([]);
  });

  test('is given back by the next pull, of whatever image', async () => {
    const { root, lines } = await afterKilledPull();
    await lines('pull', APP_V1);
    expect([...namesIn(root, 'staging'), ...namesIn(root, 'gc')]).toEqual([]);
  });

  test('is given back, too, when somebody has made it immutable', async () => {
    const { root, lines } = await afterKilledPull();
    execFileSync('chattr', ['+i', join(root, 'staging', namesIn(root, 'staging')[0] as string)]);
    await lines('pull', APP_V1);
    expect(namesIn(root, 'staging')).toEqual([]);
    expect(namesIn(root, 'gc')).toEqual([]);
  });

  test('does not keep the next pull from its work when it cannot be taken away; prune says so, and fails', async () => {
    const { root, run } = await afterKilledPull();
    const left = join(root, 'staging', namesIn(root, 'staging')[0] as string);
    const strace = [
      'strace',
      '-f',
      '-qq',
      '-o',
      '/dev/null',
      '-P',
      left,
      '-e',
      'trace=rename',
      '-e',
      'inject=rename:error=EIO',
    ];
    const pull = await run(['pull', APP_V1], { within: strace });
    expect(pull.status).toBe(0);
    expect(pull.stderr).toContain(`warning: ${left} of a pull that died cannot be taken away`);
    const prune = await run(['prune'], { within: strace });
    expect(prune.status).toBe(1);
    expect(prune.stderr).toContain(left);
    // The rest is done.
    expect(prune.stdout).toContain('removed 1 images');
    expect((await run(['prune'])).status).toBe(0);
    expect(namesIn(root, 'staging')).toEqual([]);
  });

  test('is told from what a living pull has there, which a prune and another pull leave alone', async () => {
    const { root, start, lines } = newStore();
    const pull = start(['pull', await slowSource()]);
    await pull.says('unpacking');
    pull.process.kill('SIGSTOP');
    const staged = namesIn(root, 'staging');
    expect(staged).toHaveLength(1);
    await lines('pull', APP_V1);
    await lines('prune');
    expect(namesIn(root, 'staging')).toEqual(staged);
    pull.process.kill('SIGCONT');
    expect((await pull.done).status).toBe(0);
    expect(namesIn(root, 'staging')).toEqual([]);
  });
});

describeWith(['root'], 'a pull whose terminal goes away', () => {
  test('ends with status 129 and leaves nothing of it, also when it is told twice', async () => {
    const { root, start } = newStore();
    const pull = start(['pull', await slowSource()]);
    await pull.says('unpacking');
    pull.process.kill('SIGHUP');
    pull.process.kill('SIGHUP');
    const { status, stdout, stderr } = await pull.done;
    expect({ status, stdout }).toEqual({ status: 129, stdout: '' });
    expect(stderr.trimEnd().split('\n').at(-1)).toBe('provisioner: cancelled by SIGHUP');
    for (const directory of ['staging', 'layers', 'gc', 'alive']) expect(namesIn(root, directory)).toEqual([]);
  });

  const COMMAND = `'${process.execPath}' '${MAIN}' pull "$SOURCE" --progress plain`;
  test.each([
    ['nohup', ['bash', '-c', `nohup ${COMMAND}; exit $?`]],
    [
      'nohup that a shell does not name, with a terminal for its input',
      ['script', '-qec', `env -u _ nohup ${COMMAND} 2>&1 | cat`, '/dev/null'],
    ],
    ['a script that ignores it', ['sh', '-c', `trap '' HUP; ${COMMAND}; exit $?`]],
  ])('goes on when it was begun by %s', async (_, [program, ...args]) => {
    const root = join(temporaryDirectory(), 'store');
    const env = { PATH: process.env['PATH'], PROVISIONER_ROOT: root, SOURCE: await slowSource() };
    const child = spawn(program as string, args as string[], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        said += text;
      });
    }
    const done = once(child, 'close');
    while (!said.includes('unpacking'))
      await Promise.race([once(child.stdout, 'data'), once(child.stderr, 'data'), done]);
    const pids = pidsOf(root);
    expect(pids).toHaveLength(1);
    for (const pid of pids) process.kill(pid, 'SIGHUP');
    await done;
    expect(said).toMatch(/^sha256:[0-9a-f]{64}\r?$/m);
    expect(namesIn(root, 'layers')).toHaveLength(1);
  });
});

/** The processes that have the records of a store open. */
function pidsOf(root: string): number[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.filter((pid) => isOpenIn(pid, join(root, 'metadata.sqlite'))).map(Number);
}

function isOpenIn(pid: string, path: string): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`) === path);
  } catch {
    // It has ended meanwhile.
    return false;
  }
}
