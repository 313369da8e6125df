import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeOwnDirectory } from '../../base/own-files.js';
import type { LockFile } from '../../system/syscalls/lock-file.js';
import type { Syscalls } from '../../system/syscalls/syscalls.js';
import { isHeld } from '../launches/ends/launch-watch.js';
import { namesIn } from '../launches/kept/launch-directories.js';
import type { LaunchDirectory } from '../launches/kept/launch-directory.js';

/** Milliseconds between looks whether others have done with taking away, and until nobody waits for them any more: somebody may have stopped them. */
const LOOK_AGAIN = 2;
const PATIENCE = 5000;

/** Where an `exec` has its files. */
export interface ExecPlace {
  readonly path: string;
  /** Takes it away. */
  remove(): void;
}

/** Makes it, and holds it for as long as this process lives: who is killed leaves one that nobody holds. @param id 16 hex digits @throws like Node's `fs` */
export async function makeExecPlace(
  directory: LaunchDirectory,
  syscalls: Pick<Syscalls, 'openLockFile'>,
  id: string,
): Promise<ExecPlace> {
  const path = join(directory.path, `exec-${id}`);
  const making = syscalls.openLockFile(directory.execsLock);
  let held: LockFile | undefined;
  try {
    // Whoever takes places away has this alone: so none is seen before it is held.
    const late = performance.now() + PATIENCE;
    while (!making.tryLock('shared') && performance.now() < late) await sleep(LOOK_AGAIN);
    makeOwnDirectory(path);
    held = syscalls.openLockFile(join(path, 'alive'));
    held.tryAnnounceWriter();
  } catch (error) {
    held?.close();
    rmSync(path, { recursive: true, force: true });
    throw error;
  } finally {
    making.close();
  }
  const holding = held;
  return {
    path,
    remove: () => {
      rmSync(path, { recursive: true, force: true });
      holding.close();
    },
  };
}

/** Takes away those of a launch whose makers were killed. What cannot be taken away now is so the next time. */
export function removeLeftPlaces(directory: LaunchDirectory, syscalls: Pick<Syscalls, 'openLockFile'>): void {
  try {
    const names = namesIn(directory.path).filter((name) => /^exec-[0-9a-f]{16}$/.test(name));
    if (names.length === 0) return;
    const making = syscalls.openLockFile(directory.execsLock);
    try {
      if (!making.tryLock('exclusive')) return;
      const places = names.map((name) => join(directory.path, name));
      for (const place of places.filter((path) => !isHeld(join(path, 'alive'), syscalls)))
        rmSync(place, { recursive: true, force: true });
    } finally {
      making.close();
    }
  } catch {
    // Nobody who wants to begin something is kept from it by this.
  }
}
