/**
 * Several threads copy one tree together. Each walks all of it and copies the files that it is the first to claim;
 * the last to be through with its walk finishes the directories, whose times must not change any more. So nobody waits for anybody,
 * it does not matter when each one starts, and a thread that meets a large file leaves more of the small ones to the others.
 *
 * When one of them fails, the caller must cancel the others; what is in the target then is good for nothing but to be removed.
 */
export interface CopyShare {
  /** 0 to `of` - 1. */
  readonly index: number;
  readonly of: number;
  /** The same for all; one job's only. */
  readonly claims: SharedArrayBuffer;
}

/** @param of from 1 to 254 threads */
export function createCopyShares(of: number): CopyShare[] {
  if (!(of >= 1 && of <= 254)) throw new RangeError(`a copy has 1 to 254 shares, not ${of}`);
  const claims = newClaims(of);
  return Array.from({ length: of }, (_, index) => ({ index, of, claims }));
}

/** The share of a thread that works alone. */
export function wholeCopy(): CopyShare {
  return { index: 0, of: 1, claims: newClaims(1) };
}

function newClaims(of: number): SharedArrayBuffer {
  const claims = new SharedArrayBuffer(of === 1 ? HEADER : HEADER + BUCKETS);
  new Int32Array(claims, 0, 1)[0] = of;
  return claims;
}

/** Holds the number of walks that are not through. */
const HEADER = 8;
/** Files whose inode numbers fall into one bucket go to one thread. Enough for a million files to be claimed one by one, in 1 MiB. */
const BUCKETS = 1 << 20;

/** One thread's view of what is claimed. */
export class ShareClaims {
  readonly #share: CopyShare;
  readonly #walking: Int32Array;
  readonly #owners: Uint8Array;

  constructor(share: CopyShare) {
    this.#share = share;
    this.#walking = new Int32Array(share.claims, 0, 1);
    this.#owners = new Uint8Array(share.claims, HEADER);
  }

  /** True when there is nobody to share with, and claiming can be left out. */
  get alone(): boolean {
    return this.#share.of === 1;
  }

  /**
   * True when the file is this thread's to copy. All names of a file give the same answer, so one thread makes all its hard links.
   * @param inode its low 32 bits will do
   */
  take(layer: number, inode: number): boolean {
    const bucket = (inode + Math.imul(layer, 0x9e3779b1)) & (BUCKETS - 1);
    const mine = this.#share.index + 1;
    const owner = Atomics.compareExchange(this.#owners, bucket, 0, mine);
    return owner === 0 || owner === mine;
  }

  /** Says that this thread is through. @returns true when all the others are, too */
  leave(): boolean {
    return Atomics.sub(this.#walking, 0, 1) === 1;
  }
}
