import { constants } from 'node:os';
import { koffi } from '../../koffi.js';
import { check, lastErrno } from '../../syscalls/native/libc/libc.js';

/** @see memfd_create(2) */
const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
/** Since Linux 6.3, which may be set to let nothing run from memory that does not say so. */
const MFD_EXEC = 0x10;

const memfdCreate = koffi.load(null).func('int memfd_create(const char *, uint)') as (
  name: string,
  flags: number,
) => number;

/** A file in memory that can be sealed and run, closed in whatever is started. @param name for people @returns its descriptor @throws `EMFILE`, `ENFILE`, `ENOMEM` */
export function makeMemoryFile(name: string): number {
  const flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  const descriptor = memfdCreate(name, flags | MFD_EXEC);
  if (descriptor < 0 && lastErrno() === constants.errno.EINVAL) return check(memfdCreate(name, flags), 'memfd_create');
  return check(descriptor, 'memfd_create');
}
