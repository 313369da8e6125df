import { accessSync, chmodSync, constants } from 'node:fs';
import { join } from 'node:path';
import { isShortage, systemCode } from '../base/errors.js';
import { makeOwnPlace, writeOwnFile } from '../base/own-files.js';
import { removeTree } from '../files/tree/removal/remove-tree.js';
import type { BackendVerdict } from './backend.js';

/** Tries something in a directory of its own, which goes again whatever comes of it. A failed try is a verdict, not an error. @param prefix of its path */
export function probeIn(prefix: () => string, attempt: (place: string) => BackendVerdict): BackendVerdict {
  let place: string | undefined;
  try {
    place = makeOwnPlace(prefix());
    return attempt(place);
  } catch (error) {
    // Ours tell of a file that could not be made, and keep the system's beneath.
    const code = systemCode(error) ?? systemCode((error as Partial<Error>).cause) ?? String(error);
    if (isShortage(error)) {
      return { usable: false, reason: `a probe mount could not be made now (${code})`, shortage: error };
    }
    const denied = code === 'EPERM' || code === 'EACCES';
    return {
      usable: false,
      reason: denied ? `mounting is not permitted here (${code})` : `a probe mount failed (${code})`,
    };
  } finally {
    if (place !== undefined) removeProbe(place);
  }
}

/**
 * What is to be told of a rootfs whose files are on the store's own mount, when that is noexec. access(2) refuses to execute there what has the permission, to
 * root too. @param place a directory in which a file may be made @throws like Node's `fs` where that cannot be found out
 */
export function caveatOf(place: string): Pick<BackendVerdict, 'caveat'> {
  const program = join(place, 'program');
  writeOwnFile(program, '');
  chmodSync(program, 0o700);
  try {
    accessSync(program, constants.X_OK);
    return {};
  } catch (error) {
    if (systemCode(error) !== 'EACCES') throw error;
    return { caveat: 'no program in it can be run, because the store is on a mount with the option noexec' };
  }
}

/** Not through a mount that could not be let go of. What is left bears the name of a probe, and the next recovery takes it away. */
function removeProbe(place: string): void {
  try {
    removeTree(place);
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
  }
}
