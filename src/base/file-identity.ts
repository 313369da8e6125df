import { lstatSync } from 'node:fs';

/** Which file it is, whatever its names. While one exists or is open, no other one has the same; afterwards the next one may get it. */
export interface FileIdentity<N extends number | bigint = bigint> {
  readonly dev: N;
  readonly ino: N;
}

/** False for what is not there. */
export function isSameFile<N extends number | bigint>(
  one: FileIdentity<N> | undefined,
  other: FileIdentity<N> | undefined,
): boolean {
  return one !== undefined && one.ino === other?.ino && one.dev === other.dev;
}

/** What the path leads to; a symbolic link counts itself. Undefined for what is not there, or cannot be looked at. */
export function fileIdentity(path: string): FileIdentity | undefined {
  try {
    return lstatSync(path, { bigint: true, throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}
