import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { systemCode } from '../errors.js';
import { PROBE, transientName } from '../locks/process-identity.js';
import type { BackendVerdict } from './backend.js';

/** Tries something in a directory of its own, which goes again whatever comes of it. A failed try is a verdict, not an error. */
export function probeIn(directory: string, attempt: (place: string) => BackendVerdict): BackendVerdict {
  let place: string | undefined;
  try {
    place = mkdtempSync(join(directory, transientName(PROBE)));
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
