import type { LayerProgress } from '../../events.js';
import type { ImageId, LayerId } from '../../image/digest.js';
import type { ProcessIdentity } from '../../system/locks/process-identity.js';

/**
 * The records of pulls, by which processes find each other's.
 *
 * A pull is **announced** with its lease: from then on whoever wants the same waits for it instead of pulling too. It **reports** what it needs and
 * how far it is, for others to see. When it is **finished** its lease and its reports go, and its **outcome** stays for a while: for those who
 * waited, and to hold back the next attempt after a failure. A pull that was given up leaves no outcome; its lease is closed, and that is all.
 *
 * A pull of a dead process counts for nothing. None keeps a layer: its lease does, and the layers that it reports are told to others only.
 */
export interface PullRecords {
  /**
   * Opens a lease for a pull, unless a living process is at the same already.
   * @returns `announced`, with the pulls of dead processes that it takes the place of; or the pull that is under way
   */
  announcePull(pull: NewPull, isAlive: (process: ProcessIdentity) => boolean): Promise<PullAnnouncement>;
  /** Says what a pull needs and how far it is. Passed over for one that is not announced (any more). */
  reportPull(pull: string, report: PullReport): Promise<void>;
  /** Closes the lease of a pull and keeps its outcome, instead of an older one of the same. Passed over like a report. @param at when it came to it. Default: now */
  finishPull(pull: string, result: PullResult, at?: number): Promise<void>;
  /** What is known of pulls of this image, whatever their terms. The running ones are not all alive. */
  findPulls(image: Pick<PullKey, 'source' | 'platform'>): Promise<FoundPulls>;
  /** Those under way, oldest first; ties by id. Not all are alive. */
  listPulls(): Promise<PullRecord[]>;
}

/** What is pulled. Two pulls with the same key come to the same end. */
export interface PullKey {
  /** As `formatSource` writes it. */
  readonly source: string;
  /** As `formatPlatform` writes it. */
  readonly platform: string;
  /** Stands for all else that an outcome can depend on: how the registry is reached, what is allowed. Never a secret. */
  readonly terms: string;
}

export interface NewPull extends PullKey {
  /** An id of its own. */
  readonly pull: string;
  readonly process: ProcessIdentity;
}

export interface PullReport {
  readonly image: ImageId;
  /** All layers of the image, bottom first, each once. */
  readonly layers: readonly PullLayer[];
}

export interface PullLayer extends Pick<LayerProgress, 'phase' | 'bytes' | 'total'> {
  readonly layer: LayerId;
}

export interface PullRecord extends NewPull {
  /** Milliseconds since the epoch. */
  readonly since: number;
  /** Undefined until the source has said. */
  readonly image: ImageId | undefined;
  readonly layers: readonly PullLayer[];
}

export type PullAnnouncement =
  | { readonly state: 'announced'; readonly replaced: readonly string[] }
  | { readonly state: 'busy'; readonly pull: PullRecord };

export type PullResult =
  | { readonly kind: 'stored'; readonly image: ImageId; readonly names: readonly string[] }
  | { readonly kind: 'failed'; readonly failure: PullFailure };

/** Why a pull failed, as a `ProvisionerError` says it. */
export interface PullFailure {
  readonly code: string;
  readonly message: string;
  readonly hint: string | null;
}

export interface PullOutcome extends PullKey {
  /** The pull that came to it. */
  readonly pull: string;
  /** Milliseconds since the epoch. */
  readonly finishedAt: number;
  readonly result: PullResult;
}

export interface FoundPulls {
  /** Oldest first. */
  readonly running: readonly PullRecord[];
  /** The last to finish comes first; one for each of the terms. */
  readonly outcomes: readonly PullOutcome[];
}

/** Outcomes are kept so long, in milliseconds: much longer than anybody waits for the next look at them. */
export const OUTCOME_KEPT = 60 * 60 * 1000;
