import type { ContainerRecord, RootfsRecord } from './rootfs-records.js';

/**
 * The containers that rootfses make up, sorted by id, each with its rootfses from the oldest to the newest.
 * @param rootfses in any order
 */
export function containersOf(rootfses: readonly RootfsRecord[]): ContainerRecord[] {
  const byContainer = new Map<string, RootfsRecord[]>();
  for (const rootfs of rootfses) {
    const others = byContainer.get(rootfs.containerId);
    if (others === undefined) byContainer.set(rootfs.containerId, [rootfs]);
    else others.push(rootfs);
  }
  return [...byContainer.keys()].sort().map((id) => {
    const sorted = (byContainer.get(id) as RootfsRecord[]).sort(oldestFirst);
    const { owner, createdAt } = sorted[0] as RootfsRecord;
    return { id, owner, createdAt, rootfses: sorted };
  });
}

/** Ties by id. */
export function oldestFirst(one: RootfsRecord, other: RootfsRecord): number {
  return one.createdAt - other.createdAt || (one.id < other.id ? -1 : Number(one.id > other.id));
}
