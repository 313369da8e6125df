import type { BytePath } from '../../../system/syscalls/byte-path.js';

/** What the two halves of a copy know of each other: who makes the archive, and who unpacks it while it is made. */
export interface SharedCopy {
  /** What is not whole yet is no part of the source, although it may lie there: a directory that is copied into itself would never end. */
  readonly drafts: Set<BytePath>;
  /** The file that is written is not over with its entry: the next one goes on with it. Who makes the archive changes it only when all that came before has been unpacked. */
  isContinued: boolean;
}

export function sharedCopy(): SharedCopy {
  return { drafts: new Set(), isContinued: false };
}
