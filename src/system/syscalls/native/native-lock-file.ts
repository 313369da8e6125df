import { closeSync, constants, fstatSync, ftruncateSync, lstatSync, readSync, writeSync } from 'node:fs';
import { constants as os } from 'node:os';
import { type FileIdentity, isSameFile } from '../../../base/file-identity.js';
import { type BytePath, toBytePath } from '../byte-path.js';
import type { LockFile, LockFileOptions, LockHolder } from '../lock-file.js';
import { locksOn } from '../lock-table.js';
import { openOwnFile } from '../open-own-file.js';
import { isStopped } from '../process-state.js';
import { check, fcntl, flock, lastErrno, lastError } from './libc/libc.js';

/** @see flock(2) */
const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;
const LOCK_UN = 8;
/** Locks that belong to the open file, not to the process. @see fcntl(2), "Open file description locks" */
export const F_OFD_GETLK = 36;
const F_OFD_SETLK = 37;
export const F_WRLCK = 1;
const F_UNLCK = 2;
/** `struct flock` of a 64-bit Linux: short type, short whence, long start, long length, int pid. */
export const FLOCK_SIZE = 32;
const NOTE_MAX = 4096;

/**
 * The lock proper is one of flock(2), because /proc/locks tells whose those are. The announcement is a lock of the open file on all of its bytes: only
 * such a lock can be looked at without being taken. Neither kind sees the other.
 */
export class NativeLockFile implements LockFile {
  readonly path: string;
  readonly #bytePath: BytePath;
  readonly descriptor: number;
  readonly #readOnly: boolean;
  #file: FileIdentity | undefined;
  readonly #question = new Uint8Array(FLOCK_SIZE);
  /** Its first field. */
  readonly #type = new Int16Array(this.#question.buffer, 0, 1);

  /** @param create whether a missing file is made @param readOnly see `LockFileOptions` @throws as `openOwnFile` */
  constructor(path: string, { create = true, readOnly = false }: LockFileOptions = {}) {
    this.path = path;
    this.#bytePath = toBytePath(path);
    this.#readOnly = readOnly;
    const flags = constants.O_RDWR | (create ? constants.O_CREAT : 0);
    this.descriptor = openOwnFile(path, readOnly ? constants.O_RDONLY : flags);
  }

  tryLock(kind: 'shared' | 'exclusive'): boolean {
    return this.#succeeds(flock(this.descriptor, (kind === 'shared' ? LOCK_SH : LOCK_EX) | LOCK_NB), 'flock');
  }

  unlock(): void {
    check(flock(this.descriptor, LOCK_UN), 'flock', this.#bytePath);
  }

  tryAnnounceWriter(): boolean {
    // A lock that keeps others from reading takes a file that is open for writing; the lock proper, of flock(2), does not.
    if (this.#readOnly) return !this.hasForeignWriter();
    return this.#succeeds(fcntl(this.descriptor, F_OFD_SETLK, this.#wholeFile(F_WRLCK)), 'fcntl');
  }

  withdrawWriter(): void {
    if (this.#readOnly) return;
    check(fcntl(this.descriptor, F_OFD_SETLK, this.#wholeFile(F_UNLCK)), 'fcntl', this.#bytePath);
  }

  hasForeignWriter(): boolean {
    check(fcntl(this.descriptor, F_OFD_GETLK, this.#wholeFile(F_WRLCK)), 'fcntl', this.#bytePath);
    return this.#type[0] !== F_UNLCK;
  }

  writeNote(text: string): void {
    if (this.#readOnly) return;
    ftruncateSync(this.descriptor);
    writeSync(this.descriptor, text, 0);
  }

  readNote(): string {
    const note = Buffer.alloc(NOTE_MAX);
    return note.toString('utf8', 0, readSync(this.descriptor, note, 0, NOTE_MAX, 0));
  }

  holders(): LockHolder[] {
    const file = fstatSync(this.descriptor, { bigint: true });
    return locksOn(file, 'FLOCK').map((lock) => ({ ...lock, stopped: isStopped(lock.pid) }));
  }

  isInPlace(): boolean {
    // While it is open no other file gets its number.
    this.#file ??= fstatSync(this.descriptor, { bigint: true });
    return isSameFile(lstatSync(this.path, { bigint: true, throwIfNoEntry: false }), this.#file);
  }

  close(): void {
    closeSync(this.descriptor);
  }

  /** A length of 0 reaches to the end, however long the file becomes. */
  #wholeFile(type: number): Uint8Array {
    this.#question.fill(0);
    this.#type[0] = type;
    return this.#question;
  }

  #succeeds(result: number, call: string): boolean {
    if (result === 0) return true;
    const number = lastErrno();
    if (number === os.errno.EAGAIN || number === os.errno.EACCES) return false;
    throw lastError(call, this.#bytePath);
  }
}
