import { existsSync } from 'node:fs';
import { systemCode } from '../../../base/errors.js';
import { watchDirectory } from '../../../base/watch-directory.js';
import type { LockFile } from '../../../system/syscalls/lock-file.js';
import type { Syscalls } from '../../../system/syscalls/syscalls.js';
import type { LaunchDirectory } from '../kept/launch-directory.js';

/** A watch may miss what happens as it begins, and a monitor that is killed writes nothing; milliseconds. */
const LOOK_AGAIN = 500;

/** Whether somebody starts a launch, or its monitor lives: whoever does holds its lock. True in doubt. */
export const isAttended = ({ alive }: LaunchDirectory, syscalls: Syscalls): boolean => isHeld(alive, syscalls);

/** While it is held, the monitor leaves it to whoever holds it to do what is to be done at the end. @returns undefined when another process has it */
export function holdWatch({ watched }: LaunchDirectory, syscalls: Syscalls): LockFile | undefined {
  try {
    const lock = syscalls.openLockFile(watched);
    if (lock.tryLock('exclusive')) return lock;
    lock.close();
  } catch {
    // Removed meanwhile, or no descriptor is left: then the monitor has it done.
  }
  return undefined;
}

/** Some process starts a launch, or will do what is to be done at its end. True in doubt. */
export function isWatched({ watched }: LaunchDirectory, syscalls: Syscalls): boolean {
  try {
    const lock = syscalls.openLockFile(watched, { create: false });
    try {
      return !lock.tryLock('shared');
    } finally {
      lock.close();
    }
  } catch (error) {
    return systemCode(error) !== 'ENOENT';
  }
}

/** Whether somebody who lives holds a lock file as its writer. True in doubt. */
export function isHeld(path: string, syscalls: Pick<Syscalls, 'openLockFile'>): boolean {
  try {
    const file = syscalls.openLockFile(path, { create: false, readOnly: true });
    try {
      return file.hasForeignWriter();
    } finally {
      file.close();
    }
  } catch (error) {
    return systemCode(error) !== 'ENOENT';
  }
}

/**
 * Resolves when a launch has said how it ended, or when nobody is left who could say it.
 * @param told resolves when its monitor is seen to end, where somebody sees that
 * @throws the reason of the signal
 */
export async function launchEnded(
  directory: LaunchDirectory,
  syscalls: Syscalls,
  { told, signal }: { readonly told?: Promise<unknown> | undefined; readonly signal?: AbortSignal | undefined } = {},
): Promise<void> {
  signal?.throwIfAborted();
  const hasEnded = () => existsSync(directory.exit) || !isAttended(directory, syscalls);
  if (hasEnded()) return;
  await new Promise<void>((resolve, reject) => {
    let over = false;
    const finish = (how: () => void) => {
      if (over) return;
      over = true;
      watcher?.close();
      clearInterval(timer);
      signal?.removeEventListener('abort', giveUp);
      how();
    };
    const look = () => {
      if (!over && hasEnded()) finish(resolve);
    };
    const giveUp = () => finish(() => reject(signal?.reason));
    // Most of what happens there is of no interest: only the name of the exit file is looked at.
    const watcher = watchDirectory(directory.path, (name) => (name === null || name === 'exit') && look());
    const timer = setInterval(look, LOOK_AGAIN);
    signal?.addEventListener('abort', giveUp, { once: true });
    void told?.then(look, look);
    look();
  });
}
