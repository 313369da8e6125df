import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { isMountedBackend } from '../backends/backend.js';
import { crashPoint } from '../base/crash-points.js';
import { fileError, firstLine, throwIfAborted } from '../base/errors.js';
import { type FailedEntry, failedEntry } from '../base/failed-entry.js';
import { unhurried } from '../base/unhurried.js';
import type { ImageId, LayerId } from '../image/digest.js';
import { reconcileLayers } from '../layer-store/reconcile-layers.js';
import { reconcileStaging } from '../layer-store/reconcile-staging.js';
import { RootfsMounts } from '../layer-store/rootfs-mounts.js';
import type { Sweeper } from '../layer-store/sweeper.js';
import { UNENDED_STATES } from '../metadata/launches/launch-records.js';
import type { MetadataManager, RecordsGap, RootfsRecord, RootfsSummary } from '../metadata/metadata-manager.js';
import type { StorePaths } from '../paths.js';
import { removeTried, requireOneFileSystem } from '../store-directory/one-file-system.js';
import type { Liveness } from '../system/locks/liveness.js';
import { pidOf } from '../system/locks/process-identity.js';
import { ShortHolds } from '../system/locks/short-holds.js';
import type { StoreLock } from '../system/locks/store-lock.js';
import type { Syscalls } from '../system/syscalls/syscalls.js';
import type { RecoverOptions } from './container-options.js';
import type { Containers } from './containers.js';
import type { Holders } from './holders.js';
import type { Remounter } from './remounter.js';
import { mayBeLetGoSoon } from './rootfses/mounted-elsewhere.js';
import type { RootfsDirectories } from './rootfses/rootfs-directories.js';
import { isLeftAlone, type LeftAlone, UnrecordedRootfses } from './unrecorded-rootfses.js';

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
  /** Rootfses and volumes, absolute, of which a crash had left a part: half a copy, or half a destroy. */
  readonly finished: readonly string[];
  /** Containers that nobody knows any more. */
  readonly destroyed: readonly string[];
  /**
   * Containers that are left alone, and why: the records have a gap and they may be in use, in which case no prune runs; they may be mounted where this process
   * does not see it; or somebody is just making a part of them.
   */
  readonly untrusted: readonly LeftAlone[];
  /** Directories of layers without a record that may be in use, absolute, and why, as a clause: left alone. */
  readonly kept: readonly { readonly path: string; readonly reason: string }[];
  /** What could not be put right, taken away or read; all the rest was. It is as it was, and another recovery tries again. */
  readonly failed: readonly FailedEntry[];
  /** Files in the store that are none of its own, absolute: left alone. */
  readonly foreign: readonly string[];
}

export interface RecoveryNeeds {
  readonly paths: StorePaths;
  readonly metadata: MetadataManager;
  readonly liveness: Liveness;
  readonly storeLock: StoreLock;
  readonly sweeper: Sweeper;
  readonly syscalls: () => Syscalls;
  readonly containers: Containers;
  readonly remounter: Remounter;
  readonly directories: RootfsDirectories;
  readonly holders: Holders;
  readonly owner: string;
}

/** Rootfses that are mounted again at the same time: while the kernel mounts some on other threads it is asked about the next. Each takes it a millisecond. */
const MOUNTED_AT_ONCE = 4;
/** Milliseconds for which what is in use is waited for, should that be a mount which the kernel is just letting go of: that of a process that has been killed. */
const LETTING_GO_WAITS = [20, 50, 130, 300];
/** Places of mounts that are recorded at a time: a millisecond or two, and one wait for the disk. */
const RECORDED_AT_ONCE = 100;

/**
 * Puts a store right after a crash or a reboot. Each step can be repeated, and another process may use the store meanwhile: what stands on disk is compared with
 * the records beside everybody's work, and what differs is looked at again, and put right, with the lock held alone, for a moment at a time. What cannot be done
 * with one thing is reported, and the others go on.
 *
 *   dead leases and their staging ──► rootfses on disk without a record ──► layers: records = directories
 *   ──► this owner's containers: destroy, finish, mount again ──► sweep
 */
export class Recovery {
  readonly #needs: RecoveryNeeds;

  constructor(needs: RecoveryNeeds) {
    this.#needs = needs;
  }

  async run(options: RecoverOptions): Promise<RecoveryReport> {
    return this.#needs.liveness.during((liveness) => this.#run(options, liveness));
  }

  async #run(options: RecoverOptions, liveness: Liveness): Promise<RecoveryReport> {
    const { paths, metadata, sweeper, storeLock, syscalls } = this.#needs;
    // Before leases are dropped that others may have, in records of which this process knows nothing.
    metadata.requireInPlace();
    const held = await this.#held();
    // What is mounted over a part of the store hides what the records tell of, and it would count as gone.
    requireOneFileSystem(paths, false);
    const staging = await reconcileStaging({ paths, metadata, sweeper, syscalls, liveness });
    liveness.tidy();
    crashPoint('recover.leasesDropped');
    // At once, and be there nothing to put right: whoever has been parted from the others by a lock that was replaced goes no further.
    await storeLock.withExclusive('recover', () => removeTried(paths), options.signal);
    const holds = new ShortHolds(storeLock, 'recover');
    // First, since only where all of them are named can a layer that no record names be taken away.
    const rootfses = await new UnrecordedRootfses(this.#needs).reconcile(holds, options.signal);
    const layers = await reconcileLayers({ paths, metadata, sweeper, liveness, storeLock }, holds, options.signal);
    crashPoint('recover.layersReconciled');
    const containers = await this.#ownContainers(holds, options, held.ids);
    crashPoint('recover.containersReconciled');
    await sweeper.sweepAll();
    const { forgottenLayers, forgottenImages, kept, foreign } = layers;
    return {
      recordsGap: rootfses.gap ?? null,
      droppedLeases: staging.pulls,
      forgottenLayers,
      forgottenImages,
      retired: [...staging.retired, ...layers.retired, ...rootfses.retired],
      remounted: containers.remounted,
      finished: containers.finished,
      destroyed: containers.destroyed,
      untrusted: [...rootfses.untrusted, ...containers.untrusted],
      kept,
      failed: [...held.failed, ...staging.failed, ...rootfses.failed, ...layers.failed, ...containers.failed],
      foreign,
    };
  }

  /** The containers in which something runs. When that cannot be found out, all are taken for such: none is destroyed. */
  async #held(): Promise<{ readonly ids: readonly string[] | 'all'; readonly failed: readonly FailedEntry[] }> {
    const { holders, paths } = this.#needs;
    try {
      return { ids: await holders.held(), failed: [] };
    } catch (error) {
      const message = `cannot find out what runs in containers, so none is destroyed: ${firstLine(error)}`;
      const hint = 'mend what runs them, then recover again';
      return { ids: 'all', failed: [{ path: paths.containers, code: 'ERR_CONTAINER_UNTRUSTED', message, hint }] };
    }
  }

  async #ownContainers(
    holds: ShortHolds,
    { knownContainerIds, signal }: RecoverOptions,
    held: readonly string[] | 'all',
  ) {
    const { paths, metadata, containers, remounter, directories, owner, liveness } = this.#needs;
    const mounts = new RootfsMounts(paths);
    const isBeingMade = ({ maker }: RootfsRecord) => maker !== undefined && liveness.isAlive(maker);
    const destroyed: string[] = [];
    const untrusted: LeftAlone[] = [];
    const failed: FailedEntry[] = [];
    const halves: RootfsRecord[] = [];
    const unmounted: RootfsRecord[] = [];
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
    const own = await metadata.listContainers(owner);
    // After the containers: one whose launch is recorded later is not among these, or its destroy finds the launch.
    const launched = (await metadata.listLaunches({ states: UNENDED_STATES })).map(({ containerId }) => containerId);
    const known =
      held === 'all' ? undefined : knownContainerIds && withAncestors([...knownContainerIds, ...held, ...launched]);
    // From the last id to the first: children come before parents.
    for await (const container of unhurried(own.toReversed())) {
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
        if (isHalf(rootfs, path)) halves.push(rootfs);
        else if (!isMountedBackend(rootfs.backend)) continue;
        else if (!(await mounts.has(path))) unmounted.push(rootfs);
        else if (remounter.isPlaceOutdated(rootfs)) mountedHere.push(rootfs);
      }
    }

    /** Does something to rootfses with the lock held alone. @returns those to which it was done, in the order given */
    const inHolds = async (
      rootfses: readonly RootfsRecord[],
      atOnce: number,
      work: (rootfs: RootfsRecord) => Promise<boolean>,
    ): Promise<RootfsRecord[]> => {
      const changed = new Set<RootfsRecord>();
      const changeOne = async (rootfs: RootfsRecord) => {
        const path = directories.rootfs(rootfs);
        if (await done(rootfs.containerId, path, () => work(rootfs))) changed.add(rootfs);
      };
      await holds.over(rootfses, atOnce, (some) => allOf(some.map(changeOne)), signal);
      return rootfses.filter((rootfs) => changed.has(rootfs));
    };
    const finished = await inHolds(halves, 1, (rootfs) =>
      containers.removeHalf(rootfs, (now) => isHalf(now, directories.rootfs(rootfs))),
    );
    const remounted: RootfsRecord[] = [];
    let rest = unmounted;
    for (const wait of [...LETTING_GO_WAITS, undefined]) {
      const busy: RootfsRecord[] = [];
      const remount = async (rootfs: RootfsRecord): Promise<boolean> => {
        try {
          return await this.#remount(rootfs, signal);
        } catch (error) {
          if (wait === undefined || !mayBeLetGoSoon(error)) throw error;
          busy.push(rootfs);
          return false;
        }
      };
      for (let at = 0; at < rest.length; at += RECORDED_AT_ONCE) {
        const mounted = await inHolds(rest.slice(at, at + RECORDED_AT_ONCE), MOUNTED_AT_ONCE, remount);
        await remounter.recordMounts(mounted);
        for (const rootfs of mounted) remounted.push(rootfs);
      }
      rest = busy;
      if (rest.length === 0) break;
      await sleep(wait);
      throwIfAborted(signal);
    }
    for (let at = 0; at < mountedHere.length; at += RECORDED_AT_ONCE) {
      await remounter.recordMounts(mountedHere.slice(at, at + RECORDED_AT_ONCE));
    }
    const pathsOf = (rootfses: readonly RootfsRecord[]) => rootfses.map((rootfs) => directories.rootfs(rootfs));
    return { remounted: pathsOf(remounted), finished: pathsOf(finished), destroyed, untrusted, failed };
  }

  /** @returns false when there was nothing to mount any more */
  async #remount(rootfs: RootfsRecord, signal: AbortSignal | undefined): Promise<boolean> {
    const { remounter, directories } = this.#needs;
    try {
      const remounted = await remounter.remount(rootfs, signal);
      crashPoint('recover.oneRemounted');
      return remounted;
    } catch (error) {
      throw fileError(error, 'mount the root filesystem again', directories.rootfs(rootfs));
    }
  }
}

function justBeingMade(containerId: string, { maker = '' }: RootfsRecord): LeftAlone {
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

/** Waits for all of them, since none may go on when the lock is given back. @throws what the first of those threw that failed */
async function allOf(works: readonly Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(works)).find((outcome) => outcome.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}
