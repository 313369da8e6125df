import { isShortage, systemCode } from '../errors.js';
import { makeOwnPlace } from '../own-files.js';
import { removeTree } from '../tree/remove-tree.js';
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

/** Not through a mount that could not be let go of. What is left bears the name of a probe, and the next recovery takes it away. */
function removeProbe(place: string): void {
  try {
    removeTree(place);
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
  }
}
