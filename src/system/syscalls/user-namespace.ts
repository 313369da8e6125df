import { readFileSync } from 'node:fs';
import { systemCode } from '../../base/errors.js';

/** More users than that there are not: the last number means "no user" and is never mapped. */
const ALL_USERS = 0xffffffff;

let overflow: { readonly uid: number | undefined } | undefined;

/**
 * Whether this process is in a user namespace in which some users have no id. There chown(2) and some extended attributes fail for reasons that are no fault of
 * the file's. @see user_namespaces(7)
 */
export function isInUserNamespace(): boolean {
  return overflowUser() !== undefined;
}

/**
 * As whom a user namespace shows all those who have no id there, the machine's root among them. Who is shown so cannot be told apart.
 * @returns undefined where every user has an id
 * @see user_namespaces(7), "Unmapped user and group IDs"
 */
export function overflowUser(): number | undefined {
  overflow ??= { uid: findOverflowUser() };
  return overflow.uid;
}

function findOverflowUser(): number | undefined {
  try {
    const map = readFileSync('/proc/self/uid_map', 'latin1');
    const mapped = map.split('\n').reduce((sum, line) => sum + Number(line.trim().split(/\s+/)[2] ?? 0), 0);
    if (mapped >= ALL_USERS) return undefined;
    return Number(readFileSync('/proc/sys/kernel/overflowuid', 'latin1'));
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return undefined;
  }
}
