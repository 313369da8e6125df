import type { UnpackLimits } from '../base/config.js';
import { limitExceeded } from '../base/malformed.js';

/**
 * Bytes of names and attributes that are kept until the whole layer is there: paths of directories, whiteouts and links. The largest image we know
 * keeps 4 MB; without a limit, paths of 4 KB each would fill the memory long before the entries are too many.
 */
const KEPT_MAX = 128 * 2 ** 20;
/** What keeping one thing costs beside its bytes. */
const KEPT_EACH = 100;
/** Attributes for each entry of the limit: one global header can give thousands to every entry that follows. */
const XATTRS_PER_ENTRY = 4;
/**
 * Steps along paths whose directory is not known yet, each counted with the length of its path: symlinks to symlinks can ask for 80 000 steps with one
 * entry. The largest image we know takes 200 000; this many take about ten seconds.
 */
const STEPS_MAX = 20_000_000;
const STEP_BYTES = 64;

/** Counts what a layer asks for. Each method throws `ERR_LIMIT_EXCEEDED` when it was too much. */
export class UnpackBudget {
  readonly #limits: UnpackLimits;
  #entries = 0;
  #implied = 0;
  #bytes = 0;
  #xattrs = 0;
  #kept = 0;
  #steps = 0;

  constructor(limits: UnpackLimits) {
    this.#limits = limits;
  }

  /** Entries of the archive so far. */
  get entries(): number {
    return this.#entries;
  }

  /** An entry, with the bytes of its data. */
  entry(bytes: number): void {
    this.#entries++;
    this.#checkEntries();
    this.#bytes += bytes;
    this.#checkBytes();
  }

  /** A directory that the archive only implies: two bytes of a name are enough for one. */
  impliedDirectory(): void {
    this.#implied++;
    this.#checkEntries();
  }

  /** Extended attributes of one entry. They are data: a file system has to keep them somewhere. */
  xattrs(xattrs: ReadonlyMap<string, Uint8Array>): void {
    this.#xattrs += xattrs.size;
    const limit = this.#limits.maxEntries * XATTRS_PER_ENTRY;
    if (this.#xattrs > limit) throw limitExceeded('too many extended attributes', limit, 'maxEntries');
    this.#bytes += xattrBytes(xattrs);
    this.#checkBytes();
  }

  fileSize(bytes: number): void {
    const { maxFileBytes } = this.#limits;
    if (bytes > maxFileBytes) throw limitExceeded(`a file of ${bytes} bytes`, maxFileBytes, 'maxFileBytes');
  }

  /** Something of so many bytes stays in memory until the end. */
  keep(bytes: number): void {
    this.#kept += bytes + KEPT_EACH;
    if (this.#kept > KEPT_MAX)
      throw limitExceeded('too many or too long names of directories, whiteouts and links', KEPT_MAX);
  }

  /** A path of so many bytes was looked up, or one more component of it. */
  step(bytes: number): void {
    this.#steps += 1 + Math.floor(bytes / STEP_BYTES);
    if (this.#steps > STEPS_MAX)
      throw limitExceeded('paths that lead through too many symlinks and directories', STEPS_MAX);
  }

  #checkEntries(): void {
    const { maxEntries } = this.#limits;
    if (this.#entries + this.#implied > maxEntries) throw limitExceeded('too many entries', maxEntries, 'maxEntries');
  }

  #checkBytes(): void {
    const { maxUnpackedBytes } = this.#limits;
    if (this.#bytes > maxUnpackedBytes) throw limitExceeded('too much data', maxUnpackedBytes, 'maxUnpackedBytes');
  }
}

/** Bytes of names and values. */
export function xattrBytes(xattrs: ReadonlyMap<string, Uint8Array>): number {
  let bytes = 0;
  for (const [name, value] of xattrs) bytes += name.length + value.length;
  return bytes;
}
