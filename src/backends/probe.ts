import { mkdtempSync, rmSync } from 'node:fs';
import { systemCode } from '../errors.js';
import type { BackendVerdict } from './backend.js';

/** Tries something in a directory of its own, which goes again whatever comes of it. A failed try is a verdict, not an error. @param prefix of its path */
export function probeIn(prefix: string, attempt: (place: string) => BackendVerdict): BackendVerdict {
  let place: string | undefined;
  try {
    place = mkdtempSync(prefix);
    return attempt(place);
  } catch (error) {
    const code = systemCode(error) ?? String(error);
    const denied = code === 'EPERM' || code === 'EACCES';
    return {
      usable: false,
      reason: denied ? `mounting is not permitted here (${code})` : `a probe mount failed (${code})`,
    };
  } finally {
    if (place !== undefined) rmSync(place, { recursive: true, force: true });
  }
}
