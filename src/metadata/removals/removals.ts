import type { ImageId, LayerId } from '../../image/digest.js';
import type { ProcessIdentity } from '../../system/locks/process-identity.js';
import type { ImageSummary } from '../images/image-records.js';

/**
 * What prune and recovery take out of the records of other sections. It has no tables of its own.
 *
 * What a caller saw may have changed since, so each removal looks again, in the transaction that removes: what keeps an image or a layer by then has the last
 * word. A section that keeps something does so by a row with a foreign key (to an image, a stack or a layer), which SQLite itself holds against every removal: that one
 * thing stays, and the rest goes. Only leases name layers that are not recorded yet, and are asked about instead. See `LAYER_KEEPERS`.
 */
export interface Removals {
  /** Gets ready for a removal, so that `removeUnused` takes no longer than it must: call it before the lock that the removal needs is held. */
  prepareRemoval(removal: Removal): Promise<void>;
  /**
   * Takes images and layers out of the records, in one transaction, as far as they may go: an image that has been used, named, pinned
   * or taken up by a rootfs since it was looked at stays; a layer that an image, a rootfs or a lease needs stays.
   *
   * Each layer that goes is claimed for `process`: until the claim is given back, whoever wants that layer waits.
   * @param exactly all of it goes, or nothing
   * @throws ProvisionerError `ERR_PLAN_OUTDATED` when all of it was to go and something stays
   */
  removeUnused(removal: Removal, process: ProcessIdentity, exactly: boolean): Promise<Removed>;
  /** Drops what only the records of gone images and rootfses still hold on to, not in a single transaction. Cheap when there is nothing. */
  dropUnusedStacks(): Promise<void>;
  /** Forgets layers whose directories are gone, and the images that need them: some hundred at a time, since it takes the event loop. @returns those images */
  forgetLayers(ids: readonly LayerId[]): Promise<ImageId[]>;
}

/** What a prune means to take, as it saw it. */
export interface Removal {
  readonly images: readonly Pick<ImageSummary, 'id' | 'names' | 'lastUsedAt'>[];
  readonly layers: readonly LayerId[];
}

export interface Removed {
  readonly images: readonly ImageId[];
  readonly layers: readonly LayerId[];
}
