import { execFile } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, it } from 'vitest';
import {
  askCredentialHelper,
  eraseFromCredentialHelper,
  storeInCredentialHelper,
} from '#src/registry/credentials/credential-helper.js';
import { temporaryDirectory } from '../../helpers/memory-store.js';

const MODULE = new URL('../../../build/registry/credentials/credential-helper.js', import.meta.url).href;
const ANSWER = `echo '{"Username":"me","Secret":"pw"}'`;
const CREDENTIALS = { kind: 'password', username: 'me', password: 'pw' };
const path = process.env['PATH'];
let directory = '';
/** What a test leaves running writes its process id there. */
let left = '';

beforeEach(() => {
  directory = temporaryDirectory();
  left = join(directory, 'left');
  process.env['PATH'] = `${directory}${delimiter}${path}`;
});
afterEach(() => {
  process.env['PATH'] = path;
  if (existsSync(left)) for (const pid of readFileSync(left, 'utf8').trim().split('\n')) end(Number(pid));
});

function end(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}

function helper(script: string): void {
  const file = join(directory, 'docker-credential-it');
  writeFileSync(file, `#!/bin/sh\n${script}\n`);
  chmodSync(file, 0o755);
}

const ask = (timeout?: number, signal?: AbortSignal) => askCredentialHelper('it', 'r.example', signal, timeout);

async function secondsOf(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return (performance.now() - started) / 1000;
}

it('a helper is told the registry, and answers with a name and a password', async () => {
  helper(`read registry; test "$registry" = r.example || exit 1; ${ANSWER}`);
  expect(await ask()).toEqual(CREDENTIALS);
});

it('its answer counts when it has ended, though something that it has left holds its output open', async () => {
  helper(`sleep 30 & echo $! > ${left}; cat > /dev/null; ${ANSWER}`);
  expect(await secondsOf(async () => expect(await ask()).toEqual(CREDENTIALS))).toBeLessThan(10);
  // What it has left is not ours to end.
  expect(() => process.kill(Number(readFileSync(left, 'utf8')), 0)).not.toThrow();
});

it('all of a long answer counts, also of a helper that ends as soon as it has written it', async () => {
  const secret = 'x'.repeat(60_000);
  writeFileSync(join(directory, 'answer'), JSON.stringify({ Username: 'me', Secret: secret }));
  helper(`sleep 30 & echo $! >> ${left}; exec cat ${join(directory, 'answer')}`);
  for (let times = 0; times < 10; times++) expect(await ask()).toEqual({ ...CREDENTIALS, password: secret });
});

it('nothing keeps the process when it is over: not a helper that is not installed, nor what one has left', async () => {
  helper(`sleep 30 & echo $! > ${left}; ${ANSWER}`);
  const code = `
    import { askCredentialHelper } from '${MODULE}';
    const told = await askCredentialHelper('nowhere', 'r.example').catch((error) => error.message);
    console.log(told, (await askCredentialHelper('it', 'r.example')).username);`;
  const run = async () => {
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', code]);
    expect(stdout).toMatch(/it is not installed me$/m);
  };
  expect(await secondsOf(run)).toBeLessThan(10);
});

it.each([
  ['never ends', 'exec sleep 30', 200, 'it gives no answer within 0.2 s'],
  ['says too much', 'exec yes', undefined, 'its answer is far too long'],
  ['is killed', 'kill -9 $$', undefined, 'it was ended by SIGKILL'],
  ['fails', 'echo secret; exit 3', undefined, 'it ended with status 3'],
])('a helper that %s is an error that quotes nothing of it', async (_, script, timeout, problem) => {
  helper(script);
  expect(
    await secondsOf(async () => {
      await expect(ask(timeout)).rejects.toMatchObject({
        code: 'ERR_REGISTRY_CONFIG',
        message: `docker-credential-it gives no credentials for r.example: ${problem}`,
        hint: expect.stringContaining('docker-credential-it get'),
      });
    }),
  ).toBeLessThan(10);
});

it('a helper is ended when its caller gives up', async () => {
  helper(`echo $$ > ${left}; exec sleep 30`);
  const cancel = new AbortController();
  const asked = ask(undefined, cancel.signal);
  await expect.poll(() => existsSync(left) && readFileSync(left, 'utf8') !== '', { timeout: 10_000 }).toBe(true);
  cancel.abort();
  await expect(asked).rejects.toMatchObject({ code: 'ERR_ABORTED' });
  const pid = Number(readFileSync(left, 'utf8'));
  await expect.poll(() => isRunning(pid), { timeout: 10_000 }).toBe(false);
});

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Keeps one login in a file beside it, and notes what it is asked. */
const KEEPER = (place: string) => `
echo "$1" >> ${place}.log
case $1 in
  store) cat > ${place} ;;
  get) read registry; test -f ${place} && cat ${place} || { echo 'credentials not found in native keychain'; exit 1; } ;;
  erase) rm ${place} ;;
esac`;

it('a helper keeps what it is told, and forgets it', async () => {
  const place = join(directory, 'kept');
  helper(KEEPER(place));
  await storeInCredentialHelper('it', 'r.example', { username: 'me', password: 'p"w' }, undefined);
  expect(JSON.parse(readFileSync(place, 'utf8'))).toEqual({ ServerURL: 'r.example', Username: 'me', Secret: 'p"w' });
  expect(await ask()).toEqual({ ...CREDENTIALS, password: 'p"w' });
  expect(await eraseFromCredentialHelper('it', 'r.example', undefined)).toBe(true);
  expect(existsSync(place)).toBe(false);
});

it('a helper that knows nothing of a registry is not asked to forget it', async () => {
  const place = join(directory, 'kept');
  helper(KEEPER(place));
  expect(await eraseFromCredentialHelper('it', 'r.example', undefined)).toBe(false);
  expect(readFileSync(`${place}.log`, 'utf8')).toBe('get\n');
});

it.each([
  ['store', 'does not keep the credentials for r.example'],
  ['erase', 'does not forget the credentials for r.example'],
])('one that cannot %s is an error without a word of what it was told or said', async (request, problem) => {
  helper(`test $1 = get && { ${ANSWER}; exit; }; cat; cat >&2; exit 4`);
  const asked =
    request === 'store'
      ? storeInCredentialHelper('it', 'r.example', { username: 'me', password: 's3cret-word' }, undefined)
      : eraseFromCredentialHelper('it', 'r.example', undefined);
  await expect(asked).rejects.toMatchObject({
    code: 'ERR_REGISTRY_CONFIG',
    message: `docker-credential-it ${problem}: it ended with status 4`,
    hint: expect.not.stringContaining('s3cret-word'),
  });
});
