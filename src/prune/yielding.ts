import type { ImageId } from '../image/digest.js';
import { type Decision, decide, type PrunePolicy } from './decide.js';
import type { Keeper, StoreRecords } from './keepers.js';

/** What is decided when some containers have to make room. */
export interface Yielded {
  readonly decision: Decision;
  /** Ids of those that have to go for it. */
  readonly yielded: readonly string[];
}

/**
 * Decides as if containers were not there that are worth less than the bytes which the policy keeps: those alone without which these bytes cannot be kept to, of the images first that were used longest ago.
 * @param yielding ids of those that may go @param now milliseconds since the epoch
 */
export async function decideYielding(
  records: StoreRecords,
  keepers: readonly Keeper[],
  policy: PrunePolicy,
  now: number,
  yielding: readonly string[],
): Promise<Yielded> {
  let left = records;
  let decision = await decide(left, keepers, policy, now);
  const yielded: string[] = [];
  const { keepBytes } = policy;
  if (keepBytes === undefined || yielding.length === 0) return { decision, yielded };
  for (const image of imagesOf(records, yielding)) {
    const before = keptBytes(decision);
    if (before <= keepBytes) break;
    const goes = ({ id, rootfses }: StoreRecords['containers'][number]) =>
      yielding.includes(id) && rootfses.some((rootfs) => rootfs.image === image);
    const without = { ...left, containers: left.containers.filter((container) => !goes(container)) };
    const other = await decide(without, keepers, policy, now);
    // What others need as well stays all the same: nothing is gained by it.
    if (keptBytes(other) >= before) continue;
    yielded.push(...left.containers.filter(goes).map(({ id }) => id));
    left = without;
    decision = other;
  }
  return { decision, yielded };
}

/** The images of those containers, the one first that was used longest ago. */
function imagesOf({ containers, images }: StoreRecords, yielding: readonly string[]): ImageId[] {
  const those = containers.filter(({ id }) => yielding.includes(id));
  const ids = new Set(those.flatMap(({ rootfses }) => rootfses.map(({ image }) => image)));
  const orderOf = (id: ImageId) => images.find((image) => image.id === id)?.useOrder ?? 0;
  return [...ids].sort((one, other) => orderOf(one) - orderOf(other));
}

const keptBytes = ({ layers }: Decision): number =>
  layers.reduce((sum, { bytes, reasons }) => (reasons.length === 0 ? sum : sum + bytes), 0);
