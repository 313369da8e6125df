import { expect } from 'vitest';
import type { MetadataManager } from '#src/metadata/metadata-manager.js';
import { isAlive, ours, rootfs } from './metadata-records.js';

/** Steps in the life of a container that most of the contract begins with. */

export const claimed = { state: 'claimed', value: undefined };

/** A rootfs that is ready, with no claim left on its container. */
export async function provisioned(
  manager: MetadataManager,
  id: string,
  containerId: string,
  process = ours,
): Promise<void> {
  expect(await manager.beginProvision(rootfs(id, containerId), process, isAlive)).toEqual(claimed);
  await manager.finishProvision(id);
}

/** The ids of the rootfses to remove; fails when somebody is in the way. */
export async function destroying(manager: MetadataManager, containerId: string, process = ours): Promise<string[]> {
  const answer = await manager.beginDestroy(containerId, process, isAlive);
  if (answer.state === 'busy') throw new Error(`${answer.holder} is in the way`);
  return answer.value.map((record) => record.id);
}

export async function states(manager: MetadataManager, containerId: string): Promise<Record<string, string>> {
  const container = await manager.getContainer(containerId);
  return Object.fromEntries(container?.rootfses.map((record) => [record.id, record.state]) ?? []);
}
