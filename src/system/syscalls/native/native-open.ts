import { constants } from 'node:fs';
import { constants as os } from 'node:os';
import { type BytePath, cPath } from '../byte-path.js';
import { close, lastErrno, lastError, openat } from './libc/libc.js';

const O_NOATIME = constants.O_NOATIME;
const O_PATH = 0o10000000;
const O_CLOEXEC = 0o2000000;
const OPEN_DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW | O_CLOEXEC;
export const OPEN_FILE = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | O_CLOEXEC;
const PASS_THROUGH = O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW | O_CLOEXEC;
/** The kernel takes paths of 4095 bytes; a longer one is walked in stretches. */
const LONGEST_PATH = 4095;

/** Opens a directory to read it. @param path may be longer than the kernel takes at once */
export function openDirectory(directory: number, path: BytePath): number {
  if (path.length <= LONGEST_PATH) return openQuietly(directory, path, OPEN_DIRECTORY);
  const cut = path.lastIndexOf('/', LONGEST_PATH);
  const stretch = openat(directory, cPath(path.slice(0, cut)), PASS_THROUGH, 0);
  if (stretch < 0) throw lastError('open', path);
  try {
    return openDirectory(stretch, path.slice(cut + 1));
  } finally {
    close(stretch);
  }
}

/** Opens a regular file to read it. Were it a FIFO after all, this would not wait for its other end. */
export function openFile(directory: number, name: BytePath): number {
  return openQuietly(directory, name, OPEN_FILE);
}

/** Opens a directory that may be unreadable, only to name it. */
export function openUnread(directory: number, name: BytePath): number {
  const descriptor = openat(directory, cPath(name), PASS_THROUGH, 0);
  if (descriptor < 0) throw lastError('open', name);
  return descriptor;
}

/** Without a trace in the access time, which only the owner and root may ask for. */
export function openQuietly(directory: number, path: BytePath, flags: number): number {
  const bytes = cPath(path);
  let descriptor = openat(directory, bytes, flags | O_NOATIME, 0);
  if (descriptor < 0 && lastErrno() === os.errno.EPERM) descriptor = openat(directory, bytes, flags, 0);
  if (descriptor < 0) throw lastError('open', path);
  return descriptor;
}
