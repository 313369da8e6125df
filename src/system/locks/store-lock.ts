import { setTimeout as sleep } from 'node:timers/promises';
import { ProvisionerError, throwIfAborted } from '../../base/errors.js';
import type { LockFile, LockHolder } from '../syscalls/lock-file.js';
import { isStopped, pidNamespace } from '../syscalls/process-state.js';
import { LockWait, type WaitingRoom } from './lock-wait.js';
import { ReadWriteLock } from './read-write-lock.js';

/** Who is at the lock, as seen from any process. */
export interface StoreLockState {
  /** Those that hold it. Readers hold it for about a millisecond. */
  readonly holders: readonly LockHolder[];
  /** The writer that holds it or waits for it. */
  readonly writer: LockWriter | undefined;
}

export interface LockWriter {
  readonly pid: number;
  /** What it does: `prune`, `recover`. */
  readonly purpose: string;
  /** Milliseconds since the epoch. */
  readonly since: number;
  /** See `LockHolder`. */
  readonly stopped: boolean;
}

export interface StoreLockOptions {
  /** Called once in each wait that takes long, of several at the same time for the first. */
  readonly onLongWait?: ((waited: number, state: StoreLockState) => void) | undefined;
  /** What is long, in milliseconds. Default: 5000. */
  readonly longWait?: number | undefined;
  /** A wait that takes so many milliseconds ends with `ERR_LOCK_TIMEOUT`. Default: none does. */
  readonly timeout?: number | undefined;
}

/** A reader finds out so often whether the file is still in its place, in milliseconds: each time would cost a provision and its destroy 6 µs. */
const LOOK_FOR_FILE = 1000;

/** Between two looks at a lock that another process holds, in milliseconds. */
const POLL = [1, 1, 2, 5, 10] as const;
/** Whoever waits has looked once more after so many milliseconds. */
export const LONGEST_POLL = POLL[POLL.length - 1] as number;

/**
 * Many readers or one writer, among all processes that have the store open.
 *
 * Within a process the rules are those of `ReadWriteLock`. Between processes the operating system keeps the lock on a file, and frees it when
 * its holder dies. A process holds it while it has readers; a writer of another process that is waiting keeps new readers out, in this process
 * too, so it waits for no longer than the readers that came before it take.
 *
 * Whoever deletes or replaces the file parts those who have the old one open from those who have the new one, and neither sees the other. A writer finds that out
 * before it begins, a reader within a second; they do nothing then.
 *
 * Waiting is polling, so it can be cancelled, and takes no thread. Where the system has no such locks (`openFile` gives none) only this
 * process is kept in order.
 */
export class StoreLock {
  readonly #here = new ReadWriteLock();
  readonly #openFile: () => LockFile | undefined;
  #opened: { readonly file: LockFile | undefined } | undefined;
  readonly #room: WaitingRoom;
  #readers = 0;
  #isWriter = false;
  #heldAlone = false;
  #lookedForFile = Number.NEGATIVE_INFINITY;

  /** @param openFile called when the lock is first used; `close` closes the file */
  constructor(openFile: () => LockFile | undefined, options: StoreLockOptions = {}) {
    this.#openFile = openFile;
    this.#room = { ...options, state: () => this.state(), told: 0 };
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

  /**
   * Runs `work` while no writer works.
   * @throws ProvisionerError `ERR_ABORTED` when `signal` aborts before it starts, `ERR_LOCK_TIMEOUT`, `ERR_STORE_DAMAGED` when the lock's file is not in its place
   */
  async withShared<T>(work: () => T | Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.#waiting(signal, (wait, begin) => {
      if (!this.#here.isOpen) wait.begin();
      return this.#here.withShared(async () => {
        if (!this.#tryEnter()) await this.#until(() => this.#tryEnter(), wait);
        try {
          return await begin(work);
        } finally {
          this.#readers--;
          if (this.#readers === 0) this.#file?.unlock();
        }
      }, wait.signal);
    });
  }

  /**
   * Runs `work` while nobody else works.
   * @param purpose what for, shown to those who wait
   * @throws ProvisionerError as `withShared`
   */
  async withExclusive<T>(purpose: string, work: () => T | Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.#waiting(signal, (wait, begin) => {
      if (!this.#here.isIdle) wait.begin();
      return this.#here.withExclusive(async () => {
        const file = this.#file;
        if (file === undefined) return this.#alone(() => begin(work));
        await this.#until(() => file.tryAnnounceWriter(), wait);
        try {
          this.#isWriter = true;
          noteIfPossible(file, writerNote(purpose));
          await this.#until(() => file.tryLock('exclusive'), wait);
          try {
            requireInPlace(file);
            return await this.#alone(() => begin(work));
          } finally {
            file.unlock();
          }
        } finally {
          noteIfPossible(file, '');
          this.#isWriter = false;
          file.withdrawWriter();
        }
      }, wait.signal);
    });
  }

  state(): StoreLockState {
    const file = this.#file;
    if (file === undefined) return { holders: this.#heldHere(), writer: undefined };
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

  /** Where no file tells. */
  #heldHere(): LockHolder[] {
    if (!this.#heldAlone && this.#readers === 0) return [];
    return [{ pid: process.pid, kind: this.#heldAlone ? 'exclusive' : 'shared', stopped: false }];
  }

  #tryEnter(): boolean {
    const file = this.#file;
    if (file !== undefined) {
      const now = performance.now();
      if (now - this.#lookedForFile >= LOOK_FOR_FILE) {
        requireInPlace(file);
        this.#lookedForFile = now;
      }
      if (file.hasForeignWriter()) return false;
      if (this.#readers === 0 && !file.tryLock('shared')) return false;
    }
    this.#readers++;
    return true;
  }

  /** @param attempt calls `begin` once it has the lock: what `work` then throws is its own */
  async #waiting<T>(
    signal: AbortSignal | undefined,
    attempt: (wait: LockWait, begin: <R>(work: () => R | Promise<R>) => R | Promise<R>) => Promise<T>,
  ): Promise<T> {
    const wait = new LockWait(this.#room, signal);
    let begun = false;
    try {
      return await attempt(wait, (work) => {
        begun = true;
        wait.end();
        return work();
      });
    } catch (error) {
      throw begun ? error : wait.explain(error);
    } finally {
      wait.end();
    }
  }

  async #until(attempt: () => boolean, wait: LockWait): Promise<void> {
    for (let tries = 0; !attempt(); tries++) {
      wait.begin();
      throwIfAborted(wait.signal);
      await sleep(POLL[Math.min(tries, POLL.length - 1)]);
    }
  }
}

function requireInPlace(file: LockFile): void {
  if (file.isInPlace()) return;
  const { path } = file;
  throw new ProvisionerError(
    'ERR_STORE_DAMAGED',
    `the lock ${path} was deleted or replaced while this process had it open`,
    {
      hint: 'nothing was changed; end every process that uses this store before it is used again, since they do not see each other any more',
      details: { path },
    },
  );
}

/** The note is for those who wait; on a full disk the work goes on without it. */
function noteIfPossible(file: LockFile, text: string): void {
  try {
    file.writeNote(text);
  } catch {
    // Nobody depends on it.
  }
}

/** A pid means something in its own namespace only, so whoever reads it has to know which. */
function writerNote(purpose: string): string {
  return JSON.stringify({ pid: process.pid, purpose, since: Date.now(), namespace: pidNamespace() });
}

function parseWriter(note: string): LockWriter | undefined {
  try {
    const { pid, purpose, since, namespace } = JSON.parse(note) as Partial<LockWriter> & {
      readonly namespace?: unknown;
    };
    if (typeof pid !== 'number' || typeof purpose !== 'string' || typeof since !== 'number') return undefined;
    return { pid, purpose, since, stopped: namespace === pidNamespace() && isStopped(pid) };
  } catch {
    // Empty when no writer is there, and a writer that was killed in the middle of its note leaves half of it.
    return undefined;
  }
}
