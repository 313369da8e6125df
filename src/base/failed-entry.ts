import { dirname } from 'node:path';
import type { ErrorCode } from './codes/code-tables.js';
import { fileError, isProvisionerError, systemCode } from './errors.js';

/** Something in the store with which its work could not be done, while all the rest of it was: in the reports of what goes through many things. */
export interface FailedEntry {
  /** Absolute: what resisted. */
  readonly path: string;
  readonly code: ErrorCode;
  /** One sentence, with the cause. */
  readonly message: string;
  /** One sentence that says what to do; null where there is nothing to say. */
  readonly hint: string | null;
}

/**
 * What to report of a failure that is about one thing, so that the others can go on.
 * @param action as for `fileError`
 * @throws the error itself when it is about more than that: the caller gave up, the disk is full, the records cannot be had; and a fault of the program
 */
export function failedEntry(error: unknown, action: string, path: string): FailedEntry {
  if (!isProvisionerError(error) && systemCode(error) === undefined) throw error;
  if (isProvisionerError(error, 'ERR_ABORTED', 'ERR_CLOSED', 'ERR_LOCK_TIMEOUT', 'ERR_NO_SPACE', 'ERR_STORE_BUSY'))
    throw error;
  const { code, message, hint, details } = fileError(error, action, path);
  return { path, code, message, hint: whatToDo(details['errno'], path) ?? hint ?? null };
}

/** @param errno of a failed file operation */
function whatToDo(errno: unknown, path: string): string | undefined {
  switch (errno) {
    case 'EPERM':
      return `\`lsattr -d ${path} ${dirname(path)}\` tells whether somebody has made it immutable, or what it lies in, or else the store's gc/; \`chattr -ia\` undoes that`;
    case 'EACCES':
      return 'look who owns it, and what it lies in';
    case 'EBUSY':
      return `something is mounted on it or in it: \`findmnt -R ${path}\` names it; unmount that`;
    case 'EXDEV':
      return 'it is on another file system than the rest of the store, or below an overlay that does not move directories: move it back by hand';
    case 'EROFS':
      return 'something on its way is mounted read-only: mount it writable, then run this again';
    case 'EIO':
    case 'EUCLEAN':
    case 'EBADMSG':
      return 'the disk or the file system is damaged: the kernel’s log says more; check the file system, then run this again';
    default:
      return undefined;
  }
}
