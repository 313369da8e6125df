import { constants } from 'node:fs';
import { type BytePath, cPath } from '../byte-path.js';
import { syscallError } from '../syscalls.js';
import { type FileType, REGULAR_FILE } from '../tree-calls.js';
import { AT_FDCWD, close, lastError, openat } from './libc/libc.js';
import { nativeStatus } from './native-file-status.js';
import { OPEN_FILE, openQuietly } from './native-open.js';

const O_PATH = 0o10000000;
const O_CLOEXEC = 0o2000000;
const HOLD = O_PATH | constants.O_NOFOLLOW | O_CLOEXEC;
/** By way of a descriptor, which the kernel shows as a symlink. */
const OPEN_HELD_FILE = OPEN_FILE & ~constants.O_NOFOLLOW;

/**
 * Opens a regular file to read it where something else may have taken its place: it is held first, without being opened, and opened when it is seen to be a regular file.
 * @throws `EINVAL` when it is none
 */
export function openRegularFile(directory: number, name: BytePath): number {
  return onHeld(directory, name, [REGULAR_FILE], (held) => openQuietly(AT_FDCWD, held, OPEN_HELD_FILE));
}

/**
 * Does something to an entry that nobody can change for another one meanwhile.
 * @param types of which it has to be one @param work by a path that leads to what is held
 */
export function onHeld<T>(directory: number, name: BytePath, types: readonly FileType[], work: (held: string) => T): T {
  const held = openat(directory, cPath(name), HOLD, 0);
  if (held < 0) throw lastError('open', name);
  try {
    if (!types.includes(nativeStatus(held, '').type)) throw syscallError('EINVAL', 'open', name);
    return work(`/proc/self/fd/${held}`);
  } finally {
    close(held);
  }
}
