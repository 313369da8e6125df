import { readdirSync, renameSync, rmdirSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { ProvisionerError, systemCode } from '../errors.js';
import { makeOwnPlace } from '../own-files.js';
import type { StorePaths } from '../paths.js';

/** A name that nobody gives. */
const NOTHING = '.no-such-name';
/** Begins the name of a directory that is moved there and back: no layer and no container is called so. */
const TRIED = '.rename.';

/**
 * Sees to it that what a store does by rename can be done so: a pull moves layers out of `staging/`, and all that is removed goes into `gc/`.
 *
 * The kernel is asked to rename what is not there: that two directories are of different mounts, be they of one file system, it says before it looks for the
 * name. So nothing is changed, in a few microseconds. Where that says nothing, between subvolumes of btrfs, whose device numbers differ, and in a new
 * store, of which nothing is known, a directory is moved there and back. @see rename(2), EXDEV
 * @throws ProvisionerError `ERR_STORE_DAMAGED` when nothing can be renamed from one to the other
 */
export function requireOneFileSystem(paths: StorePaths, isNew: boolean): void {
  const { gc } = paths;
  const others = [paths.staging, paths.layers, paths.containers];
  const { dev } = statSync(gc);
  for (const directory of others) {
    if (isAcross(join(directory, NOTHING), join(gc, NOTHING))) throw onAnother(directory, paths);
  }
  const untold = others.filter((directory) => isNew || statSync(directory).dev !== dev);
  if (untold.length > 0) moveThereAndBack(untold, paths);
}

/** A crash in between leaves an empty directory: see `removeTried`. */
function moveThereAndBack(directories: readonly string[], paths: StorePaths): void {
  let place: string;
  try {
    place = makeOwnPlace(join(paths.gc, TRIED));
  } catch (error) {
    // What cannot be written cannot be tried; whoever has to write says so.
    if (systemCode(error) === undefined) throw error;
    return;
  }
  try {
    for (const directory of directories) {
      const there = join(directory, basename(place));
      if (isAcross(place, there) || isAcross(there, place)) throw onAnother(directory, paths);
    }
  } finally {
    for (const path of [place, ...directories.map((directory) => join(directory, basename(place)))])
      removeQuietly(path);
  }
}

/** Removes what a crash left of the trial. Another process that is just at it goes on all the same. */
export function removeTried({ staging, layers, containers, gc }: StorePaths): void {
  for (const directory of [staging, layers, containers, gc]) {
    for (const name of readdirSync(directory)) if (name.startsWith(TRIED)) removeQuietly(join(directory, name));
  }
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
