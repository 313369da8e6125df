import { existsSync } from 'node:fs';
import { rootAttributesOf, type StackedLayer } from '../backends/backend.js';
import type { Backends } from '../backends/backends.js';
import { isMemoryGone } from '../backends/memory-place.js';
import { crashPoint } from '../base/crash-points.js';
import type { MetadataManager, RootfsRecord, RootfsSummary } from '../metadata/metadata-manager.js';
import type { StorePaths } from '../paths.js';
import type { Liveness } from '../system/locks/liveness.js';
import { type MountNamespace, mountNamespaceHere, whereabouts } from '../system/locks/mount-place.js';
import { isMountPoint } from '../system/syscalls/mounts/is-mount-point.js';
import { layersGone, tellingLostLayers } from './lost-layers.js';
import { layersToShow } from './rootfses/empty-layer.js';
import { mountedElsewhere, reasonNotToMount } from './rootfses/mounted-elsewhere.js';
import type { RootfsDirectories } from './rootfses/rootfs-directories.js';

export interface RemounterNeeds {
  readonly paths: StorePaths;
  readonly metadata: MetadataManager;
  readonly backends: Backends;
  readonly directories: RootfsDirectories;
  /** Of the process in whose mount namespace they are mounted. */
  readonly liveness: Liveness;
}

/**
 * Mounts rootfses again after a reboot.
 *
 *   lock alone, for some at a time [ look whether each is still wanted and mounted nowhere ──► mount ] ──► record where, a hundred at a time
 */
export class Remounter {
  readonly #needs: RemounterNeeds;
  readonly #here: MountNamespace = mountNamespaceHere();

  constructor(needs: RemounterNeeds) {
    this.#needs = needs;
  }

  /**
   * Mounts a rootfs again, with the changes made in it; `recordMounts` then notes where. Call it with the lock held alone, since it may have been recorded as a
   * mount, mounted again by another recovery, or destroyed since it was looked at. Several may be mounted at the same time in one hold.
   * @returns false when that was so, and when what was written to it was in memory, and is gone @throws ProvisionerError `ERR_CONTAINER_ELSEWHERE` when it is or may be mounted where this process does not see it,
   *   `ERR_LAYER_NOT_FOUND` when a layer of it is gone, and what the backend throws
   */
  async remount(rootfs: RootfsRecord, signal: AbortSignal | undefined): Promise<boolean> {
    const { backends, directories, metadata, paths, liveness } = this.#needs;
    if (!rootfs.complete) throw layersGone(rootfs.image, 'where it came from');
    const container = await metadata.getContainer(rootfs.containerId);
    const recorded = container?.rootfses.find(({ id }) => id === rootfs.id);
    if (recorded === undefined) return false;
    directories.requireOwn(rootfs);
    const target = directories.rootfs(rootfs);
    if (!existsSync(target) || isMountPoint(target)) return false;
    const stack: StackedLayer[] = [];
    for (const id of rootfs.layers) {
      const layer = await metadata.getLayer(id);
      if (layer === undefined) throw layersGone(rootfs.image, 'where it came from');
      stack.push({ ...layer, rootfs: paths.layerRootfs(id) });
    }
    const backend = backends.named(rootfs.backend);
    const places = { rootfs: target, scratch: directories.scratch(rootfs) };
    const inUse = backend?.isInUse(places.scratch);
    const why = reasonNotToMount(recorded.mount, this.#here, inUse, liveness.isAlive);
    const isElsewhere = whereabouts(recorded.mount, this.#here) === 'elsewhere';
    if (why !== undefined) throw mountedElsewhere(rootfs, why, inUse === true && !isElsewhere);
    // Nothing empty in the place of what was there.
    if (isMemoryGone(places.scratch)) return false;
    if (backend !== undefined) backends.requireUsable(backend.name);
    const layers = layersToShow(stack, places.scratch);
    // Not alone: what waits for the kernel does so on another thread.
    const request = { layers, rootAttributes: rootAttributesOf(layers), ...places, signal, aside: true };
    await tellingLostLayers(layers, async () => backend?.restore(request));
    return true;
  }

  /** Whether the record of where a rootfs is mounted is missing, or is of before the machine was booted. */
  isPlaceOutdated({ mount }: RootfsSummary): boolean {
    return mount === undefined || whereabouts(mount, this.#here) === 'before';
  }

  /**
   * Records that rootfses are mounted in this namespace. Many at once, since each time waits for the disk: until then others go by what the kernel says,
   * so a crash in between breaks nothing.
   */
  async recordMounts(rootfses: readonly RootfsSummary[]): Promise<void> {
    if (rootfses.length === 0) return;
    const { metadata, liveness } = this.#needs;
    await metadata.setRootfsMounts(rootfses, { ...this.#here, process: liveness.identity });
    crashPoint('recover.mountsRecorded');
  }
}
