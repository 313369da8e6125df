import { ProvisionerError } from '../../../base/errors.js';
import type { RootfsView } from './rootfs-view.js';
import { type GroupEntry, groupsIn, idOf, type UserEntry, usersIn } from './user-files.js';

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
/** Fifteen thousand users and more, where images have dozens. What runs in the container may write them, so that each look at a larger one would hold up this process. */
const LARGEST_FILE = 1024 * 1024;

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
  return { uid, gid, additionalGids: [...new Set([gid, ...groupsOf(rootfs, entry)])], home };
}

/** By their numbers, the first of several as programs have it; empty where the file cannot be read. */
export function userNames(rootfs: RootfsView): ReadonlyMap<number, string> {
  const names = new Map<number, string>();
  for (const { uid, name } of users(rootfs)) if (!names.has(uid)) names.set(uid, name);
  return names;
}

function findUser(rootfs: RootfsView, user: string): UserEntry | undefined {
  const isNumber = isDigits(user) || user === '';
  for (const entry of users(rootfs)) if (isNumber ? entry.uid === Number(user) : entry.name === user) return entry;
  return undefined;
}

function findGroup(rootfs: RootfsView, group: string): GroupEntry | undefined {
  const isNumber = isDigits(group);
  for (const entry of groups(rootfs)) if (isNumber ? entry.gid === Number(group) : entry.name === group) return entry;
  return undefined;
}

/** Which he is a member of. */
function* groupsOf(rootfs: RootfsView, user: UserEntry | undefined): Generator<number> {
  if (user === undefined) return;
  for (const { gid, members } of groups(rootfs)) if (members.includes(user.name)) yield gid;
}

function users(rootfs: RootfsView): Iterable<UserEntry> {
  const file = rootfs.read(USERS, LARGEST_FILE);
  return 'text' in file ? usersIn(file.text) : [];
}

function groups(rootfs: RootfsView): Iterable<GroupEntry> {
  const file = rootfs.read(GROUPS, LARGEST_FILE);
  return 'text' in file ? groupsIn(file.text) : [];
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
