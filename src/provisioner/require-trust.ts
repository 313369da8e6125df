import { isMountedBackend } from '../backends/backend.js';
import { ProvisionerError } from '../base/errors.js';
import { rootfsesOnDisk } from '../containers/rootfses/rootfses-on-disk.js';
import { describeGap } from '../metadata/record-errors.js';
import { requireOneFileSystem } from '../store-directory/one-file-system.js';
import type { OpenStore } from './open-store.js';

/** Prune decides by the records, so it stays away while these do not tell everything, or something hides a part of the store. @throws ProvisionerError `ERR_CONTAINER_UNTRUSTED`, `ERR_STORE_DAMAGED` */
export async function requireTrust({ metadata, paths }: Pick<OpenStore, 'metadata' | 'paths'>): Promise<void> {
  requireOneFileSystem(paths, false);
  const gap = await metadata.recordsGap();
  if (gap === undefined) return;
  const containers = await metadata.listContainers();
  const recorded = new Set(containers.flatMap(({ rootfses }) => rootfses.map(({ id }) => id)));
  const unknown = (await rootfsesOnDisk(paths)).rootfses.filter(({ id }) => !recorded.has(id));
  const usable = unknown.filter(({ mounted, backend }) => mounted || !isMountedBackend(backend));
  const names = [...new Set(usable.map((rootfs) => rootfs.containerId))].sort();
  const whose = names.length === 0 ? '' : `, and containers may be in use that they do not name: ${names.join(', ')}`;
  throw new ProvisionerError('ERR_CONTAINER_UNTRUSTED', `the records of this store ${describeGap(gap)}${whose}`, {
    hint:
      names.length === 0
        ? 'run `provisioner recover` first'
        : 'destroy the containers that are not in use, then run `provisioner recover`',
    details: { containers: names },
  });
}
