import { availableParallelism, homedir } from 'node:os';
import { isAbsolute } from 'node:path';
import { limit, type OptionTable } from './options/check-options.js';

/** What one layer may ask for before its pull is refused with `ERR_LIMIT_EXCEEDED`. */
export interface UnpackLimits {
  /** Entries of the archive. Default 2 000 000: ten times the largest image we know. */
  readonly maxEntries: number;
  /** Bytes of file data, holes not counted. Default 256 GiB; what stops a bomb earlier is `freeSpaceReserve`. */
  readonly maxUnpackedBytes: number;
  /** Bytes of one file, holes included. Default 16 TiB, what ext4 can hold. */
  readonly maxFileBytes: number;
  /** Bytes that unpacking leaves free on the store's file system; below it a pull fails with `ERR_NO_SPACE`. Default 256 MiB. */
  readonly freeSpaceReserve: number;
}

/** What a pull may ask for. */
export interface PullLimits extends UnpackLimits {
  /**
   * Bytes of an image: its layers as the manifest states them, mostly compressed, those that are stored already included, so that the same image
   * is refused or not whatever the store holds. A pull of a larger one fails with `ERR_LIMIT_EXCEEDED` before any layer is read; one that is stored and
   * need not be pulled is used, however large. Default: no limit.
   */
  readonly maxImageBytes: number;
}

export const PULL_LIMITS: OptionTable<PullLimits> = {
  maxEntries: limit,
  maxUnpackedBytes: limit,
  maxFileBytes: limit,
  freeSpaceReserve: limit,
  maxImageBytes: limit,
};

export const DEFAULT_UNPACK_LIMITS: UnpackLimits = {
  maxEntries: 2_000_000,
  maxUnpackedBytes: 256 * 2 ** 30,
  maxFileBytes: 16 * 2 ** 40,
  freeSpaceReserve: 256 * 2 ** 20,
};

export const DEFAULT_PULL_LIMITS: PullLimits = { ...DEFAULT_UNPACK_LIMITS, maxImageBytes: Number.POSITIVE_INFINITY };

/** After a failure, a pull that nobody forces is not tried again for so long, in milliseconds. */
export const DEFAULT_PULL_COOL_DOWN = 10_000;

/** Layers that are fetched at a time. Podman and containerd fetch as many or fewer; each takes a thread of some 15 MB, and next to no processor while a network is what it waits for. */
export const DEFAULT_MAX_DOWNLOADS = 6;

/**
 * Worker threads for unpacking, copying and sweeping. One for each CPU, since each is busy with inflating and hashing; eight at most,
 * since beyond that the file system is what they wait for, and each takes about 15 MB.
 */
export function defaultWorkers(): number {
  return Math.max(1, Math.min(availableParallelism(), 8));
}

/**
 * A directory that the environment names. Relative ones mean nothing: what a program reads must not depend on where it was started.
 * @see XDG Base Directory Specification, "Basics"
 */
export function directoryFrom(environment: NodeJS.ProcessEnv, name: string): string | undefined {
  const value = environment[name];
  return value !== undefined && isAbsolute(value) ? value : undefined;
}

/** The user's home directory; undefined where neither the environment nor the system's list of users names one. */
export function homeDirectory(environment: NodeJS.ProcessEnv): string | undefined {
  const named = directoryFrom(environment, 'HOME');
  if (named !== undefined) return named;
  try {
    // What it finds in the environment may be relative or empty.
    const found = environment['HOME'] === undefined ? homedir() : undefined;
    return found !== undefined && isAbsolute(found) ? found : undefined;
  } catch {
    return undefined;
  }
}
