import type { ProcessIdentity } from '../../system/locks/process-identity.js';

/**
 * Holdings: what of this machine only one may have at a time, by kind and name: `device vendor.com/gpu=0`, `cpu 3`, `port 0.0.0.0:80/tcp`.
 *
 * Who holds something is told by a word that means something to whoever takes it, such as the id of a launch; what is held for nobody (a network, a namespace that waits to be asked for) has none.
 * Nothing is given back by itself: whoever takes knows how to find out, also after a crash, that a holder is gone (`process`, `boot`, the records of launches), and gives back for him.
 *
 * `details` are JSON, which nobody here reads: no secrets belong in them.
 */
export interface HoldingRecords {
  /**
   * Takes all that is wanted, or nothing.
   * @returns what was taken, in the order of what was wanted; or those in whose hands is what could not be had
   * @throws ProvisionerError `ERR_BAD_OPTION` where one thing is wanted twice
   */
  takeHoldings(taker: HoldingTaker, wanted: readonly WantedHolding[]): Promise<TakenHoldings>;
  /** Hands a holding over, or changes what is known of it, if it is still with whom it is thought to be. @returns whether it was */
  changeHolding(holding: HoldingKey, change: HoldingChange): Promise<boolean>;
  /** Gives back. What is not held, or with somebody else by now, is passed over. */
  releaseHoldings(holdings: readonly HeldBy[]): Promise<void>;
  /** Sorted by kind and name. */
  listHoldings(wanted?: HoldingsWanted): Promise<HoldingRecord[]>;
}

export interface HoldingKey {
  /** A word. */
  readonly kind: string;
  readonly name: string;
}

/** A holding, and with whom it is thought to be. */
export interface HeldBy extends HoldingKey {
  readonly holder: string | undefined;
}

export interface HoldingTaker {
  /** Undefined: held for nobody yet. */
  readonly holder?: string | undefined;
  /** Who takes it, and answers for it as long as it has no holder. */
  readonly process: ProcessIdentity;
  /** The machine's boot, as the kernel names it. */
  readonly bootId: string;
}

export interface WantedHolding {
  readonly kind: string;
  /** Any of these. */
  readonly names: readonly string[];
  /** So many of them, the first that are free. Default: all. */
  readonly count?: number | undefined;
  /** JSON. */
  readonly details?: string | undefined;
}

export interface HoldingRecord extends HeldBy {
  readonly process: ProcessIdentity;
  readonly bootId: string;
  /** When it was taken, in milliseconds since the epoch. */
  readonly since: number;
  readonly details: string | undefined;
}

export type TakenHoldings =
  | { readonly taken: readonly HoldingRecord[]; readonly held?: undefined }
  /** Of the first wish that could not be met: each of its names that somebody has. */
  | { readonly taken?: undefined; readonly held: readonly HoldingRecord[] };

/** What is left out stays as it is. */
export interface HoldingChange {
  /** With whom it has to be; null for nobody. */
  readonly from: string | null;
  readonly holder?: string | undefined;
  /** JSON. */
  readonly details?: string | undefined;
}

export interface HoldingsWanted {
  readonly kind?: string | undefined;
  readonly holder?: string | undefined;
}
