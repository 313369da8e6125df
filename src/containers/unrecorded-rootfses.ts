import { existsSync } from 'node:fs';
import { isProvisionerError, type ProvisionerError } from '../base/errors.js';
import { type FailedEntry, failedEntry } from '../base/failed-entry.js';
import { filterUnhurried, unhurried } from '../base/unhurried.js';
import type { MetadataManager, RecordsGap } from '../metadata/metadata-manager.js';
import { describeGap } from '../metadata/record-errors.js';
import type { StorePaths } from '../paths.js';
import type { ShortHolds } from '../system/locks/short-holds.js';
import type { StoreLock } from '../system/locks/store-lock.js';
import { isMountPoint } from '../system/syscalls/mounts/is-mount-point.js';
import type { Containers } from './containers.js';
import type { Holders } from './holders.js';
import type { RootfsDirectories } from './rootfses/rootfs-directories.js';
import type { EmptyDirectories, RootfsPlace } from './rootfses/rootfs-place.js';
import { type FoundOnDisk, type FoundRootfs, rootfsesOnDisk } from './rootfses/rootfses-on-disk.js';

export interface UnrecordedRootfsesNeeds {
  readonly paths: StorePaths;
  readonly metadata: MetadataManager;
  readonly storeLock: StoreLock;
  readonly containers: Pick<Containers, 'takeApart' | 'possibleUse'>;
  readonly directories: RootfsDirectories;
  readonly holders: Holders;
}

/** A container that is left alone, and why. */
export interface LeftAlone {
  readonly containerId: string;
  readonly reason: string;
}

export interface ReconciledRootfses {
  /** Why the records did not tell of everything when it began. */
  readonly gap: RecordsGap | undefined;
  /** Taken apart, absolute. */
  readonly retired: readonly string[];
  readonly untrusted: readonly LeftAlone[];
  readonly failed: readonly FailedEntry[];
}

/**
 * Rootfses on disk that no record names: with the store's lock held alone, they are what a crash left of a provision or a destroy. Not so when the records have
 * a gap: then one that is mounted, here or perhaps elsewhere, or that is a copy, may be in use, so it is left.
 *
 *   no gap:   compare the disk with the records ──► lock alone, for a moment at a time [ look again at what differed ──► take it apart ]
 *   a gap:    lock alone [ compare ──► take apart what nobody uses ──► all of it? then the records tell everything from here on ]
 */
export class UnrecordedRootfses {
  readonly #needs: UnrecordedRootfsesNeeds;
  readonly #retired: string[] = [];
  readonly #untrusted: LeftAlone[] = [];
  readonly #failed: FailedEntry[] = [];

  /** Made for one run of `reconcile`. */
  constructor(needs: UnrecordedRootfsesNeeds) {
    this.#needs = needs;
  }

  /** @param holds of the store's lock */
  async reconcile(holds: ShortHolds, signal: AbortSignal | undefined): Promise<ReconciledRootfses> {
    const { metadata, storeLock } = this.#needs;
    let gap = await metadata.recordsGap();
    if (gap === undefined) {
      const { rootfses, empty } = await this.#differing();
      await holds.over(rootfses, 1, (some) => this.#reconcileAll(some), signal);
      await holds.over(empty, 1, (some) => this.#removeEmptyDirectories(some), signal);
    } else {
      gap = await storeLock.withExclusive('recover', () => this.#closeGap(), signal);
    }
    return { gap, retired: this.#retired, untrusted: this.#untrusted, failed: this.#failed };
  }

  /** With the lock held alone from the first look to the last word: nobody is between a mount and its record. @returns the gap that there was */
  async #closeGap(): Promise<RecordsGap | undefined> {
    const { metadata } = this.#needs;
    const { rootfses, empty } = await this.#differing();
    const gap = await this.#reconcileAll(rootfses);
    await this.#removeEmptyDirectories(empty);
    // What the records do not tell is gone from here on, so they tell everything.
    if (this.#untrusted.length + this.#failed.length === 0) await metadata.setRecordsGap(undefined);
    return gap;
  }

  async #differing(): Promise<FoundOnDisk> {
    const { paths, metadata, directories } = this.#needs;
    // The disk first: a mount is recorded after its directories are made. What is recorded then is none of those.
    const { rootfses, empty } = await rootfsesOnDisk(paths, undefined, (error, path) =>
      this.#failed.push(failedEntry(error, 'look for root filesystems', path)),
    );
    const recorded = new Set<string>();
    for await (const container of unhurried(await metadata.listContainers())) {
      for (const rootfs of container.rootfses) recorded.add(directories.rootfs(rootfs));
    }
    return { rootfses: await filterUnhurried(rootfses, (found) => !recorded.has(directories.rootfs(found))), empty };
  }

  /** With the lock held alone. Looks at each as it is now. @returns the gap that the records have now */
  async #reconcileAll(rootfses: readonly FoundRootfs[]): Promise<RecordsGap | undefined> {
    // Asked once more: records that were exchanged since, or have got a gap, do not tell what may go.
    const gap = await this.#needs.metadata.recordsGap();
    for await (const found of unhurried(rootfses)) {
      const path = this.#needs.directories.rootfs(found);
      try {
        if (await this.#isUnrecordedStill(found)) await this.#takeApart(found, gap);
      } catch (error) {
        if (isLeftAlone(error)) this.#untrusted.push({ containerId: found.containerId, reason: error.message });
        else this.#failed.push(failedEntry(error, 'take a root filesystem apart that no record names', path));
      }
    }
    return gap;
  }

  async #isUnrecordedStill(found: RootfsPlace): Promise<boolean> {
    const { metadata, directories } = this.#needs;
    const container = await metadata.getContainer(found.containerId);
    if (container?.rootfses.some(({ id, backend }) => id === found.id && backend === found.backend)) return false;
    return existsSync(directories.rootfs(found)) || existsSync(directories.scratch(found));
  }

  async #takeApart(found: FoundRootfs, gap: RecordsGap | undefined): Promise<void> {
    const { containers, directories, holders } = this.#needs;
    await holders.release([found.containerId], 'refuse', undefined);
    const path = directories.rootfs(found);
    if (gap !== undefined) {
      const use = containers.possibleUse({ ...found, mounted: existsSync(path) && isMountPoint(path) });
      if (use !== undefined) {
        this.#untrusted.push(unknownToRecords(found, gap, use));
        return;
      }
    }
    await containers.takeApart(found);
    this.#retired.push(path);
  }

  async #removeEmptyDirectories(empty: readonly EmptyDirectories[]): Promise<void> {
    const { paths, directories } = this.#needs;
    for await (const one of unhurried(empty)) {
      try {
        directories.removeEmptyDirectories(one);
      } catch (error) {
        const path = paths.container(one.containerId);
        this.#failed.push(failedEntry(error, 'remove the empty directories of a container', path));
      }
    }
  }
}

/** Something runs in it, or it may be in use where this process does not see it, so nobody tried. */
export function isLeftAlone(error: unknown): error is ProvisionerError {
  return isProvisionerError(error, 'ERR_CONTAINER_ELSEWHERE', 'ERR_CONTAINER_RUNNING');
}

/** @param use see `Containers.possibleUse` */
function unknownToRecords({ containerId }: RootfsPlace, gap: RecordsGap, use: string): LeftAlone {
  const reason = `the records ${describeGap(gap)} and it ${use}, so it may be in use; destroy it when it is not`;
  return { containerId, reason };
}
