/**
 * Names a piece of work of one process in the records of a store: `<life>.<pid>`. The life, 32 hex digits, names the file below `alive/` that the process
 * holds a kernel lock on for so long, see `Liveness`. The pid is for people to read: it means something in the process's own PID namespace only, and nothing is
 * decided by it.
 */
export type ProcessIdentity = string & { readonly processIdentity?: never };

const IDENTITY = /^([0-9a-f]{32})\.(\d+)$/;

/** The life that an identity belongs to; undefined for a text that is none. */
export function lifeOf(identity: ProcessIdentity): string | undefined {
  return IDENTITY.exec(identity)?.[1];
}

/** The pid of an identity, as its own process knows it; 0 for a text that is none. For people. */
export function pidOf(identity: ProcessIdentity): number {
  return Number(IDENTITY.exec(identity)?.[2] ?? 0);
}

/** What is tried out or put together for some milliseconds. */
export const PROBE = 'probe';
/** What a volume is filled with. */
export const FILLING = 'volume';

/**
 * Begins the name of what a process makes for a moment in a directory of the store, so that whoever tidies there can tell whether it is still at it.
 * @param kind without an underscore
 */
export function transientName(kind: string, identity: ProcessIdentity): string {
  return `${kind}_${identity}-`;
}

/** @returns who makes what bears this name; undefined when it is not a `transientName` of this kind */
export function makerOf(name: string, kind: string): ProcessIdentity | undefined {
  const [begin = '', ...suffixes] = name.split('-');
  const identity = begin.slice(kind.length + 1);
  return suffixes.length > 0 && begin === `${kind}_${identity}` && lifeOf(identity) !== undefined
    ? identity
    : undefined;
}
