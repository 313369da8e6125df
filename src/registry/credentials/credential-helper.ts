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

/**
 * Asks `docker-credential-NAME`: it is run with the argument `get`, is told the registry on its standard input, and answers with JSON.
 * @param timeout milliseconds
 * @returns undefined when it knows nothing of this registry
 * @throws ProvisionerError `ERR_REGISTRY_CONFIG` without anything of what it said, which may be a secret
 * @see github.com/docker/docker-credential-helpers, README, "Development"
 */
export async function askCredentialHelper(
  name: string,
  key: string,
  signal: AbortSignal | undefined,
  timeout: number = TIMEOUT,
): Promise<Credentials | undefined> {
  throwIfAborted(signal);
  const program = `docker-credential-${name}`;
  const fault = (problem: string, hint: string, cause?: unknown) =>
    badSetting(`${program} gives no credentials for ${key}: ${problem}`, hint, { program, registry: key }, cause);
  const toSeeWhy = `run \`echo ${key} | ${program} get\` to see why`;
  // It is looked for in PATH; a path of its own would let the file run anything.
  if (!/^[\w.-]+$/.test(name)) throw fault('this is no name of a helper', 'correct credHelpers or credsStore');
  const { status, ended, output } = await run(program, key, timeout, signal).catch((error: unknown) => {
    if (isProvisionerError(error)) throw error;
    if (error instanceof Unfit) throw fault(error.message, toSeeWhy);
    if (systemCode(error) === 'ENOENT')
      throw fault('it is not installed', 'install it, or take it out of the auth file');
    throw fault('it cannot be run', 'run it by hand to see why', error);
  });
  if (status !== 0) {
    if (NOT_FOUND.test(output)) return undefined;
    throw fault(ended === null ? `it ended with status ${status}` : `it was ended by ${ended}`, toSeeWhy);
  }
  const { Username, Secret } = parseAnswer(output) ?? {};
  if (typeof Username !== 'string' || typeof Secret !== 'string') {
    throw fault('its answer is no JSON with Username and Secret', 'install a current version of it');
  }
  if (Secret === '') return undefined;
  if (Username === TOKEN_USER) return { kind: 'identity-token', token: Secret };
  return { kind: 'password', username: Username, password: Secret };
}

function parseAnswer(output: string): { readonly Username?: unknown; readonly Secret?: unknown } | undefined {
  try {
    return JSON.parse(output);
  } catch {
    return undefined;
  }
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
async function run(program: string, input: string, timeout: number, signal: AbortSignal | undefined): Promise<Ended> {
  const child = spawn(program, ['get'], { stdio: ['pipe', 'pipe', 'ignore'] });
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
