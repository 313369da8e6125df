import type { LayerId } from '../../image/digest.js';
import type { ProcessIdentity } from '../../system/locks/process-identity.js';
import type { MemoryLife } from '../memory/memory-life.js';
import { leaseGone } from '../record-errors.js';
import type { LeaseRecord, LeaseRecords } from './lease-records.js';

interface StoredLease extends Omit<LeaseRecord, 'layers'> {
  readonly layers: Set<LayerId>;
}

/** The leases of pulls in memory. */
export class MemoryLeases implements LeaseRecords {
  readonly #life: MemoryLife;
  readonly #leases = new Map<string, StoredLease>();

  constructor(life: MemoryLife) {
    this.#life = life;
  }

  async openLease(pull: string, process: ProcessIdentity): Promise<void> {
    this.#life.requireOpen();
    this.begin(pull, process);
  }

  async leaseLayers(pull: string, layers: readonly LayerId[]): Promise<void> {
    this.#life.requireOpen();
    const lease = this.#leases.get(pull);
    if (lease === undefined) throw leaseGone(pull);
    for (const layer of layers) lease.layers.add(layer);
  }

  async closeLeases(pulls: readonly string[]): Promise<void> {
    this.#life.requireOpen();
    for (const pull of pulls) this.end(pull);
  }

  async listLeases(): Promise<LeaseRecord[]> {
    this.#life.requireOpen();
    const leases = [...this.#leases.values()].map((lease) => ({ ...lease, layers: [...lease.layers].sort() }));
    return leases.sort((one, other) => one.since - other.since || (one.pull < other.pull ? -1 : 1));
  }

  // For other sections, within their calls.

  begin(pull: string, process: ProcessIdentity): void {
    this.#leases.set(pull, { pull, process, since: Date.now(), layers: new Set() });
  }

  end(pull: string): void {
    this.#leases.delete(pull);
  }

  get(pull: string): Pick<LeaseRecord, 'process' | 'since'> | undefined {
    return this.#leases.get(pull);
  }

  /** What each of them needs. */
  needs(): Iterable<{ readonly layers: Iterable<LayerId> }> {
    return this.#leases.values();
  }
}
