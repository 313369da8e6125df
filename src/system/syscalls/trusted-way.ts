import { lstatSync, readlinkSync, type Stats } from 'node:fs';
import { dirname } from 'node:path';
import { isWritableByOthers } from '../../base/foreign-file.js';
import { syscallError } from './syscalls.js';
import { overflowUser } from './user-namespace.js';

/** As many as the kernel follows. @see path_resolution(7) */
const LINKS_MAX = 40;
const STICKY = 0o1000;

/** What is thrown where somebody else could make a path lead elsewhere. */
export interface WayFaults {
  /** @param where `in DIRECTORY`, or `behind the symlink LINK` @param owner whose that is */
  foreign(where: string, owner: number): Error;
  writable(directory: string, status: Stats): Error;
  /** What is missing lies behind a symlink. */
  dangling(link: string, missing: string): Error;
}

/**
 * Where a path leads, provided that nobody but root and this user can make it lead elsewhere:
 *
 * - A directory on the way belongs to root or to us, and others cannot write to it, unless it is sticky like /tmp: then they cannot rename what is ours.
 * - A symlink on the way, and at its end, is followed when it belongs to root or to us: an administrator who has moved a store to a larger disk leaves one.
 * - What is missing at the end of the way is left to be made, but not through a symlink: the disk that it means may not be mounted.
 *
 * What lies at its end is not looked at.
 *
 * @param path absolute and normalised @returns the same without symlinks @throws what `faults` makes; else like Node's `fs`
 */
export function trustedWay(path: string, faults: WayFaults): string {
  // Where there are no user ids, there is nothing to go by.
  if (process.geteuid === undefined) return path;
  const rest = path.split('/').filter((name) => name !== '');
  let at = '/';
  let link = '';
  /** How many of the names that are left do not come from a symlink. */
  let outside = Number.POSITIVE_INFINITY;
  for (let links = 0; ; ) {
    const name = rest.shift();
    if (name === undefined) return at;
    if (name === '' || name === '.') continue;
    if (name === '..') {
      at = dirname(at);
      continue;
    }
    checkDirectory(at, faults);
    const next = `${at === '/' ? '' : at}/${name}`;
    const status = lstatSync(next, { throwIfNoEntry: false });
    if (status === undefined) {
      if (rest.length >= outside)
        throw faults.dangling(link, [next, ...rest.slice(0, rest.length - outside)].join('/'));
      return [next, ...rest].join('/');
    }
    if (!status.isSymbolicLink()) {
      at = next;
      continue;
    }
    if (!isTrusted(status.uid)) throw faults.foreign(`behind the symlink ${next}`, status.uid);
    if (++links > LINKS_MAX) throw syscallError('ELOOP', 'open', path);
    link = next;
    outside = Math.min(outside, rest.length);
    const target = readlinkSync(next);
    if (target.startsWith('/')) at = '/';
    rest.unshift(...target.split('/'));
  }
}

function checkDirectory(directory: string, faults: WayFaults): void {
  const status = lstatSync(directory);
  if (!status.isDirectory()) throw syscallError('ENOTDIR', 'open', directory);
  if (!isTrusted(status.uid)) throw faults.foreign(`in ${directory}`, status.uid);
  if (isWritableByOthers(status) && (status.mode & STICKY) === 0) throw faults.writable(directory, status);
}

/**
 * In a user namespace the directories above belong to who has no id there. Who is shown so cannot be told apart, so there the owners of directories above
 * prove less.
 */
export function isTrusted(owner: number): boolean {
  return owner === 0 || owner === process.geteuid?.() || owner === overflowUser();
}
