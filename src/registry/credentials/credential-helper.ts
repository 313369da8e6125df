import { spawn } from 'node:child_process';
import { setImmediate } from 'node:timers/promises';
import { abortedError, isProvisionerError, systemCode, throwIfAborted } from '../../base/errors.js';
import type { Credentials } from '../endpoint.js';
import { badSetting } from '../registry-errors.js';

/** Milliseconds for an answer; helpers that ask a person or a cloud take a while. */
const TIMEOUT = 60_000;
/** Characters of an answer; tokens of clouds have some thousand. */
const MAX_ANSWER = 1024 * 1024;
/** How helpers say that they know nothing of a registry. @see docker-credential-helpers, credentials/error.go */
const NOT_FOUND = /credentials not found in native keychain|no credentials server URL|no credentials username/;
/** The name under which a helper gives a token instead of a password. @see docker-credential-helpers, credentials/credentials.go */
const TOKEN_USER = '<token>';

/** @see github.com/docker/docker-credential-helpers, README, "Development" */
type Request = 'get' | 'store' | 'erase';

/** What it does not do then, for messages. */
const FAILURE: Readonly<Record<Request, string>> = {
  get: 'gives no credentials for',
  store: 'does not keep the credentials for',
  erase: 'does not forget the credentials for',
};

/**
 * Asks `docker-credential-NAME`: it is run with the argument `get`, is told the registry on its standard input, and answers with JSON.
 * @param timeout milliseconds
 * @returns undefined when it knows nothing of this registry
 * @throws ProvisionerError `ERR_REGISTRY_CONFIG` without anything of what it said, which may be a secret
 */
export async function askCredentialHelper(
  name: string,
  key: string,
  signal: AbortSignal | undefined,
  timeout: number = TIMEOUT,
): Promise<Credentials | undefined> {
  const output = await talk({ name, request: 'get', key, input: key, timeout, signal });
  if (output === undefined) return undefined;
  const { Username, Secret } = parseAnswer(output) ?? {};
  if (typeof Username !== 'string' || typeof Secret !== 'string') {
    throw failure(
      name,
      'get',
      key,
      'its answer is no JSON with Username and Secret',
      'install a current version of it',
    );
  }
  if (Secret === '') return undefined;
  if (Username === TOKEN_USER) return { kind: 'identity-token', token: Secret };
  return { kind: 'password', username: Username, password: Secret };
}

/** Has a helper keep a name and a password, in place of what it has for that registry. @throws as `askCredentialHelper` */
export async function storeInCredentialHelper(
  name: string,
  key: string,
  { username, password }: { readonly username: string; readonly password: string },
  signal: AbortSignal | undefined,
  timeout: number = TIMEOUT,
): Promise<void> {
  const input = JSON.stringify({ ServerURL: key, Username: username, Secret: password });
  await talk({ name, request: 'store', key, input, timeout, signal });
}

/** Has a helper forget a registry. @returns false when it knew nothing of it @throws as `askCredentialHelper` */
export async function eraseFromCredentialHelper(
  name: string,
  key: string,
  signal: AbortSignal | undefined,
  timeout: number = TIMEOUT,
): Promise<boolean> {
  // Not all of them say whether there was something to forget.
  if ((await askCredentialHelper(name, key, signal, timeout)) === undefined) return false;
  return (await talk({ name, request: 'erase', key, input: key, timeout, signal })) !== undefined;
}

interface Talk {
  /** What follows `docker-credential-`. */
  readonly name: string;
  readonly request: Request;
  /** The registry. */
  readonly key: string;
  /** What it is told on its standard input. */
  readonly input: string;
  readonly timeout: number;
  readonly signal: AbortSignal | undefined;
}

/** @returns what it answers; undefined when it says that it knows nothing of this registry */
async function talk({ name, request, key, input, timeout, signal }: Talk): Promise<string | undefined> {
  throwIfAborted(signal);
  const program = `docker-credential-${name}`;
  const fault = (problem: string, hint: string, cause?: unknown) => failure(name, request, key, problem, hint, cause);
  const toSeeWhy = request === 'get' ? `run \`echo ${key} | ${program} get\` to see why` : 'run it by hand to see why';
  // It is looked for in PATH; a path of its own would let the file run anything.
  if (!/^[\w.-]+$/.test(name)) throw fault('this is no name of a helper', 'correct credHelpers or credsStore');
  const asked = { program, request, input, timeout, signal };
  const { status, ended, output } = await run(asked).catch((error: unknown) => {
    if (isProvisionerError(error)) throw error;
    if (error instanceof Unfit) throw fault(error.message, toSeeWhy);
    if (systemCode(error) === 'ENOENT')
      throw fault('it is not installed', 'install it, or take it out of the auth file');
    throw fault('it cannot be run', 'run it by hand to see why', error);
  });
  if (status === 0) return output;
  if (request !== 'store' && NOT_FOUND.test(output)) return undefined;
  throw fault(ended === null ? `it ended with status ${status}` : `it was ended by ${ended}`, toSeeWhy);
}

function failure(name: string, request: Request, key: string, problem: string, hint: string, cause?: unknown) {
  const program = `docker-credential-${name}`;
  return badSetting(`${program} ${FAILURE[request]} ${key}: ${problem}`, hint, { program, registry: key }, cause);
}

function parseAnswer(output: string): { readonly Username?: unknown; readonly Secret?: unknown } | undefined {
  try {
    return JSON.parse(output);
  } catch {
    return undefined;
  }
}

interface Run extends Pick<Talk, 'request' | 'input' | 'timeout' | 'signal'> {
  readonly program: string;
}

interface Ended {
  readonly status: number | null;
  /** What ended it, where it did not end by itself. */
  readonly ended: NodeJS.Signals | null;
  readonly output: string;
}

/**
 * Runs a helper until it has ended. What it leaves running is none of our business and is left alone: keyrings and agents are started like that, and hold its output open for as long as
 * they live. Nor is it made the leader of a group that could be killed as one: without the terminal it could not ask for a passphrase.
 * @throws ProvisionerError `ERR_ABORTED`; `Unfit` for one that does not come to an end; what `spawn` fails with
 */
async function run({ program, request, input, timeout, signal }: Run): Promise<Ended> {
  const child = spawn(program, [request], { stdio: ['pipe', 'pipe', 'ignore'] });
  let output = '';
  let timer: NodeJS.Timeout | undefined;
  let cancel = () => {};
  try {
    return await new Promise<Ended>((resolve, reject) => {
      timer = setTimeout(() => reject(new Unfit(`it gives no answer within ${timeout / 1000} s`)), timeout);
      cancel = () => reject(abortedError(signal as AbortSignal));
      signal?.addEventListener('abort', cancel, { once: true });
      child.on('error', reject);
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        output += text;
        if (output.length > MAX_ANSWER) reject(new Unfit('its answer is far too long'));
      });
      // One that needs no input ends without reading it.
      child.stdin.on('error', () => {});
      child.stdin.end(input);
      child.on('exit', (status, ended) => {
        arrived(() => output.length).then(() => resolve({ status, ended, output }), reject);
      });
    });
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', cancel);
    // Neither it nor what it has left keeps us, or is waited for.
    child.kill();
    child.stdin.destroy();
    child.stdout.destroy();
    child.unref();
  }
}

/** All that was written before it ended lies in the pipe, and has been read when a whole turn of the event loop brings nothing more. */
async function arrived(length: () => number): Promise<void> {
  for (let [before, quiet] = [length(), 0]; quiet < 2; ) {
    await setImmediate();
    quiet = length() === before ? quiet + 1 : 0;
    before = length();
  }
}

/** A helper that has to be given up. */
class Unfit extends Error {}
