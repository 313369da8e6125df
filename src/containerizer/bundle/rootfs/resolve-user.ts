import { ProvisionerError } from '../../../base/errors.js';
import type { RootfsView } from './rootfs-view.js';
import { type GroupEntry, idOf, readGroups, readUsers, type UserEntry } from './user-files.js';

/** As whom a program runs. */
export interface ContainerUser {
  readonly uid: number;
  readonly gid: number;
  /** The primary group first: who is in no other could else pass for outside of it (CVE-2022-2989). */
  readonly additionalGids: readonly number[];
  /** What `HOME` is where nothing else says so; `/` for who has no line in `/etc/passwd`. */
  readonly home: string;
}

const USERS = '/etc/passwd';
const GROUPS = '/etc/group';
/** The files of a directory service with a hundred thousand users are smaller. */
const LARGEST_FILE = 16 * 1024 * 1024;

/**
 * Looks a user up in the files of the root filesystem, as Docker does: a number counts as such, and needs no line there; a group that is named replaces the user's own and those which
 * he is a member of. What cannot be read there has no lines.
 * @param wanted `user`, `uid`, `user:group`, `uid:gid`; empty for root. @see OCI image-spec, config.md, "User"
 * @throws ProvisionerError `ERR_USER_UNKNOWN` for a name that is not there, and a number above 4294967294
 */
export function resolveUser(rootfs: RootfsView, wanted: string): ContainerUser {
  const colon = wanted.indexOf(':');
  const user = colon < 0 ? wanted : wanted.slice(0, colon);
  const group = colon < 0 ? '' : wanted.slice(colon + 1);

  const entry = findUser(rootfs, user);
  const uid = entry?.uid ?? numberOf(user || '0', 'user');
  if (uid === undefined) throw unknown(rootfs, wanted, 'user', user, USERS);
  const home = entry?.home.startsWith('/') ? entry.home : '/';
  if (group !== '') {
    const gid = findGroup(rootfs, group)?.gid ?? numberOf(group, 'group');
    if (gid === undefined) throw unknown(rootfs, wanted, 'group', group, GROUPS);
    return { uid, gid, additionalGids: [gid], home };
  }
  const gid = entry?.gid ?? 0;
  const others = entry === undefined ? [] : groupsOf(rootfs).filter(({ members }) => members.includes(entry.name));
  return { uid, gid, additionalGids: [...new Set([gid, ...others.map((other) => other.gid)])], home };
}

/** By their numbers, the first of several as programs have it; empty where the file cannot be read. */
export function userNames(rootfs: RootfsView): ReadonlyMap<number, string> {
  return new Map(
    usersOf(rootfs)
      .reverse()
      .map(({ uid, name }) => [uid, name]),
  );
}

function findUser(rootfs: RootfsView, user: string): UserEntry | undefined {
  const isNumber = isDigits(user) || user === '';
  return usersOf(rootfs).find(({ name, uid }) => (isNumber ? uid === Number(user) : name === user));
}

function findGroup(rootfs: RootfsView, group: string): GroupEntry | undefined {
  return groupsOf(rootfs).find(({ name, gid }) => (isDigits(group) ? gid === Number(group) : name === group));
}

function usersOf(rootfs: RootfsView): UserEntry[] {
  const file = rootfs.read(USERS, LARGEST_FILE);
  return 'text' in file ? readUsers(file.text) : [];
}

function groupsOf(rootfs: RootfsView): GroupEntry[] {
  const file = rootfs.read(GROUPS, LARGEST_FILE);
  return 'text' in file ? readGroups(file.text) : [];
}

function numberOf(text: string, what: 'user' | 'group'): number | undefined {
  if (!isDigits(text)) return undefined;
  const number = idOf(text);
  if (number !== undefined) return number;
  throw new ProvisionerError('ERR_USER_UNKNOWN', `there can be no ${what} ${text}`, {
    hint: 'numbers of users and groups go to 4294967294',
    details: { [what]: text },
  });
}

function isDigits(text: string): boolean {
  return /^[0-9]+$/.test(text);
}

function unknown(rootfs: RootfsView, wanted: string, what: 'user' | 'group', name: string, path: string) {
  const file = rootfs.read(path, LARGEST_FILE);
  const why = 'text' in file ? `has no ${what} of that name` : file.problem;
  return new ProvisionerError('ERR_USER_UNKNOWN', `no ${what} ${JSON.stringify(name)}: ${path} of the image ${why}`, {
    hint: 'name one that the image has, or give numbers, such as `1000:1000`, which need no name',
    details: { user: wanted, file: path },
  });
}
