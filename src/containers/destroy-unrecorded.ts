import { existsSync } from 'node:fs';
import { fileError } from '../base/errors.js';
import type { MetadataManager } from '../metadata/metadata-manager.js';
import type { StorePaths } from '../paths.js';
import type { StoreLock } from '../system/locks/store-lock.js';
import type { Holders, Running } from './holders.js';
import type { RootfsDirectories } from './rootfses/rootfs-directories.js';
import { type FoundRootfs, rootfsesOnDisk } from './rootfses/rootfses-on-disk.js';

export interface DestroyUnrecordedNeeds {
  readonly paths: StorePaths;
  readonly storeLock: StoreLock;
  readonly metadata: MetadataManager;
  readonly directories: RootfsDirectories;
  readonly holders: Holders;
}

export interface UnrecordedContainer {
  readonly containerId: string;
  readonly running: Running;
  readonly takeApart: (rootfs: FoundRootfs) => Promise<unknown>;
  readonly signal: AbortSignal | undefined;
}

/**
 * Takes apart what a container has on disk without a record: a provision was killed before it wrote one, or the records were lost.
 * @returns false when there is none; directories that lead to none go all the same
 * @throws ProvisionerError `ERR_CONTAINER_RUNNING`, and for the first that could not be taken apart
 */
export async function destroyUnrecorded(
  { paths, storeLock, metadata, directories, holders }: DestroyUnrecordedNeeds,
  { containerId, running, takeApart, signal }: UnrecordedContainer,
): Promise<boolean> {
  if (!existsSync(paths.container(containerId))) return false;
  if (!holders.isEmpty) {
    const seen = await rootfsesOnDisk(paths, containerId);
    await holders.release(idsOf(seen.rootfses), running, signal);
  }
  // Alone: what is being mounted just now has no record yet.
  return storeLock.withExclusive(
    'destroy',
    async () => {
      metadata.requireInPlace();
      const recorded = await metadata.rootfsesIn(containerId);
      const found = await rootfsesOnDisk(paths, containerId);
      const unrecorded = found.rootfses.filter((rootfs) => !recorded.some((other) => other.id === rootfs.id));
      // Nothing that takes its time is waited for here.
      await holders.release(idsOf(unrecorded), 'refuse', signal);
      let first: { readonly error: unknown } | undefined;
      const told = async (work: () => unknown) => {
        try {
          await work();
        } catch (error) {
          first ??= { error };
        }
      };
      for (const rootfs of unrecorded) await told(() => takeApart(rootfs));
      for (const empty of found.empty) await told(() => directories.removeEmptyDirectories(empty));
      if (first !== undefined) throw fileError(first.error, 'destroy the container', paths.container(containerId));
      return unrecorded.length > 0;
    },
    signal,
  );
}

function idsOf(rootfses: readonly FoundRootfs[]): string[] {
  return rootfses.map((rootfs) => rootfs.containerId);
}
