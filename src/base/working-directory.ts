import { resolve } from 'node:path';
import { chdir, cwd } from 'node:process';
import { ProvisionerError, systemCode } from './errors.js';

/** A directory in which no relative path means anything, and nothing can be made. @see proc(5) */
const NOWHERE = '/proc/self/fdinfo';
/** What it is called once one is in it. */
const IS_NOWHERE = /^\/proc\/\d+\/fdinfo$/;

/**
 * As `resolve`, for a path from outside. A job's working directory may have been deleted under it; absolute paths work all the same.
 * @throws ProvisionerError `ERR_BAD_OPTION` for a relative path that starts from there
 */
export function absolutePath(path: string): string {
  if (path.startsWith('/')) return resolve(path);
  if (!isWorkingDirectoryDeleted()) return resolve(path);
  throw new ProvisionerError(
    'ERR_BAD_OPTION',
    `${path} is a relative path, and the working directory has been deleted`,
    {
      hint: 'write an absolute path, or change to a directory that is there (`cd /`)',
      details: { path },
    },
  );
}

/**
 * To be called before a thread is started: Node asks for the working directory in each, and one that has been deleted ends it at once (Node 20 to 24). So
 * this process goes to another place that is as good as that one: what is written by a relative path fails there too, instead of turning up somewhere.
 */
export function leaveDeletedDirectory(): void {
  try {
    cwd();
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error;
    try {
      chdir(NOWHERE);
    } catch {
      // Without /proc, or in a thread, which may not: the one that is started will say what it died of.
    }
  }
}

function isWorkingDirectoryDeleted(): boolean {
  try {
    return IS_NOWHERE.test(cwd());
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error;
    return true;
  }
}
