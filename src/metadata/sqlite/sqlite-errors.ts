import { accessSync, chmodSync, closeSync, constants, openSync, statfsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { type ErrorDetails, noDescriptors, ProvisionerError, systemCode } from '../../base/errors.js';
import { resultCodeName } from './drivers/result-codes.js';

/** SQLite's extended result code as text (`SQLITE_BUSY_SNAPSHOT`); undefined for any other error. */
function resultCode(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  // better-sqlite3 gives the name as the code; Node's module gives the number apart from its own code.
  const { code, errcode } = error as NodeJS.ErrnoException & { readonly errcode?: unknown };
  if (code === 'ERR_SQLITE_ERROR' && typeof errcode === 'number') return resultCodeName(errcode);
  return code?.startsWith('SQLITE_') ? code : undefined;
}

/**
 * True when another process has the database for the moment: asking again can succeed. SQLITE_PROTOCOL is the same
 * story told by the start-up of the write-ahead log.
 */
export function isBusy(error: unknown): boolean {
  const code = resultCode(error);
  return code !== undefined && /^SQLITE_(?:BUSY|LOCKED|PROTOCOL|READONLY_RECOVERY|READONLY_CANTLOCK)/.test(code);
}

/** True when a row was not deleted because another points at it. The transaction goes on without that. */
export function isPointedAt(error: unknown): boolean {
  return resultCode(error) === 'SQLITE_CONSTRAINT_FOREIGNKEY';
}

/** Of a change to records that were opened for reading only. */
export function recordsReadOnly(path: string, cause?: unknown): ProvisionerError {
  return new ProvisionerError('ERR_READ_ONLY', `the records at ${path} can only be read`, {
    cause,
    hint: 'mount the store for writing, or give its owner the right to write',
    details: { path },
  });
}

export function storeBusy(path: string, waited: number, cause: unknown): ProvisionerError {
  return new ProvisionerError('ERR_STORE_BUSY', `the records at ${path} were busy for ${Math.round(waited)} ms`, {
    cause,
    hint: 'another process is writing the store without a pause; try again, or look for one that is stopped',
    details: { path, waited: Math.round(waited) },
  });
}

/** SQLite says neither that there is no descriptor left nor that the file system has become read-only. */
function machineCode(path: string): string | undefined {
  try {
    const directory = dirname(path);
    closeSync(openSync(directory, constants.O_RDONLY));
    accessSync(path, constants.W_OK);
    // After an error of the disk some file systems refuse what is written, and do not say so when they are asked.
    chmodSync(directory, statSync(directory).mode & 0o7777);
    return undefined;
  } catch (error) {
    return systemCode(error);
  }
}

function hasFreeInodes(path: string): boolean {
  try {
    const { files, ffree } = statfsSync(dirname(path));
    // File systems that have as many as they like say that they have none in all.
    return files === 0 || ffree > 0;
  } catch {
    return true;
  }
}

/** Of records that hold what nobody who writes them would have left so. @param how as the end of a clause that begins with `the records` */
export function recordsDamaged(path: string, how: string, cause?: unknown, sqlite?: string): ProvisionerError {
  return new ProvisionerError('ERR_STORE_DAMAGED', `the records at ${path} ${how}`, {
    cause,
    hint: 'move the whole store away and start with an empty one; or end all that uses it, put the file back from a backup with no -wal and -shm beside it, and run `provisioner recover`',
    details: { path, ...(sqlite === undefined ? {} : { sqlite }) },
  });
}

/** Tells what SQLite answered in this project's words. Errors of other origin come back as they are. */
export function databaseError(error: unknown, path: string): unknown {
  const code = resultCode(error);
  if (code === undefined || !(error instanceof Error)) return error;
  const details: ErrorDetails = { path, sqlite: code };
  if (/^SQLITE_(?:CORRUPT|NOTADB)/.test(code))
    return recordsDamaged(path, `are damaged: ${error.message}`, error, code);
  // A statement that can be carried out on every other store: what it asks for is not in this file, such as a table or a column.
  if (code === 'SQLITE_ERROR')
    return recordsDamaged(path, `are not made as they should be: ${error.message}`, error, code);
  if (/^SQLITE_(?:CANTOPEN|IOERR|READONLY)/.test(code)) {
    const beneath = machineCode(path);
    if (beneath === 'EROFS') return recordsReadOnly(path, error);
    if (beneath === 'EMFILE' || beneath === 'ENFILE')
      return noDescriptors(`open the records at ${path}`, beneath, error);
  }
  // The shared-memory file of the log cannot grow either when the disk is full, and has a code of its own.
  // Without a free inode the log cannot be made, and SQLite does not say why.
  const full = code.startsWith('SQLITE_CANTOPEN') && !hasFreeInodes(path);
  if (full || code === 'SQLITE_FULL' || code === 'SQLITE_IOERR_SHMSIZE') {
    return new ProvisionerError('ERR_NO_SPACE', `no space left to write the records at ${path}`, {
      cause: error,
      hint: 'free some space, or prune images that nothing uses',
      details,
    });
  }
  if (/^SQLITE_(?:READONLY|PERM|AUTH)/.test(code)) {
    return new ProvisionerError('ERR_PERMISSION', `not permitted to write the records at ${path}: ${error.message}`, {
      cause: error,
      hint: 'check who owns the store, or choose another one with --root',
      details,
    });
  }
  return new ProvisionerError('ERR_IO', `cannot use the records at ${path}: ${error.message}`, {
    cause: error,
    hint: code.startsWith('SQLITE_CANTOPEN') ? 'check that its directory exists and may be written' : 'check the disk',
    details,
  });
}
