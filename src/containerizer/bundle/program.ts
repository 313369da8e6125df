import { posix } from 'node:path';
import { ProvisionerError } from '../../base/errors.js';
import type { RuntimeConfig } from '../../image/image-config.js';
import type { LaunchSpec, TerminalSize } from '../launch-spec.js';
import type { RuntimeSpecProcess } from './runtime-spec.js';

const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * The program and its arguments, as Docker puts them together: an entrypoint of the caller's takes the place of both the image's entrypoint and its command.
 * @throws ProvisionerError `ERR_NO_COMMAND`, `ERR_BAD_OPTION` for a text with NUL
 */
export function programOf(image: RuntimeConfig, spec: LaunchSpec): string[] {
  const { entrypoint, command } = spec;
  const args =
    entrypoint === undefined
      ? [...withoutReset(image.entrypoint), ...(command ?? image.cmd)]
      : [...withoutReset(entrypoint), ...(command ?? [])];
  checkArguments(args);
  if (args.length > 0 && args[0] !== '') return args;
  throw new ProvisionerError(
    'ERR_NO_COMMAND',
    'there is no program to run: neither the image nor the launch names one',
    {
      hint: 'give a command',
    },
  );
}

/** Docker's way to say that an entrypoint is to be none. */
function withoutReset(entrypoint: readonly string[]): readonly string[] {
  return entrypoint.length === 1 && entrypoint[0] === '' ? [] : entrypoint;
}

/**
 * `NAME=value`, each name once: what every program expects, the image's, the caller's; later ones count.
 * @throws ProvisionerError `ERR_BAD_OPTION` for a name of the caller's that can be none
 */
export function environmentOf(
  image: RuntimeConfig,
  spec: LaunchSpec,
  { hostname, home }: { readonly hostname: string; readonly home: string },
): string[] {
  const variables = new Map([
    ['PATH', DEFAULT_PATH],
    ['HOSTNAME', hostname],
    ['HOME', home],
    ...(spec.terminal === undefined ? [] : [TERM]),
  ]);
  for (const text of image.env) {
    const [, name, value] = /^([^=\0]+)=([^\0]*)$/.exec(text) ?? [];
    if (name !== undefined && value !== undefined) variables.set(name, value);
  }
  checkVariables(spec.env ?? {});
  for (const [name, value] of Object.entries(spec.env ?? {})) variables.set(name, value);
  return [...variables].map(([name, value]) => `${name}=${value}`);
}

/** What most terminals understand, and images know; as Docker and podman have it. */
export const TERM = ['TERM', 'xterm'] as const;

export const terminalOf = (size: TerminalSize | undefined): Pick<RuntimeSpecProcess, 'terminal' | 'consoleSize'> =>
  size === undefined
    ? { terminal: false }
    : { terminal: true, consoleSize: { height: size.rows, width: size.columns } };

/** @throws ProvisionerError `ERR_BAD_OPTION` for a name that can be none, and for a NUL */
export function checkVariables(variables: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(variables)) {
    if (name === '' || name.includes('=')) {
      throw new ProvisionerError('ERR_BAD_OPTION', `${JSON.stringify(name)} is no name of an environment variable`, {
        details: { name },
      });
    }
    refuseNul(name, 'the name of an environment variable');
    refuseNul(value, `the environment variable ${name}`);
  }
}

/** @throws ProvisionerError `ERR_BAD_OPTION` */
export function checkArguments(args: readonly string[]): void {
  for (const text of args) refuseNul(text, 'an argument of the program');
}

/**
 * Absolute and without `..`.
 * @throws ProvisionerError `ERR_WORKING_DIR`
 */
export function workingDirectoryOf(
  image: Pick<RuntimeConfig, 'workingDir'>,
  spec: Pick<LaunchSpec, 'workingDir'>,
): string {
  const written = spec.workingDir ?? image.workingDir;
  // Docker takes an image's relative one for one below `/`.
  const path = posix.resolve('/', written);
  if (spec.workingDir?.startsWith('/') === false || path.includes('\0'))
    throw noWorkingDirectory(written, 'it must be an absolute path');
  // Where a runtime leaves a descriptor of the host's open, `/proc/self/fd/N` would be a way out (CVE-2024-21626).
  if (path === '/proc' || path.startsWith('/proc/')) throw noWorkingDirectory(written, 'it lies in /proc');
  return path;
}

export function noWorkingDirectory(path: string, why: string, cause?: unknown): ProvisionerError {
  return new ProvisionerError('ERR_WORKING_DIR', `the program cannot begin in ${JSON.stringify(path)}: ${why}`, {
    ...(cause === undefined ? {} : { cause }),
    hint: 'give another working directory',
    details: { workingDir: path },
  });
}

function refuseNul(text: string, what: string): void {
  if (text.includes('\0')) throw new ProvisionerError('ERR_BAD_OPTION', `${what} has a NUL in it`);
}
