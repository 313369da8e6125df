import type { FailedEntry } from '../base/failed-entry.js';
import type { CheckMode } from '../files/contents/check-layer.js';
import type { LayerDifference } from '../files/contents/differences.js';
import type { ImageId } from '../image/digest.js';

/**
 * Something that is not as it should be.
 *
 * | severity  | means                                                              | exit status of the command |
 * |-----------|--------------------------------------------------------------------|----------------------------|
 * | `damage`  | somebody gets what was never pulled, or an error                    | 1, unless it was healed     |
 * | `leak`    | the disk holds what no record accounts for, or the records miscount | 0                          |
 * | `note`    | all is well, and this explains what is there                        | 0                          |
 */
export interface Finding {
  readonly severity: 'damage' | 'leak' | 'note';
  readonly code: FindingCode;
  /** What it is about: the id of a layer, image or container, or an absolute path. */
  readonly subject: string;
  /** One sentence. */
  readonly message: string;
  /** Of a layer: how it differs from what was unpacked, the first hundred ways. */
  readonly differences: readonly LayerDifference[];
  /** Of a layer: in how many ways. */
  readonly differenceCount: number;
  /** A repair can do something about it. */
  readonly repairable: boolean;
  /** What came of a repair; undefined when none was asked for, or there is nothing to repair. */
  readonly outcome?: RepairOutcome | undefined;
}

export type FindingCode =
  // Damage
  | 'RECORDS_DAMAGED'
  | 'LAYER_MISSING'
  | 'LAYER_DAMAGED'
  | 'IMAGE_INCOMPLETE'
  | 'IMAGE_DOCUMENT_DAMAGED'
  | 'ROOTFS_MISSING'
  | 'VOLUME_MISSING'
  | 'VOLUME_REPLACED'
  | 'DIRECTORY_UNREADABLE'
  // Leaks
  | 'LAYER_UNRECORDED'
  | 'LAYER_MISCOUNTED'
  | 'ROOTFS_UNRECORDED'
  | 'VOLUME_UNRECORDED'
  | 'FOREIGN_FILE'
  // Notes
  | 'RECORDS_INCOMPLETE'
  | 'ROOTFS_NOT_MOUNTED'
  | 'ROOTFS_UNFINISHED'
  | 'STAGING_LEFT'
  | 'GC_LEFT'
  | 'LAYER_PARKED'
  | 'LAUNCH_LEFT'
  | 'VOLUME_LEFT';

export interface RepairOutcome {
  readonly state: 'healed' | 'failed';
  /** What was done, or why it could not be, with a line for each image that was tried. */
  readonly message: string;
  /** The images that the layer was fetched again from, or could not be. */
  readonly images: readonly ImageId[];
  /** Containers that keep the old files until they are destroyed. */
  readonly parkedFor: readonly string[];
}

export type NewFinding = Omit<Finding, 'differences' | 'differenceCount' | 'repairable'> &
  Partial<Pick<Finding, 'differences' | 'differenceCount' | 'repairable'>>;

export function finding(parts: NewFinding): Finding {
  return { differences: [], differenceCount: 0, repairable: false, ...parts };
}

export interface CheckReport {
  readonly mode: CheckMode;
  /** Damage first. */
  readonly findings: readonly Finding[];
  /** What the check could not take away on its way: healed layers that nothing shows any more, and what a repair had staged. Repairs tell by their `outcome`. */
  readonly failed: readonly FailedEntry[];
  /** No damage is left: there was none, or it was healed. */
  readonly sound: boolean;
  readonly layers: number;
  readonly images: number;
  readonly containers: number;
  /** Names in the layers that were compared. */
  readonly entries: number;
  readonly milliseconds: number;
}
