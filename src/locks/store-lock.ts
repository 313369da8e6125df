import { setTimeout as sleep } from 'node:timers/promises';
import { throwIfAborted } from '../errors.js';
import type { LockFile } from '../syscalls/lock-file.js';
import { ReadWriteLock } from './read-write-lock.js';

/** Who is at the lock, as seen from any process. */
export interface StoreLockState {
  /** Those that hold it. Readers hold it for about a millisecond. */
  readonly holders: readonly { readonly pid: number; readonly kind: 'shared' | 'exclusive' }[];
  /** The writer that holds it or waits for it. */
  readonly writer: LockWriter | undefined;
}

export interface LockWriter {
  readonly pid: number;
  /** What it does: `prune`, `recover`. */
  readonly purpose: string;
  /** Milliseconds since the epoch. */
  readonly since: number;
}

export interface StoreLockOptions {
  /** Called once in each wait that takes long. */
  readonly onLongWait?: (waited: number, state: StoreLockState) => void;
  /** What is long, in milliseconds. Default: 5000. */
  readonly longWait?: number;
}

/** Between two looks at a lock that another process holds, in milliseconds. */
const POLL = [1, 1, 2, 5, 10] as const;

/**
 * Many readers or one writer, among all processes that have the store open.
 *
 * Within a process the rules are those of `ReadWriteLock`. Between processes the operating system keeps the lock on a file, and frees it when
 * its holder dies. A process holds it while it has readers; a writer of another process that is waiting keeps new readers out, in this process
 * too, so it waits for no longer than the readers that came before it take.
 *
 * Waiting is polling, so it can be cancelled, and takes no thread. Where the system has no such locks (`openFile` gives none) only this
 * process is kept in order.
 */
export class StoreLock {
  readonly #here = new ReadWriteLock();
  readonly #openFile: () => LockFile | undefined;
  #opened: { readonly file: LockFile | undefined } | undefined;
  readonly #options: StoreLockOptions;
  #readers = 0;
  #isWriter = false;
  #heldAlone = false;

  /** @param openFile called when the lock is first used; `close` closes the file */
  constructor(openFile: () => LockFile | undefined, options: StoreLockOptions = {}) {
    this.#openFile = openFile;
    this.#options = options;
  }

  get #file(): LockFile | undefined {
    this.#opened ??= { file: this.#openFile() };
    return this.#opened.file;
  }

  /** False where other processes are not kept in order. */
  get spansProcesses(): boolean {
    return this.#file !== undefined;
  }

  /** True while `withExclusive` of this very lock runs its work. */
  get isHeldAlone(): boolean {
    return this.#heldAlone;
  }

  /** Runs `work` while no writer works. @throws ProvisionerError `ERR_ABORTED` when `signal` aborts before it starts */
  async withShared<T>(work: () => T | Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.#here.withShared(async () => {
      if (!this.#tryEnter()) await this.#until(() => this.#tryEnter(), signal);
      try {
        return await work();
      } finally {
        this.#readers--;
        if (this.#readers === 0) this.#file?.unlock();
      }
    }, signal);
  }

  /**
   * Runs `work` while nobody else works.
   * @param purpose what for, shown to those who wait @throws ProvisionerError `ERR_ABORTED` when `signal` aborts before it starts
   */
  async withExclusive<T>(purpose: string, work: () => T | Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.#here.withExclusive(async () => {
      const file = this.#file;
      if (file === undefined) return this.#alone(work);
      await this.#until(() => file.tryAnnounceWriter(), signal);
      try {
        this.#isWriter = true;
        const writer: LockWriter = { pid: process.pid, purpose, since: Date.now() };
        noteIfPossible(file, JSON.stringify(writer));
        await this.#until(() => file.tryLock('exclusive'), signal);
        try {
          return await this.#alone(work);
        } finally {
          file.unlock();
        }
      } finally {
        noteIfPossible(file, '');
        this.#isWriter = false;
        file.withdrawWriter();
      }
    }, signal);
  }

  state(): StoreLockState {
    const file = this.#file;
    if (file === undefined) return { holders: [], writer: undefined };
    // A writer that was killed leaves its note behind, but not its lock.
    const present = this.#isWriter || file.hasForeignWriter();
    return { holders: file.holders(), writer: present ? parseWriter(file.readNote()) : undefined };
  }

  close(): void {
    this.#opened?.file?.close();
  }

  async #alone<T>(work: () => T | Promise<T>): Promise<T> {
    this.#heldAlone = true;
    try {
      return await work();
    } finally {
      this.#heldAlone = false;
    }
  }

  #tryEnter(): boolean {
    const file = this.#file;
    if (file !== undefined) {
      if (file.hasForeignWriter()) return false;
      if (this.#readers === 0 && !file.tryLock('shared')) return false;
    }
    this.#readers++;
    return true;
  }

  async #until(attempt: () => boolean, signal: AbortSignal | undefined): Promise<void> {
    const started = performance.now();
    let told = false;
    for (let tries = 0; !attempt(); tries++) {
      throwIfAborted(signal);
      const waited = performance.now() - started;
      if (!told && waited >= (this.#options.longWait ?? 5000)) {
        told = true;
        this.#options.onLongWait?.(waited, this.state());
      }
      await sleep(POLL[Math.min(tries, POLL.length - 1)]);
    }
  }
}

/** The note is for those who wait; on a full disk the work goes on without it. */
function noteIfPossible(file: LockFile, text: string): void {
  try {
    file.writeNote(text);
  } catch {
    // Nobody depends on it.
  }
}

function parseWriter(note: string): LockWriter | undefined {
  try {
    const { pid, purpose, since } = JSON.parse(note) as Partial<LockWriter>;
    const complete = typeof pid === 'number' && typeof purpose === 'string' && typeof since === 'number';
    return complete ? { pid, purpose, since } : undefined;
  } catch {
    // Empty when no writer is there, and a writer that was killed in the middle of its note leaves half of it.
    return undefined;
  }
}
