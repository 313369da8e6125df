import { type WayFaults, walkWay } from '../../base/walk-way.js';
import { overflowUser } from './user-namespace.js';

/** As `walkWay`, where those who are trusted are root and this user. */
export function trustedWay(path: string, faults: WayFaults): string {
  return walkWay(path, isTrusted, faults);
}

/**
 * In a user namespace the directories above belong to who has no id there. Who is shown so cannot be told apart, so there the owners of directories above
 * prove less.
 */
export function isTrusted(owner: number): boolean {
  return owner === 0 || owner === process.geteuid?.() || owner === overflowUser();
}
