import { throwIfAborted } from '../../base/errors.js';
import { Turns } from '../../base/unhurried.js';
import type { BytePath } from '../../system/syscalls/byte-path.js';
import { DIRECTORY, REGULAR_FILE, type TreeCalls } from '../../system/syscalls/tree-calls.js';

/** Others get a turn after so many entries. */
const AT_ONCE = 64;

/**
 * Gives all that is in directories to a project, and these too. Nobody may be writing there meanwhile. Symlinks, devices and the like stay as they are: they take next to nothing.
 * @param places absolute @param project 0 for none
 * @throws like Node's `fs`; ProvisionerError `ERR_ABORTED`
 */
export async function giveToProject(
  calls: TreeCalls,
  places: readonly string[],
  project: number,
  signal?: AbortSignal | undefined,
): Promise<void> {
  const turns = new Turns();
  for (const place of places) {
    const root = calls.openDirectory(place);
    try {
      const left: BytePath[] = [''];
      for (let path = left.pop(); path !== undefined; path = left.pop()) {
        const directory = path === '' ? calls.openDirectory(place) : root.openDirectory(path);
        try {
          // Before what is in it: a crash leaves nothing that others can tell from what is done.
          directory.giveToProject('', project);
          const cursor = directory.cursor();
          try {
            for (let entries = 1; cursor.next(); entries++) {
              const { name } = cursor;
              const type = cursor.type ?? directory.status(name).type;
              if (type === DIRECTORY) left.push(path === '' ? name : `${path}/${name}`);
              else if (type === REGULAR_FILE) directory.giveToProject(name, project);
              if (entries % AT_ONCE !== 0) continue;
              throwIfAborted(signal);
              await turns.take();
            }
          } finally {
            cursor.close();
          }
        } finally {
          directory.close();
        }
        throwIfAborted(signal);
        await turns.take();
      }
    } finally {
      root.close();
    }
  }
}
