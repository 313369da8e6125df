import { lstatSync, readdirSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileError } from '../errors.js';
import type { Liveness } from '../locks/liveness.js';
import { PROBE, transientName } from '../locks/process-identity.js';
import { makeOwnPlace } from '../own-files.js';
import type { StorePaths } from '../paths.js';
import type { Syscalls } from '../syscalls/syscalls.js';
import { makeDirectories } from '../tree/make-directories.js';
import type { WhiteoutFormat } from '../tree/whiteouts.js';
import { requireNativeCalls } from './fidelity.js';
import { openRoot } from './open-root.js';
import { probeWhiteouts } from './probe-whiteouts.js';
import { readFormat, type StoreFormat, stampFormat } from './store-format.js';

export interface StoreDirectoryOptions {
  /** Make a store also where native calls are missing that root on Linux should have. Default: false. */
  readonly allowDegraded?: boolean;
}

/** A store's directory whose opening is under way. End it with one of the two. */
export interface OpenedStoreDirectory {
  /** All the rest has been opened too: a new directory becomes a store. @throws as `openStoreDirectory` */
  complete(): StoreFormat;
  /** The rest could not be opened: removes what was made for it. What was there before stays, and what another process has made a store. */
  undo(): void;
}

/**
 * Opens a store's directory, making what is missing; only then are system calls needed. Several processes may do so at once. It is a store once it is
 * complete: what is found out about the format of a new one counts for good, so a process that cannot open it must not decide that.
 * It ends the life that it has begun when it fails. Only its user may enter it: a layer can hold setuid programs that nobody is meant to run from there.
 * @throws ProvisionerError `ERR_STORE_FORMAT` for a store of another version, `ERR_STORE_DAMAGED`, `ERR_NATIVE_MISSING`, `ERR_PERMISSION`, `ERR_IO`
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
    const before = paths.records.filter(isThere);
    const made: string[] = [];
    let draft: string | undefined;
    const undo = () => {
      liveness.close();
      undoOpening(paths, made, before, draft);
    };
    try {
      openRoot(paths, made);
      const format = readFormat(paths);
      for (const directory of [paths.staging, paths.layers, paths.gc, paths.containers]) {
        // Asking is ten times quicker than failing.
        if (!isThere(directory)) makeDirectories(directory, made);
      }
      if (format !== undefined) return { complete: () => format, undo };
      // From here to the end of its opening, it tells other processes that this one is at it. A recovery finds it, should it be left.
      if (!isThere(paths.alive)) makeDirectories(paths.alive, made);
      const place = makeOwnPlace(join(paths.staging, transientName(PROBE, liveness.identity)));
      draft = place;
      const whiteouts = probeWhiteouts(`${place}/`, syscalls());
      return { complete: () => told(paths, () => complete(paths, whiteouts, place)), undo };
    } catch (error) {
      undo();
      throw error;
    }
  });
}

function complete(paths: StorePaths, whiteouts: WhiteoutFormat, draft: string): StoreFormat {
  const format = stampFormat(paths, whiteouts, draft);
  rmSync(draft, { recursive: true, force: true });
  return format;
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
 * Keeps its hands off what another process has completed, or is still opening.
 * @param made directories, outermost first @param before those files of the records that were there
 */
function undoOpening(
  paths: StorePaths,
  made: readonly string[],
  before: readonly string[],
  draft: string | undefined,
): void {
  try {
    if (draft !== undefined) rmSync(draft, { recursive: true, force: true });
    if (isThere(paths.format)) return;
    if (isThere(paths.staging) && readdirSync(paths.staging).length > 0) return;
    const directories = [...made].reverse();
    // First of all, because it fails when another process has begun meanwhile.
    if (made.includes(paths.staging)) rmdirSync(paths.staging);
    // What SQLite has beside records that were there may hold a part of them.
    if (before.length === 0) for (const file of paths.records) rmSync(file, { force: true });
    for (const directory of directories) if (directory !== paths.staging) rmdirSync(directory);
  } catch {
    // Something else is in it, or it cannot be removed for the reason for which it could not be opened: that one is told.
  }
}
