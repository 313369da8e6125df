import { existsSync, renameSync, rmdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { ProvisionerError, systemCode } from '../base/errors.js';
import { makeOwnDirectory } from '../base/own-files.js';
import type { StorePaths } from '../paths.js';

/** A name that nobody gives. */
const NOTHING = '.no-such-name';
/** The name of a directory that is moved there and back: no layer and no container is called so. Several processes may be at it, and each comes to its answer. */
export const TRIED = '.rename';

/**
 * Sees to it that what a store does by rename can be done so: layers, and what volumes are filled with, are moved out of `staging/`, and all that is removed goes into `gc/`.
 *
 * The kernel is asked to rename what is not there: that two directories are of different mounts, be they of one file system, it says before it looks for the
 * name. So nothing is changed, in a few microseconds. Where that says nothing, between subvolumes of btrfs, whose device numbers differ, and in a new
 * store, of which nothing is known, a directory is moved there and back. @see rename(2), EXDEV
 * @throws ProvisionerError `ERR_STORE_DAMAGED` when nothing can be renamed from one to the other
 */
export function requireOneFileSystem(paths: StorePaths, isNew: boolean): void {
  const { gc, staging, layers, containers, volumes } = paths;
  // A store that has never had a volume has no place for them.
  const others = [staging, layers, containers, ...(existsSync(volumes) ? [volumes] : [])];
  const { dev } = statSync(gc);
  for (const directory of others) {
    if (isAcross(join(directory, NOTHING), join(gc, NOTHING))) throw onAnother(directory, paths);
  }
  const untold = others.filter((directory) => isNew || statSync(directory).dev !== dev);
  if (untold.length > 0) moveThereAndBack(untold, paths);
}

/**
 * Stands before something counts as gone that is not in a directory of the store: what is mounted there hides what was there before. Asked in the same way.
 * @throws ProvisionerError `ERR_STORE_DAMAGED` when something is mounted over it, or between the root and it
 */
export function requireNothingHidden(directory: string, { root, gc }: StorePaths): void {
  if (!isAcross(join(directory, NOTHING), join(gc, NOTHING))) return;
  throw new ProvisionerError(
    'ERR_STORE_DAMAGED',
    `something is mounted over ${directory}, or above it in the store, so what is not there may only be hidden`,
    {
      hint: `unmount what is mounted below ${root} and is no root filesystem (\`findmnt\` lists it), then try again`,
      details: { path: directory },
    },
  );
}

/** A crash in between leaves an empty directory: see `removeTried`. */
function moveThereAndBack(directories: readonly string[], paths: StorePaths): void {
  const place = join(paths.gc, TRIED);
  try {
    makeOwnDirectory(place);
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    // What cannot be written cannot be tried; whoever has to write says so.
    if (systemCode(error) !== 'EEXIST') return;
  }
  try {
    for (const directory of directories) {
      const there = join(directory, TRIED);
      if (isAcross(place, there) || isAcross(there, place)) throw onAnother(directory, paths);
    }
  } finally {
    removeTried(paths);
  }
}

/** Removes what a crash left of the trial. Another process that is just at it goes on all the same. */
export function removeTried({ staging, layers, containers, volumes, gc }: StorePaths): void {
  for (const directory of [staging, layers, containers, volumes, gc]) removeQuietly(join(directory, TRIED));
}

/** Whether a rename fails because one place is on another file system, or another mount of it. */
function isAcross(from: string, to: string): boolean {
  try {
    renameSync(from, to);
    return false;
  } catch (error) {
    const code = systemCode(error);
    if (code === undefined) throw error;
    return code === 'EXDEV';
  }
}

function removeQuietly(path: string): void {
  try {
    rmdirSync(path);
  } catch {
    // It is not there, or a sweep has been quicker.
  }
}

function onAnother(directory: string, { root, gc }: StorePaths): ProvisionerError {
  return new ProvisionerError(
    'ERR_STORE_DAMAGED',
    `${directory} and ${gc} are on different file systems, or different mounts or subvolumes of one, so nothing can be moved from one to the other`,
    {
      hint: `unmount what is mounted below ${root}, and put the whole of it on one file system; to have the store elsewhere, move all of it or name another with --root`,
      details: { path: directory, other: gc },
    },
  );
}
