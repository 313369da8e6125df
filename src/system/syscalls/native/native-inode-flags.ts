import { constants } from 'node:fs';
import { type BytePath, cPath } from '../byte-path.js';
import { DIRECTORY, REGULAR_FILE } from '../tree-calls.js';
import { AT_FDCWD, close, openat } from './libc/libc.js';
import { ioctlOn } from './libc/libc-trees.js';
import { nativeStatus } from './native-file-status.js';

const O_PATH = 0o10000000;
const O_CLOEXEC = 0o2000000;
const PLACE = O_PATH | constants.O_NOFOLLOW | O_CLOEXEC;
const READ = constants.O_RDONLY | constants.O_NONBLOCK | O_CLOEXEC;
/** The direction bits lie elsewhere on ppc64. Their size says `long`, and what is read and written is an `int`. @see ioctl_iflags(2) */
const [FS_IOC_GETFLAGS, FS_IOC_SETFLAGS] =
  process.arch === 'ppc64' ? [0x40086601, 0x80086602] : [0x80086601, 0x40086602];
const FS_IMMUTABLE_FL = 0x10;
const FS_APPEND_FL = 0x20;

/**
 * Takes the flags off a file or a directory with which nobody can rename or delete it, nor what is in it. Only these two kinds can have them; others are not even
 * opened, for that alone has an effect on a device.
 * @param name empty for the directory itself @returns false when it has none, or they are not this process's to take
 */
export function makeMutable(directory: number, name: BytePath): boolean {
  const place = openat(directory, cPath(name || '.'), PLACE, 0);
  if (place < 0) return false;
  try {
    const { type } = nativeStatus(place, '');
    if (type !== DIRECTORY && type !== REGULAR_FILE) return false;
    // The very one that was looked at, whatever has its name by now.
    const descriptor = openat(AT_FDCWD, cPath(`/proc/self/fd/${place}`), READ, 0);
    if (descriptor < 0) return false;
    try {
      return clearFlags(descriptor);
    } finally {
      close(descriptor);
    }
  } finally {
    close(place);
  }
}

function clearFlags(descriptor: number): boolean {
  const flags = new Int32Array(2);
  const bytes = new Uint8Array(flags.buffer);
  if (ioctlOn(descriptor, FS_IOC_GETFLAGS, bytes) !== 0) return false;
  const [before = 0] = flags;
  const after = before & ~(FS_IMMUTABLE_FL | FS_APPEND_FL);
  if (after === before) return false;
  flags[0] = after;
  return ioctlOn(descriptor, FS_IOC_SETFLAGS, bytes) === 0;
}
