import type { MetadataManager, RootfsRecord, RootfsSummary } from '#src/metadata/metadata-manager.js';
import { image, putLayers, rootfs, setClock } from './metadata-records.js';

/** Steps that much of the contract begins with. */

/** Records the image that `rootfs` is made of unless told otherwise, with these layers. */
export async function putApp(manager: MetadataManager, ...layers: string[]): Promise<string> {
  await putLayers(manager, ...layers);
  const app = image('app', layers);
  await manager.putImage(app, []);
  return app.id;
}

/** Records rootfses that are ready, of the image of `putApp`, each in the container named. */
export async function putReady(
  manager: MetadataManager,
  places: Readonly<Record<string, string>>,
  owner = 'agent',
): Promise<void> {
  for (const [id, containerId] of Object.entries(places)) await manager.putRootfs(rootfs(id, containerId, { owner }));
}

export async function states(manager: MetadataManager, containerId: string): Promise<Record<string, string>> {
  const container = await manager.getContainer(containerId);
  return Object.fromEntries(container?.rootfses.map((record) => [record.id, record.state]) ?? []);
}

/** The rootfs of a container that has one. */
export async function onlyRootfs(manager: MetadataManager, containerId: string): Promise<RootfsRecord> {
  const { rootfses = [] } = (await manager.getContainer(containerId)) ?? {};
  if (rootfses.length !== 1) throw new Error(`${containerId} has ${rootfses.length} root filesystems`);
  return rootfses[0] as RootfsRecord;
}

export function idsOf(rootfses: readonly RootfsSummary[]): string[] {
  return rootfses.map((record) => record.id);
}

/** Forgets whatever is recorded in the tree of a container. */
export async function forgetTree(manager: MetadataManager, containerId: string): Promise<void> {
  await manager.forgetRootfses(await manager.rootfsesIn(containerId));
}

/** Two images on one base: `app` in a container of two tests, `other` with a layer of its own. */
export async function twoImages(manager: MetadataManager): Promise<void> {
  setClock(1000);
  await putLayers(manager, 'base', 'app layer', 'other layer', 'orphan');
  await manager.putImage(image('app', ['base', 'app layer']), ['app:v1', 'app:latest']);
  await manager.putImage(image('other', ['base', 'other layer', 'base']), ['other:latest']);
}
