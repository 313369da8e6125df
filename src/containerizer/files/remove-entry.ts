import { systemCode } from '../../base/errors.js';
import type { Turns } from '../../base/unhurried.js';
import type { BytePath } from '../../system/syscalls/byte-path.js';
import { syscallError } from '../../system/syscalls/syscalls.js';
import { DIRECTORY, type OpenDirectory } from '../../system/syscalls/tree-calls.js';
import { requireNoMount } from './drafts.js';
import { sortedNames } from './file-info.js';
import { LEVELS_MAX } from './files-errors.js';

/**
 * Removes an entry with all that is in it; what is gone already is no error. What is mounted there, or in it, is left with all that is in it.
 * @throws `EBUSY` for that, `ENAMETOOLONG` for what is nested too deeply
 */
export async function removeEntry(directory: OpenDirectory, name: BytePath, turns: Turns, level = 0): Promise<void> {
  await turns.take();
  try {
    requireNoMount(directory, name);
    if (directory.status(name).type === DIRECTORY) {
      if (level === LEVELS_MAX) throw syscallError('ENAMETOOLONG', 'rmdir', name);
      await emptyDirectory(directory, name, turns, level);
      directory.removeDirectory(name);
    } else {
      directory.removeFile(name);
    }
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error;
  }
}

async function emptyDirectory(directory: OpenDirectory, name: BytePath, turns: Turns, level: number): Promise<void> {
  const inside = directory.openDirectory(name);
  try {
    for (const entry of sortedNames(inside)) await removeEntry(inside, entry, turns, level + 1);
  } finally {
    inside.close();
  }
}
