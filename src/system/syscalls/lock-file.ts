/**
 * One open lock file. The kernel lets go of everything when its holder dies, however that comes about. Nothing here waits.
 *
 * There are two locks on the file. The one proper is held by many readers or one writer. The other says that a writer is there: it waits or
 * works, and readers that see it do not begin. A reader only looks at it, so any number of them coming and going cannot keep a
 * writer from getting it, and with it the next free moment.
 */
export interface LockFile {
  readonly path: string;
  /** Of the open file: a process that is given it when it is started holds what this one holds, until both have closed it. */
  readonly descriptor: number;
  /** @returns false when it is held by somebody else in a way that excludes this one */
  tryLock(kind: 'shared' | 'exclusive'): boolean;
  unlock(): void;
  /** @returns false when another writer is there already */
  tryAnnounceWriter(): boolean;
  withdrawWriter(): void;
  /** True when another open lock file has announced a writer. */
  hasForeignWriter(): boolean;
  /** What the writer says of itself; replaces what was there. */
  writeNote(text: string): void;
  readNote(): string;
  /** The processes that hold the lock proper, as far as the system tells; other processes' too. */
  holders(): LockHolder[];
  /** Whether its path still leads to the file that is open. */
  isInPlace(): boolean;
  close(): void;
}

export interface LockFileOptions {
  /** Whether a missing file is made. Default: true. */
  readonly create?: boolean;
  /**
   * Opened for reading only, as it must be where nothing can be written, and never made. Who is there can be seen, and the lock proper taken; but a writer cannot be
   * announced, so steady readers may keep this one waiting. Default: false.
   */
  readonly readOnly?: boolean;
}

export interface LockHolder {
  readonly pid: number;
  readonly kind: 'shared' | 'exclusive';
  /** It has been stopped by a signal, so the lock will not come free by itself. Told to people; nothing is decided by it. */
  readonly stopped: boolean;
}
