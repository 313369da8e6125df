import { lstatSync, readdirSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileError, isProvisionerError, systemCode } from '../base/errors.js';
import { makeOwnPlace } from '../base/own-files.js';
import { makeDirectories } from '../files/tree/make-directories.js';
import type { WhiteoutFormat } from '../files/tree/whiteouts.js';
import type { StorePaths } from '../paths.js';
import type { Liveness } from '../system/locks/liveness.js';
import { PROBE, transientName } from '../system/locks/process-identity.js';
import { type Syscalls, syscallError } from '../system/syscalls/syscalls.js';
import { requireNativeCalls } from './fidelity.js';
import { MakerLock } from './maker-lock.js';
import { requireOneFileSystem } from './one-file-system.js';
import { openRoot } from './open-root.js';
import { probeWhiteouts } from './probe-whiteouts.js';
import { isOlder, raiseFormat, readFormat, type StoreFormat, stampFormat } from './store-format.js';

export interface StoreDirectoryOptions {
  /** Make a store also where native calls are missing that root on Linux should have. Default: false. */
  readonly allowDegraded?: boolean;
}

/** Somebody who removes what he has made of a store takes a few milliseconds. He is waited for so long, and looked for so often, in milliseconds. */
const UNDO_WAIT = 1000;
const UNDO_POLL = 20;

/** The root may be removed so often while it is being opened, by others who made it. */
const ENTER_ATTEMPTS = 3;

/** A store's directory whose opening is under way. End it with one of the two. */
export interface OpenedStoreDirectory {
  /** All the rest has been opened too: a new directory becomes a store, one of an older format gets this release's. @throws as `openStoreDirectory` */
  complete(): StoreFormat;
  /** The rest could not be opened: removes what was made for it. What was there before stays, and what another process has made a store. */
  undo(): void;
}

/**
 * As `openStoreDirectory`, but waits for somebody who is just removing what he has made of a new store.
 * @throws ProvisionerError `ERR_STORE_BUSY` when that takes longer than a second
 */
export async function openStoreDirectoryWhenFree(
  ...opening: Parameters<typeof openStoreDirectory>
): Promise<OpenedStoreDirectory> {
  const end = performance.now() + UNDO_WAIT;
  for (;;) {
    try {
      return openStoreDirectory(...opening);
    } catch (error) {
      if (!isProvisionerError(error, 'ERR_STORE_BUSY') || performance.now() >= end) throw error;
    }
    await sleep(UNDO_POLL);
  }
}

/**
 * Opens a store's directory, making what is missing; only then are system calls needed. Several processes may do so at once. It is a store once it is
 * complete: what is found out about the format of a new one counts for good, so a process that cannot open it must not decide that.
 * It ends the life that it has begun when it fails. Only its user may enter it: a layer can hold setuid programs that nobody is meant to run from there.
 * @throws ProvisionerError `ERR_STORE_FORMAT` for a store of another version, `ERR_STORE_DAMAGED`, `ERR_STORE_BUSY` when somebody is just removing what he has
 *   made of it, `ERR_NATIVE_MISSING`, `ERR_PERMISSION`, `ERR_IO`
 */
export function openStoreDirectory(
  paths: StorePaths,
  syscalls: () => Syscalls,
  liveness: Liveness,
  options: StoreDirectoryOptions = {},
): OpenedStoreDirectory {
  return told(paths, () => {
    // A first look, before anything is made; whether that is ours to open is judged below.
    if (!isThere(paths.format)) requireNativeCalls(`make the store ${paths.root}`, syscalls(), options);
    const made: string[] = [];
    let before: readonly string[] = [];
    let lock: MakerLock | undefined;
    let draft: string | undefined;
    const undo = () => {
      liveness.close();
      undoOpening(paths, { made, before, draft, lock });
      lock?.release();
      lock = undefined;
    };
    try {
      lock = enter(paths, syscalls, made);
      // With the lock: what another process makes meanwhile counts as its own.
      before = paths.records.filter(isThere);
      const format = readFormat(paths);
      for (const directory of [paths.staging, paths.layers, paths.gc, paths.containers]) {
        // Asking is ten times quicker than failing.
        if (!isThere(directory)) makeDirectories(directory, made);
      }
      requireOneFileSystem(paths, format === undefined);
      if (format !== undefined) {
        lock?.release();
        lock = undefined;
        const upToDate = () => (isOlder(format) ? raise(paths, format, liveness) : format);
        return { complete: () => told(paths, upToDate), undo };
      }
      // From here to the end of its opening, it tells other processes that this one is at it. A recovery finds it, should it be left.
      if (!isThere(paths.alive)) makeDirectories(paths.alive, made);
      const place = makeOwnPlace(join(paths.staging, transientName(PROBE, liveness.identity)));
      draft = place;
      const whiteouts = probeWhiteouts(`${place}/`, syscalls());
      const completed = () => {
        const format = complete(paths, whiteouts, place);
        lock?.release();
        lock = undefined;
        return format;
      };
      return { complete: () => told(paths, completed), undo };
    } catch (error) {
      undo();
      throw error;
    }
  });
}

/**
 * As `openStoreDirectory`, of a store that is to be looked at: changes nothing, not even what others may read.
 * @throws ProvisionerError as that one
 */
export function openStoreDirectoryReadOnly(paths: StorePaths): StoreFormat {
  return told(paths, () => {
    openRoot(paths, [], { readOnly: true });
    const format = readFormat(paths);
    if (format === undefined) throw syscallError('ENOENT', 'open', paths.format);
    return format;
  });
}

function complete(paths: StorePaths, whiteouts: WhiteoutFormat, draft: string): StoreFormat {
  const format = stampFormat(paths, whiteouts, draft);
  rmSync(draft, { recursive: true, force: true });
  return format;
}

/** The records have been brought up to date before, which they are only when nobody else has them open; so nobody has the store open who would not know this version. */
function raise(paths: StorePaths, format: StoreFormat, liveness: Liveness): StoreFormat {
  if (!isThere(paths.alive)) makeDirectories(paths.alive);
  const draft = makeOwnPlace(join(paths.staging, transientName(PROBE, liveness.identity)));
  try {
    return raiseFormat(paths, format, draft);
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
}

function told<T>(paths: StorePaths, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw fileError(error, 'open the store', paths.root);
  }
}

/** What cannot be looked at counts as there: it is not ours to make or to remove. */
function isThere(path: string): boolean {
  try {
    return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch {
    return true;
  }
}

/**
 * Opens the root, and takes a share of the lock of those who make a store of it.
 * @returns undefined for what is a store already, which needs no system calls, and where there are no such locks
 */
function enter(paths: StorePaths, syscalls: () => Syscalls, made: string[]): MakerLock | undefined {
  for (let attempt = 1; ; attempt++) {
    try {
      openRoot(paths, made);
      return isThere(paths.format) ? undefined : MakerLock.take(paths, syscalls());
    } catch (error) {
      // Another process that made the root as well may have removed it meanwhile.
      if (systemCode(error) !== 'ENOENT' || attempt === ENTER_ATTEMPTS) throw error;
    }
  }
}

/** What an opening has come to. */
interface Opening {
  /** Directories, outermost first. */
  readonly made: readonly string[];
  /** Those files of the records that were there. */
  readonly before: readonly string[];
  readonly draft: string | undefined;
  readonly lock: MakerLock | undefined;
}

/** Keeps its hands off what another process has completed, or is still opening. Where no lock tells whether one is, only directories go that are empty. */
function undoOpening(paths: StorePaths, { made, before, draft, lock }: Opening): void {
  try {
    if (draft !== undefined) rmSync(draft, { recursive: true, force: true });
    if (lock !== undefined && !lock.tryAlone()) return;
    if (isThere(paths.format)) return;
    if (isThere(paths.staging) && readdirSync(paths.staging).length > 0) return;
    const directories = [...new Set(made)].reverse();
    const isInside = (directory: string) => directory.startsWith(join(paths.root, '/'));
    // First of all, because it fails when another process has begun meanwhile.
    if (made.includes(paths.staging)) rmdirSync(paths.staging);
    // What SQLite has beside records that were there may hold a part of them.
    if (lock !== undefined && before.length === 0) for (const file of paths.records) rmSync(file, { force: true });
    for (const directory of directories.filter(isInside)) if (directory !== paths.staging) rmdirSync(directory);
    // From here on another process may begin.
    if (lock?.isNew || (lock !== undefined && made.includes(paths.root))) rmSync(paths.lock, { force: true });
    for (const directory of directories) if (!isInside(directory)) rmdirSync(directory);
  } catch {
    // Something else is in it, or it cannot be removed for the reason for which it could not be opened: that one is told.
  }
}
