import { lstatSync, readlinkSync, type Stats } from 'node:fs';
import { dirname } from 'node:path';

/** As many as the kernel follows. @see path_resolution(7) */
const LINKS_MAX = 40;
const STICKY = 0o1000;

/**
 * Whether a user other than the owner may write. A group with the owner's own number is taken for the private one that many systems give each user; but root's,
 * which programs of all sorts are started with, is none. An ACL that lets anybody write shows in the bits of the group too. @see acl(5), "Correspondence between ACL entries and file permission bits"
 */
export function isWritableByOthers({ mode, uid, gid }: Pick<Stats, 'mode' | 'uid' | 'gid'>): boolean {
  return (mode & 0o002) !== 0 || ((mode & 0o020) !== 0 && (gid !== uid || uid === 0));
}

/** What is thrown where somebody else could make a path lead elsewhere. */
export interface WayFaults {
  /** @param where `in DIRECTORY`, or `behind the symlink LINK` @param owner whose that is */
  foreign(where: string, owner: number): Error;
  writable(directory: string, status: Stats): Error;
  /** What is missing lies behind a symlink. */
  dangling(link: string, missing: string): Error;
}

/**
 * Where a path leads, provided that nobody but those who are trusted, root and this user, can make it lead elsewhere:
 *
 * - A directory on the way belongs to one of them, and others cannot write to it, unless it is sticky like /tmp: then they cannot rename what is ours.
 * - A symlink on the way, and at its end, is followed when it belongs to one of them: an administrator who has moved a store to a larger disk leaves one.
 * - What is missing at the end of the way is left to be made, but not through a symlink: the disk that it means may not be mounted.
 *
 * What lies at its end is not looked at.
 *
 * @param path absolute and normalised @param isTrusted whether an owner is one of them @returns the same without symlinks @throws what `faults` makes; else like Node's `fs`
 */
export function walkWay(path: string, isTrusted: (owner: number) => boolean, faults: WayFaults): string {
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
    checkDirectory(at, isTrusted, faults);
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
    if (++links > LINKS_MAX) throw broken('ELOOP', path);
    link = next;
    outside = Math.min(outside, rest.length);
    const target = readlinkSync(next);
    if (target.startsWith('/')) at = '/';
    rest.unshift(...target.split('/'));
  }
}

function checkDirectory(directory: string, isTrusted: (owner: number) => boolean, faults: WayFaults): void {
  const status = lstatSync(directory);
  if (!status.isDirectory()) throw broken('ENOTDIR', directory);
  if (!isTrusted(status.uid)) throw faults.foreign(`in ${directory}`, status.uid);
  if (isWritableByOthers(status) && (status.mode & STICKY) === 0) throw faults.writable(directory, status);
}

/** As the kernel's answer to open(2). */
function broken(code: 'ELOOP' | 'ENOTDIR', path: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: open '${path}'`), { code, syscall: 'open', path });
}
