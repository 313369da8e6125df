import { Turns } from '../base/unhurried.js';
import type { ContainerRecord, MetadataManager } from '../metadata/metadata-manager.js';
import type { CheckNeeds } from './check-needs.js';
import type { Finding } from './findings.js';

/** So many are looked at in one hold of the lock, for which all others wait. */
const PORTION = 100;

/** The records as they are during one hold of the lock, each read once. */
export class HeldRecords {
  readonly #metadata: Pick<MetadataManager, 'getContainer'>;
  readonly #containers = new Map<string, Promise<ContainerRecord | undefined>>();

  constructor(metadata: Pick<MetadataManager, 'getContainer'>) {
    this.#metadata = metadata;
  }

  container(id: string): Promise<ContainerRecord | undefined> {
    let container = this.#containers.get(id);
    if (container === undefined) {
      container = this.#metadata.getContainer(id);
      this.#containers.set(id, container);
    }
    return container;
  }
}

/**
 * Looks once more at what seems wrong, and says what is wrong with it.
 * @returns undefined when all is as it should be, or gone from the disk and the records alike
 */
export type Suspect = (records: HeldRecords) => Promise<Finding | undefined>;

/**
 * Tells what is wrong from what only looked so. The disk and the records were looked at one after the other, and whoever uses the store changes both, one after
 * the other too: a mount has directories before it has a record, a destroy takes away first what it forgets last, a prune the other way round. They do so with
 * the store's lock shared, or alone. So with the lock held alone the two must agree; only what then does not is a finding. It is held for a portion at a
 * time, and not at all when nothing is suspected.
 * @throws ProvisionerError `ERR_ABORTED`, `ERR_LOCK_TIMEOUT`
 */
export async function confirmed(
  suspects: readonly Suspect[],
  { storeLock, metadata }: Pick<CheckNeeds, 'storeLock' | 'metadata'>,
  signal: AbortSignal | undefined,
): Promise<Finding[]> {
  const findings: Finding[] = [];
  // Of all portions together: each may take a little less time than others are kept waiting for.
  const turns = new Turns();
  for (let at = 0; at < suspects.length; at += PORTION) {
    const look = async () => {
      const records = new HeldRecords(metadata);
      for (const suspect of suspects.slice(at, at + PORTION)) {
        await turns.take();
        const found = await suspect(records);
        if (found !== undefined) findings.push(found);
      }
    };
    await storeLock.withExclusive('check', look, signal);
  }
  return findings;
}
