import { accessSync, constants, statSync } from 'node:fs';
import { isAbsolute, join, normalize } from 'node:path';
import { isWritableByOthers, type WayFaults } from '../../base/walk-way.js';
import { isTrusted, trustedWay } from './trusted-way.js';

/** Where programs are when the environment does not say. @see execvp(3) */
const DEFAULT_PATH = '/usr/local/bin:/usr/bin:/bin';

/**
 * Finds a program of the system, such as `xz`. `PATH` says where, as it does for whoever calls one; but it may have come along from another user, through `sudo`, and what is
 * run has all rights of this process. So what another user could have put there, or could put there yet, is passed over, and so are directories that depend on where this process was started.
 * @param name without a slash
 * @returns its path without symlinks among the directories; undefined when there is none
 */
export function findProgram(
  name: string,
  { PATH = DEFAULT_PATH }: NodeJS.ProcessEnv = process.env,
): string | undefined {
  return PATH.split(':')
    .filter((directory) => isAbsolute(directory))
    .map((directory) => join(normalize(directory), name))
    .find(isTrustedProgram);
}

function isTrustedProgram(path: string): boolean {
  try {
    const found = trustedWay(path, FAULTS);
    const status = statSync(found);
    accessSync(found, constants.X_OK);
    return status.isFile() && isTrusted(status.uid) && !isWritableByOthers(status);
  } catch {
    // It is not there, or not for us, or not to be trusted: another one may be.
    return false;
  }
}

const FAULTS: WayFaults = {
  foreign: (where) => new Error(`it lies ${where}`),
  writable: (directory) => new Error(`others can write to ${directory}`),
  dangling: (_link, missing) => new Error(`${missing} is not there`),
};
