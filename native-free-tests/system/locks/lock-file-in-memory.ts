import type { LockFile, LockHolder } from '#src/system/syscalls/lock-file.js';

/** A lock file that several "processes" have open, each by one `LockFileInMemory`. */
export class SharedLock {
  readonly holders = new Map<LockFileInMemory, LockHolder['kind']>();
  writer: LockFileInMemory | undefined;
  note = '';
  /** Whether the path leads to this file. */
  isInPlace = true;
  #pids = 0;

  open(): LockFileInMemory {
    this.#pids += 1;
    return new LockFileInMemory(this, this.#pids);
  }

  /** Nobody holds anything, and nobody says that a writer is there. */
  get isFree(): boolean {
    return this.holders.size === 0 && this.writer === undefined && this.note === '';
  }
}

export class LockFileInMemory implements LockFile {
  /** It is no file of the system. */
  readonly descriptor = -1;
  readonly path = '/store/lock';
  readonly pid: number;
  readonly #shared: SharedLock;
  /** Whether its process is. */
  stopped = false;
  /** Thrown by the next `writeNote`. */
  noteFails = false;

  constructor(shared: SharedLock, pid: number) {
    this.#shared = shared;
    this.pid = pid;
  }

  tryLock(kind: LockHolder['kind']): boolean {
    const others = [...this.#shared.holders].filter(([holder]) => holder !== this).map(([, held]) => held);
    if (kind === 'exclusive' ? others.length > 0 : others.includes('exclusive')) return false;
    this.#shared.holders.set(this, kind);
    return true;
  }

  unlock(): void {
    this.#shared.holders.delete(this);
  }

  tryAnnounceWriter(): boolean {
    if (this.hasForeignWriter()) return false;
    this.#shared.writer = this;
    return true;
  }

  withdrawWriter(): void {
    if (this.#shared.writer === this) this.#shared.writer = undefined;
  }

  hasForeignWriter(): boolean {
    return this.#shared.writer !== undefined && this.#shared.writer !== this;
  }

  writeNote(text: string): void {
    if (this.noteFails) throw Object.assign(new Error('ENOSPC: no space left'), { code: 'ENOSPC' });
    this.#shared.note = text;
  }

  readNote(): string {
    return this.#shared.note;
  }

  holders(): LockHolder[] {
    return [...this.#shared.holders].map(([{ pid, stopped }, kind]) => ({ pid, kind, stopped }));
  }

  isInPlace(): boolean {
    return this.#shared.isInPlace;
  }

  /** What the kernel does for a process that ends, however it ends: the note stays. */
  close(): void {
    this.unlock();
    this.withdrawWriter();
  }
}
