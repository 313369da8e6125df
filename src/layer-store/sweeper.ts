import { chmodSync, existsSync, lstatSync, renameSync, rmdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { setImmediate as immediate } from 'node:timers/promises';
import { crashPoint } from '../base/crash-points.js';
import { systemCode } from '../base/errors.js';
import { type FailedEntry, failedEntry } from '../base/failed-entry.js';
import { unhurried } from '../base/unhurried.js';
import type { ProvisionerEmitter } from '../events.js';
import { readNames } from '../files/tree/read-names.js';
import { hasFewEntries } from '../files/tree/removal/has-few-entries.js';
import type { RemoveTreeResult } from '../files/tree/removal/remove-tree.js';
import { letGoOfTree } from '../mounts/let-go-of-tree.js';
import type { StorePaths } from '../paths.js';
import { loadSyscalls } from '../system/syscalls/load-syscalls.js';
import { WorkerPool } from '../workers/worker-pool.js';

const require = createRequire(import.meta.url);

/** What could not be deleted yet. */
export interface PostponedEntry {
  /** Absolute. */
  readonly path: string;
  /** Why the last try failed. */
  readonly reason: string;
  readonly attempts: number;
}

/** Before an entry is tried again, in milliseconds: twice as long each time, between these. */
const FIRST_RETRY = 1000;
const LONGEST_RETRY = 60_000;
/** Entries of a directory that is deleted without a thread: a container that wrote little leaves some twenty, and a thread takes 50 ms of a processor to begin, and 15 MB. */
const FEW = 64;

/**
 * Retires directories into `gc/` by rename, which is quick and cannot be half done, and deletes them from there, one after the other, on a
 * thread of its own with a low priority. What cannot be deleted now is postponed: it is tried again later, keeps nobody waiting, and is
 * still there for the next process.
 */
export class Sweeper {
  readonly #paths: StorePaths;
  readonly #events: ProvisionerEmitter;
  readonly #makeRoom: () => boolean;
  readonly #pool = new WorkerPool(1);
  /** Under way or waiting for their turn: paths, in this order. Only the first has a job, since a prune may retire a hundred thousand at once. */
  readonly #waiting = new Set<string>();
  /** Those of them that were put there just now, and not tried yet. */
  readonly #retired = new Set<string>();
  /** Goes through them; undefined when there are none. */
  #sweeping: Promise<void> | undefined;
  readonly #postponed = new Map<string, PostponedEntry>();
  /** Of those that are postponed. */
  readonly #failures = new Map<string, FailedEntry>();
  /** One for each that is postponed, by path. */
  readonly #retries = new Map<string, NodeJS.Timeout>();
  /** What the name of the last retired directory ends with. */
  #lastStamp = 0n;
  #closed = false;

  /** @param makeRoom gives up space on a full disk; false when there is none to give up */
  constructor(paths: StorePaths, events: ProvisionerEmitter, makeRoom: () => boolean = () => false) {
    this.#paths = paths;
    this.#events = events;
    this.#makeRoom = makeRoom;
  }

  /**
   * Takes a directory out of sight and has it deleted later. Harmless when it is not there. One that has been made immutable, as a process in a container
   * may have done, loses those flags. @param name tells what it was, in `gc/`
   * @throws like Node's `fs`, when it cannot be moved; then it is where it was
   */
  retire(directory: string, name: string): void {
    // An empty one, as a pull leaves, is gone at once: that takes no thread.
    if (removeEmpty(directory)) return;
    let retired: string | undefined;
    try {
      retired = this.mark(directory, name);
    } catch (error) {
      if (systemCode(error) !== 'EPERM' || !this.makeMutable(directory)) throw error;
      retired = this.mark(directory, name);
    }
    if (retired === undefined) return;
    this.#retired.add(retired);
    this.sweep(retired);
  }

  /**
   * As `retire`, but leaves the deletion to the caller, and flags where they are: those on a layer are of somebody who means it to stay.
   * @returns where it is now; undefined when it was not there
   */
  mark(directory: string, name: string): string | undefined {
    const retired = this.#paths.retired(name, this.#stamp());
    try {
      rename(directory, retired);
      return retired;
    } catch (error) {
      // Were `gc/` itself not there, it would say so too, and nothing would have moved.
      if (systemCode(error) === 'ENOENT' && lstatSync(directory, { throwIfNoEntry: false }) === undefined)
        return undefined;
      // `gc/` may have to grow for one more name.
      if (systemCode(error) === 'ENOSPC' && this.#makeRoom()) return this.mark(directory, name);
      // A rename onto an empty directory would succeed and hide a fault; onto anything else it fails, which tells of one.
      throw error;
    }
  }

  /** Takes the immutable and append-only flags off a directory and what it lies in, except where that is the store's own. @returns whether there were any */
  makeMutable(directory: string): boolean {
    // Loaded where it is needed, which is hardly ever.
    const { makeMutable } =
      require('../files/tree/removal/make-mutable.js') as typeof import('../files/tree/removal/make-mutable.js');
    const above = dirname(directory);
    const some = makeMutable(directory);
    return (!this.#paths.ownDirectories.includes(above) && makeMutable(above)) || some;
  }

  /** Has an entry of `gc/` deleted. */
  sweep(path: string): void {
    if (this.#closed) return;
    this.#waiting.add(path);
    this.#sweeping ??= this.#sweepWaiting();
    crashPoint('sweep.started');
  }

  /** Has everything deleted that is in `gc/`, whoever left it there. */
  async sweepAll(): Promise<void> {
    for await (const name of unhurried(await readNames(this.#paths.gc))) this.sweep(join(this.#paths.gc, name));
  }

  /** Resolves when nothing is being deleted; what is postponed is not waited for. */
  async idle(): Promise<void> {
    while (this.#sweeping !== undefined) await this.#sweeping;
  }

  /** What this process tried to delete and could not. */
  get postponed(): PostponedEntry[] {
    return [...this.#postponed.values()];
  }

  /** The same, for a report: without what is gone by now, whoever has deleted it. */
  get failed(): FailedEntry[] {
    return [...this.#postponed.keys()].filter(existsSync).map((path) => this.#failures.get(path) as FailedEntry);
  }

  /** Stops deleting at once; what is left in `gc/` is for a later sweep. Call `idle` first to finish. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#waiting.clear();
    this.#retired.clear();
    for (const timer of this.#retries.values()) clearTimeout(timer);
    await this.#pool.close();
  }

  async #sweepWaiting(): Promise<void> {
    try {
      // What is added on the way comes at the end of a set, and is reached too.
      for (const path of this.#waiting) await this.#sweepOne(path);
    } finally {
      this.#sweeping = undefined;
    }
  }

  async #sweepOne(path: string): Promise<void> {
    try {
      const { entries, bytes } = await this.#remove(path);
      this.#events.count('sweptEntries', entries);
      this.#events.count('sweptBytes', bytes);
      this.#postponed.delete(path);
      this.#failures.delete(path);
      clearTimeout(this.#retries.get(path));
      this.#retries.delete(path);
      crashPoint('sweep.oneRemoved');
    } catch (error) {
      this.#park(path, error);
    } finally {
      this.#waiting.delete(path);
    }
  }

  /** What is still mounted in it, by a process that went on when it was destroyed, is let go of and not deleted. */
  async #remove(path: string): Promise<RemoveTreeResult> {
    const remove = () => this.#pool.run('remove-tree', { path, gentle: true });
    try {
      // Many of them would keep others waiting, however small each is.
      if (this.#retired.delete(path) && this.#waiting.size === 1 && hasFewEntries(path, FEW)) {
        await immediate();
        return removeHere(path);
      }
      return await remove();
    } catch (error) {
      if (systemCode(error) !== 'EBUSY' || this.#closed) throw error;
      await letGoOfTree(loadSyscalls(), path);
      return remove();
    }
  }

  #park(path: string, error: unknown): void {
    if (this.#closed) return;
    this.#events.count('sweepFailures');
    const attempts = (this.#postponed.get(path)?.attempts ?? 0) + 1;
    const reason = error instanceof Error ? error.message : String(error);
    this.#postponed.set(path, { path, reason, attempts });
    this.#failures.set(path, failureOf(error, path, reason));
    if (attempts === 1) {
      this.#events.emit('warning', {
        code: 'SWEEP_FAILED',
        message: `cannot delete ${path} now, it will be tried again: ${reason}`,
        details: { path },
      });
    }
    const timer = setTimeout(
      () => {
        this.#retries.delete(path);
        this.sweep(path);
      },
      Math.min(FIRST_RETRY * 2 ** (attempts - 1), LONGEST_RETRY),
    );
    timer.unref();
    // Whoever asked for a sweep meanwhile has had this try, and the next one comes after the longer pause.
    clearTimeout(this.#retries.get(path));
    this.#retries.set(path, timer);
  }

  /** Nanoseconds since the epoch, never twice the same in this process. Another process would have to retire the same name at the same instant. */
  #stamp(): bigint {
    const now = BigInt(Date.now()) * 1_000_000n + (process.hrtime.bigint() % 1_000_000n);
    this.#lastStamp = now > this.#lastStamp ? now : this.#lastStamp + 1n;
    return this.#lastStamp;
  }
}

/** Whatever went wrong: an entry that cannot be deleted is reported. */
function failureOf(error: unknown, path: string, reason: string): FailedEntry {
  try {
    return failedEntry(error, 'delete what was removed', path);
  } catch {
    return { path, code: 'ERR_IO', message: `cannot delete ${path}: ${reason}`, hint: null };
  }
}

function removeHere(path: string): RemoveTreeResult {
  const { removeTree } =
    require('../files/tree/removal/remove-tree.js') as typeof import('../files/tree/removal/remove-tree.js');
  return removeTree(path);
}

function removeEmpty(directory: string): boolean {
  try {
    rmdirSync(directory);
    return true;
  } catch {
    // What is the matter with it shows when it is moved.
    return false;
  }
}

/** To move a directory elsewhere its own `..` is written, which an ordinary user may not do where the mode says so. */
function rename(directory: string, target: string): void {
  try {
    renameSync(directory, target);
  } catch (error) {
    if (systemCode(error) !== 'EACCES') throw error;
    chmodSync(directory, 0o700);
    renameSync(directory, target);
  }
}
