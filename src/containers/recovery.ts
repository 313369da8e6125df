import { existsSync } from 'node:fs';
import { isMountedBackend } from '../backends/backend.js';
import { crashPoint } from '../base/crash-points.js';
import { fileError, isProvisionerError, type ProvisionerError, throwIfAborted } from '../base/errors.js';
import { type FailedEntry, failedEntry } from '../base/failed-entry.js';
import { unhurried } from '../base/unhurried.js';
import type { ImageId, LayerId } from '../image/digest.js';
import { reconcileLayers } from '../layer-store/reconcile-layers.js';
import { reconcileStaging } from '../layer-store/reconcile-staging.js';
import { RootfsMounts } from '../layer-store/rootfs-mounts.js';
import type { Sweeper } from '../layer-store/sweeper.js';
import type { MetadataManager, RecordsGap, RootfsRecord, RootfsSummary } from '../metadata/metadata-manager.js';
import { describeGap } from '../metadata/record-errors.js';
import type { StorePaths } from '../paths.js';
import { removeTried } from '../store-directory/one-file-system.js';
import type { Liveness } from '../system/locks/liveness.js';
import { pidOf } from '../system/locks/process-identity.js';
import type { StoreLock } from '../system/locks/store-lock.js';
import type { Syscalls } from '../system/syscalls/syscalls.js';
import type { RecoverOptions } from './container-options.js';
import type { Containers } from './containers.js';
import type { Remounter } from './remounter.js';
import type { RootfsDirectories } from './rootfs-directories.js';
import { type FoundRootfs, rootfsesOnDisk } from './rootfses-on-disk.js';

/** What a recovery put right. */
export interface RecoveryReport {
  /** Why the records did not tell of everything in the store when it began: `lost` or `older` ones; null when they did. */
  readonly recordsGap: RecordsGap | null;
  /** Pulls of dead processes whose leases were dropped. */
  readonly droppedLeases: readonly string[];
  /** Layers recorded without a directory, and the images that needed them: forgotten, to be pulled again. */
  readonly forgottenLayers: readonly LayerId[];
  readonly forgottenImages: readonly ImageId[];
  /** Directories that nothing accounts for, absolute: retired into `gc/`. */
  readonly retired: readonly string[];
  /** Rootfses, absolute, that were mounted again with their changes. */
  readonly remounted: readonly string[];
  /** Rootfses, absolute, of which a crash had left a part: half a copy, or half a destroy. */
  readonly finished: readonly string[];
  /** Containers that nobody knows any more. */
  readonly destroyed: readonly string[];
  /**
   * Containers that are left alone, and why: the records have a gap and they may be in use, in which case no prune runs; they may be mounted where this process
   * does not see it; or somebody is just making a part of them.
   */
  readonly untrusted: readonly { readonly containerId: string; readonly reason: string }[];
  /** Directories of layers without a record that may be in use, absolute, and why, as a clause: left alone. */
  readonly kept: readonly { readonly path: string; readonly reason: string }[];
  /** What could not be put right, taken away or read; all the rest was. It is as it was, and another recovery tries again. */
  readonly failed: readonly FailedEntry[];
  /** Files in the store that are none of its own, absolute: left alone. */
  readonly foreign: readonly string[];
}

export interface RecoveryParts {
  readonly paths: StorePaths;
  readonly metadata: MetadataManager;
  readonly liveness: Liveness;
  readonly storeLock: StoreLock;
  readonly sweeper: Sweeper;
  readonly syscalls: () => Syscalls;
  readonly containers: Containers;
  readonly remounter: Remounter;
  readonly directories: RootfsDirectories;
  readonly owner: string;
}

/** Places of mounts that are recorded at a time: a millisecond or two, and one wait for the disk. */
const RECORDED_AT_ONCE = 100;

/**
 * Puts a store right after a crash or a reboot. Each step can be repeated, and another process may use the store meanwhile. What cannot be done with one thing
 * is reported, and the others go on.
 *
 *   dead leases and their staging ──► lock alone [ layers: records = directories ──► rootfses on disk without a record ]
 *   ──► this owner's containers: mount again, finish, destroy ──► sweep
 */
export class Recovery {
  readonly #parts: RecoveryParts;

  constructor(parts: RecoveryParts) {
    this.#parts = parts;
  }

  async run(options: RecoverOptions): Promise<RecoveryReport> {
    return this.#parts.liveness.during((liveness) => this.#run(options, liveness));
  }

  async #run(options: RecoverOptions, liveness: Liveness): Promise<RecoveryReport> {
    const { paths, metadata, sweeper, storeLock, syscalls } = this.#parts;
    // Before leases are dropped that others may have, in records of which this process knows nothing.
    metadata.requireInPlace();
    const staging = await reconcileStaging({ paths, metadata, sweeper, syscalls, liveness });
    liveness.tidy();
    crashPoint('recover.leasesDropped');
    const shared = await storeLock.withExclusive(
      'recover',
      async () => {
        removeTried(paths);
        const unrecorded = await this.#unrecorded();
        // What the records do not tell is gone from here on, so they tell everything.
        if (unrecorded.untrusted.length + unrecorded.failed.length === 0) await metadata.setRecordsGap(undefined);
        const layers = await reconcileLayers({ paths, metadata, sweeper, liveness, storeLock });
        crashPoint('recover.layersReconciled');
        return { ...unrecorded, layers };
      },
      options.signal,
    );
    const containers = await this.#ownContainers(options);
    crashPoint('recover.containersReconciled');
    await sweeper.sweepAll();
    const { forgottenLayers, forgottenImages, kept, foreign } = shared.layers;
    return {
      recordsGap: shared.gap ?? null,
      droppedLeases: staging.pulls,
      forgottenLayers,
      forgottenImages,
      retired: [...staging.retired, ...shared.layers.retired, ...shared.retired],
      remounted: containers.remounted,
      finished: containers.finished,
      destroyed: containers.destroyed,
      untrusted: [...shared.untrusted, ...containers.untrusted],
      kept,
      failed: [...staging.failed, ...shared.failed, ...shared.layers.failed, ...containers.failed],
      foreign,
    };
  }

  /**
   * Rootfses on disk that no record names: with the lock held alone, they are what a crash left of a provision or a destroy. Not so when the records have
   * a gap: then one that is mounted, here or perhaps elsewhere, or that is a copy, may be in use, so it is left.
   */
  async #unrecorded(): Promise<
    Pick<RecoveryReport, 'retired' | 'untrusted' | 'failed'> & { gap: RecordsGap | undefined }
  > {
    const { paths, metadata, containers, directories } = this.#parts;
    const gap = await metadata.recordsGap();
    const recorded = new Set<string>();
    for await (const container of unhurried(await metadata.listContainers())) {
      for (const rootfs of container.rootfses) recorded.add(directories.rootfs(rootfs));
    }
    const untrusted: { containerId: string; reason: string }[] = [];
    const retired: string[] = [];
    const failed: FailedEntry[] = [];
    const onDisk = await rootfsesOnDisk(paths, undefined, (error, path) =>
      failed.push(failedEntry(error, 'look for root filesystems', path)),
    );
    for await (const found of unhurried(onDisk.rootfses)) {
      const path = directories.rootfs(found);
      if (recorded.has(path)) continue;
      const use = gap && containers.possibleUse(found);
      if (gap !== undefined && use !== undefined) untrusted.push(unknownToRecords(found, gap, use));
      else {
        try {
          await containers.takeApart(found);
          retired.push(path);
        } catch (error) {
          if (isLeftAlone(error)) untrusted.push({ containerId: found.containerId, reason: error.message });
          else failed.push(failedEntry(error, 'take a root filesystem apart that no record names', path));
        }
      }
    }
    for await (const hollow of unhurried(onDisk.hollow)) {
      try {
        directories.removeHollow(hollow);
      } catch (error) {
        const path = paths.container(hollow.containerId);
        failed.push(failedEntry(error, 'remove the empty directories of a container', path));
      }
    }
    return { untrusted, retired, failed, gap };
  }

  async #ownContainers({ knownContainerIds, signal }: RecoverOptions) {
    const { paths, metadata, containers, remounter, directories, owner, liveness } = this.#parts;
    const known = knownContainerIds && withAncestors(knownContainerIds);
    const mounts = new RootfsMounts(paths);
    const isBeingMade = ({ maker }: RootfsRecord) => maker !== undefined && liveness.isAlive(maker);
    const remounted: string[] = [];
    const finished: string[] = [];
    const destroyed: string[] = [];
    const untrusted: { containerId: string; reason: string }[] = [];
    const failed: FailedEntry[] = [];
    const mountedHere: RootfsRecord[] = [];
    /** What cannot be done for one does not keep the others waiting. @returns whether it was done */
    const done = async (containerId: string, path: string, work: () => Promise<boolean>): Promise<boolean> => {
      try {
        return await work();
      } catch (error) {
        throwIfAborted(signal);
        if (isLeftAlone(error)) untrusted.push({ containerId, reason: error.message });
        else failed.push(failedEntry(error, 'put a container right', path));
        return false;
      }
    };
    // From the last id to the first: children come before parents.
    for await (const container of unhurried((await metadata.listContainers(owner)).toReversed())) {
      throwIfAborted(signal);
      const { id } = container;
      const beingMade = container.rootfses.find(isBeingMade);
      if (known !== undefined && !known.has(id)) {
        if (beingMade !== undefined) untrusted.push(justBeingMade(id, beingMade));
        else if (await done(id, paths.container(id), () => containers.destroyAlone(container, signal)))
          destroyed.push(id);
        continue;
      }
      for (const rootfs of container.rootfses) {
        if (isBeingMade(rootfs)) continue;
        const path = directories.rootfs(rootfs);
        if (isHalf(rootfs, path)) {
          const isStillHalf = (now: RootfsSummary) => isHalf(now, path);
          if (await done(id, path, () => containers.removeHalf(rootfs, isStillHalf, signal))) finished.push(path);
        } else if (isMountedBackend(rootfs.backend)) {
          if (await mounts.has(path)) {
            if (remounter.isPlaceOutdated(rootfs)) mountedHere.push(rootfs);
          } else if (await done(id, path, () => this.#remount(rootfs, signal))) {
            remounted.push(path);
            mountedHere.push(rootfs);
          }
        }
      }
      if (mountedHere.length >= RECORDED_AT_ONCE) await remounter.recordMounts(mountedHere.splice(0));
    }
    await remounter.recordMounts(mountedHere);
    return { remounted, finished, destroyed, untrusted, failed };
  }

  /** @returns false when there was nothing to mount any more */
  async #remount(rootfs: RootfsRecord, signal: AbortSignal | undefined): Promise<boolean> {
    const { remounter, directories } = this.#parts;
    try {
      const remounted = await remounter.remount(rootfs, signal);
      crashPoint('recover.oneRemounted');
      return remounted;
    } catch (error) {
      throw fileError(error, 'mount the root filesystem again', directories.rootfs(rootfs));
    }
  }
}

/** It may be in use where this process does not see it, so nobody tried. */
function isLeftAlone(error: unknown): error is ProvisionerError {
  return isProvisionerError(error, 'ERR_CONTAINER_ELSEWHERE');
}

function justBeingMade(containerId: string, { maker = '' }: RootfsRecord): { containerId: string; reason: string } {
  return { containerId, reason: `process ${pidOf(maker)} is just making a root filesystem of it` };
}

/** A copy whose maker died, or what a destroy had not taken away yet. */
function isHalf(rootfs: RootfsSummary, path: string): boolean {
  return rootfs.state === 'provisioning' || !existsSync(path);
}

function withAncestors(ids: readonly string[]): ReadonlySet<string> {
  const parts = ids.map((id) => id.split('/'));
  return new Set(parts.flatMap((names) => names.map((_, index) => names.slice(0, index + 1).join('/'))));
}

/** @param use see `Containers.possibleUse` */
function unknownToRecords({ containerId }: FoundRootfs, gap: RecordsGap, use: string) {
  const reason = `the records ${describeGap(gap)} and it ${use}, so it may be in use; destroy it when it is not`;
  return { containerId, reason };
}
