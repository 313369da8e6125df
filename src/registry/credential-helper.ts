import { spawn } from 'node:child_process';
import { ProvisionerError, systemCode, throwIfAborted } from '../errors.js';
import type { Credentials } from './endpoint.js';
import { badSetting } from './registry-errors.js';

/** Milliseconds for an answer; helpers that ask a person or a cloud take a while. */
const TIMEOUT = 60_000;
/** Bytes of an answer; tokens of clouds have some thousand. */
const MAX_ANSWER = 1024 * 1024;
/** How helpers say that they know nothing of a registry. @see docker-credential-helpers, credentials/error.go */
const NOT_FOUND = /credentials not found in native keychain|no credentials server URL|no credentials username/;
/** The name under which a helper gives a token instead of a password. @see docker-credential-helpers, credentials/credentials.go */
const TOKEN_USER = '<token>';

/**
 * Asks `docker-credential-NAME`: it is run with the argument `get`, is told the registry on its standard input, and answers with JSON.
 * @returns undefined when it knows nothing of this registry
 * @throws ProvisionerError `ERR_REGISTRY_CONFIG` without anything of what it said, which may be a secret
 * @see github.com/docker/docker-credential-helpers, README, "Development"
 */
export async function askCredentialHelper(
  name: string,
  key: string,
  signal: AbortSignal | undefined,
): Promise<Credentials | undefined> {
  throwIfAborted(signal);
  const program = `docker-credential-${name}`;
  const fault = (problem: string, hint: string, cause?: unknown) =>
    badSetting(`${program} gives no credentials for ${key}: ${problem}`, hint, { program, registry: key }, cause);
  // It is looked for in PATH; a path of its own would let the file run anything.
  if (!/^[\w.-]+$/.test(name)) throw fault('this is no name of a helper', 'correct credHelpers or credsStore');
  const { status, output } = await run(program, key, signal).catch((error: unknown) => {
    if (error instanceof ProvisionerError) throw error;
    if (systemCode(error) === 'ENOENT')
      throw fault('it is not installed', 'install it, or take it out of the auth file');
    throw fault('it cannot be run', 'run it by hand to see why', error);
  });
  if (status !== 0) {
    if (NOT_FOUND.test(output)) return undefined;
    throw fault(`it ended with status ${status}`, `run \`echo ${key} | ${program} get\` to see why`);
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

function run(
  program: string,
  input: string,
  signal: AbortSignal | undefined,
): Promise<{ readonly status: number | null; readonly output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, ['get'], {
      stdio: ['pipe', 'pipe', 'ignore'],
      timeout: TIMEOUT,
      ...(signal === undefined ? {} : { signal }),
    });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      if (output.length > MAX_ANSWER) child.kill();
    });
    // One that needs no input ends without reading it.
    child.stdin.on('error', () => {});
    child.stdin.end(input);
    child.on('error', (error) => {
      try {
        throwIfAborted(signal);
        reject(error);
      } catch (aborted) {
        reject(aborted);
      }
    });
    child.on('close', (status) => resolve({ status, output }));
  });
}
