import type { Launch } from '../../../containerizer/index.js';
import type { ContainerInfo, ProvisionedRootfs } from '../../../index.js';
import { timestamp } from './image-document.js';
import { exitDocument, healthDocument, leasedDocument } from './launch-document.js';
import { connectedDocument } from './network-document.js';

/** A container of `ps` in `--json`; `docs/cli.md` promises this shape, and those below. */
export function containerDocument(
  { id, owner, createdAt, rootfses }: ContainerInfo,
  launch: Launch | undefined,
  pool: string | undefined,
) {
  return {
    id,
    owner,
    created: timestamp(createdAt),
    pool: pool ?? null,
    launch: launch === undefined ? null : launchDocument(launch),
    rootfses: rootfses.map((rootfs) => ({
      id: rootfs.id,
      image: rootfs.image,
      backend: rootfs.backend,
      state: rootfs.state,
      mount: rootfs.mountState ?? null,
      created: timestamp(rootfs.createdAt),
      rootfs: rootfs.rootfs,
      layers: rootfs.layers,
    })),
  };
}

function launchDocument({ launchId, state, command, pid, network, leased, diskLimit, health, exit, relaxed }: Launch) {
  return {
    id: launchId,
    state,
    command,
    pid: pid ?? null,
    network: network === undefined ? null : connectedDocument(network),
    leased: leased === undefined ? null : leasedDocument(leased),
    diskLimit: diskLimit === undefined ? null : { by: diskLimit.by, reason: diskLimit.reason ?? null },
    health: health === undefined ? null : healthDocument(health),
    exit: exit === undefined ? null : exitDocument(exit),
    relaxed,
  };
}

/** What `provision` made. */
export function rootfsDocument({ containerId, rootfsId, rootfs, backend, image, runtime }: ProvisionedRootfs) {
  return { containerId, rootfsId, rootfs, backend, image: image.id, runtime };
}

/** A container that `destroy` removed. */
export function destroyedDocument(id: string) {
  return { id };
}
