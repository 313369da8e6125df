import { renameSync } from 'node:fs';
import { writeOwnFile } from '../../base/own-files.js';
import type { LaunchDirectory } from '../launches/kept/launch-directory.js';
import { readOrEmpty } from '../read-or-empty.js';
import type { Health } from './health-state.js';

/** What whoever checks next has to know. */
export interface KeptHealth extends Health {
  /** A check that had been begun: who did so may have died, and it still run. */
  readonly checking?: string | undefined;
}

/** @returns undefined where nothing has been checked yet */
export function readHealth({ health }: LaunchDirectory): KeptHealth | undefined {
  const text = readOrEmpty(health);
  try {
    return text === '' ? undefined : (JSON.parse(text) as KeptHealth);
  } catch {
    // A power cut may take what was not waited for: then the checks begin anew.
    return undefined;
  }
}

/** By whoever holds the lock of the checks. What a full disk does not take is told with the next check. */
export function keepHealth(directory: LaunchDirectory, health: KeptHealth): void {
  const draft = `${directory.health}.draft`;
  try {
    writeOwnFile(draft, JSON.stringify(health));
    renameSync(draft, directory.health);
  } catch {
    // It is full, or the launch has been removed.
  }
}
