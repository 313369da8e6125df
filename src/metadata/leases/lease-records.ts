import type { LayerId } from '../../image/digest.js';
import type { ProcessIdentity } from '../../system/locks/process-identity.js';

/**
 * The leases of pulls under way.
 *
 * A **lease** names the layers that a pull needs, so that prune leaves them; that of a dead process counts for nothing, and is closed by whoever finds it.
 *
 * A lease keeps its layers by a row for each. That is no foreign key, because most of them are not recorded yet when they are leased; instead the statement that
 * takes a layer out of the records asks in its own transaction whether a lease names it. What is leased after that is missing, and the pull fetches it.
 */
export interface LeaseRecords {
  /** @param pull an id of its own @param process that runs it */
  openLease(pull: string, process: ProcessIdentity): Promise<void>;
  /** Adds layers, recorded or not. From then on prune leaves them. @throws ProvisionerError `ERR_ABORTED` for a lease that is not open */
  leaseLayers(pull: string, layers: readonly LayerId[]): Promise<void>;
  /** Unknown ones are passed over. */
  closeLeases(pulls: readonly string[]): Promise<void>;
  listLeases(): Promise<LeaseRecord[]>;
}

export interface LeaseRecord {
  /** The pull's id. */
  readonly pull: string;
  readonly process: ProcessIdentity;
  /** Milliseconds since the epoch. */
  readonly since: number;
  readonly layers: readonly LayerId[];
}
