import { isMountedBackend } from '../backends/backend.js';
import { isMemoryGone } from '../backends/memory-place.js';
import type { MountState, RootfsMounts } from '../layer-store/rootfs-mounts.js';
import type { ContainerRecord, RootfsRecord } from '../metadata/metadata-manager.js';
import type { RootfsDirectories } from './rootfses/rootfs-directories.js';

/** A rootfs as its users see it. */
export interface RootfsInfo extends Omit<RootfsRecord, 'state'> {
  /** Absolute. */
  readonly rootfs: string;
  /** `provisioning` while a copy is under way, or after a crash until recovery; `ready` to be used at its path; else where its mount is instead. */
  readonly state: RootfsRecord['state'] | Exclude<MountState, 'mounted'>;
  /** Undefined for a copy, which needs no mount. */
  readonly mountState: MountState | undefined;
  /** What was written to it was kept in memory, and is gone, as after a reboot: it can only be destroyed. Default: no. */
  readonly isLost?: boolean;
}

/** A container and where its rootfses are. */
export interface ContainerInfo extends Omit<ContainerRecord, 'rootfses'> {
  readonly rootfses: readonly RootfsInfo[];
}

export async function containerInfo(
  container: ContainerRecord,
  directories: RootfsDirectories,
  mounts: RootfsMounts,
): Promise<ContainerInfo> {
  const rootfses: RootfsInfo[] = [];
  for (const rootfs of container.rootfses) rootfses.push(await rootfsInfo(rootfs, directories, mounts));
  return { ...container, rootfses };
}

async function rootfsInfo(
  record: RootfsRecord,
  directories: RootfsDirectories,
  mounts: RootfsMounts,
): Promise<RootfsInfo> {
  const path = directories.rootfs(record);
  const mountState = isMountedBackend(record.backend) ? await mounts.stateOf(path, record) : undefined;
  const isUsable = mountState === undefined || mountState === 'mounted' || record.state !== 'ready';
  const state = isUsable ? record.state : mountState;
  const isLost = state === 'unmounted' && isMemoryGone(directories.scratch(record));
  return { ...record, rootfs: path, state, mountState, ...(isLost && { isLost }) };
}
