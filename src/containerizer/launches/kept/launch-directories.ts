import { readdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { systemCode } from '../../../base/errors.js';
import type { Provisioner } from '../../../index.js';

/** Where the directories of all launches of a store stand; absolute. Not there before the first one. */
export function launchDirectories({ launches }: Pick<Provisioner, 'launches'>): string {
  return dirname(launches.directory('0'.repeat(32)));
}

/** Whether there is something of launches in a store that a recovery may have to put right: also what no record names. @throws like Node's `fs` */
export async function hasLaunches(provisioner: Provisioner): Promise<boolean> {
  return namesIn(launchDirectories(provisioner)).length > 0 || (await provisioner.launches.list()).length > 0;
}

/** The names in a directory; none where it is not there. @throws like Node's `fs` */
export function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return [];
    throw error;
  }
}
