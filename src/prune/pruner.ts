import { crashPoint } from '../base/crash-points.js';
import { ProvisionerError } from '../base/errors.js';
import { type FailedEntry, failedEntry } from '../base/failed-entry.js';
import { filterUnhurried, mapUnhurried, unhurried } from '../base/unhurried.js';
import { type Digest, digestHex, type ImageId, type LayerId } from '../image/digest.js';
import { abandonedStaging, reconcileStaging } from '../layer-store/reconcile-staging.js';
import type { Sweeper } from '../layer-store/sweeper.js';
import type { LayerRecord, MetadataManager, Removal, Removed } from '../metadata/metadata-manager.js';
import { removalOutdated } from '../metadata/record-errors.js';
import type { StorePaths } from '../paths.js';
import type { Liveness } from '../system/locks/liveness.js';
import type { StoreLock } from '../system/locks/store-lock.js';
import type { Syscalls } from '../system/syscalls/syscalls.js';
import type { Decision, JudgedImage, JudgedLayer } from './decide.js';
import { excludedDigests, type IndexImages, parseExclusions } from './exclusion.js';
import { excludedBy, type Keeper, type KeepReason, keptBy, type StoreRecords } from './keepers.js';
import { makePlan, type PrunePlan } from './plan.js';
import type { PruneOptions } from './prune-options.js';
import { decideYielding } from './yielding.js';

export interface PruneReport {
  readonly dryRun: boolean;
  /** What was planned; the same as what went, unless somebody took something up meanwhile. */
  readonly plan: PrunePlan;
  /** What went has no reasons. */
  readonly images: readonly JudgedImage[];
  readonly layers: readonly JudgedLayer[];
  /** Ids of containers that have to go for it, of those that were said to yield. */
  readonly yielded: readonly string[];
  /** What dead pulls had left in `staging/`, absolute paths. */
  readonly staging: readonly string[];
  /** What could not be taken away: layers, which so are recorded still, what dead pulls left, and what was taken away before and could not be deleted now. */
  readonly failed: readonly FailedEntry[];
  /** Disk space of the layers that went, as `du` counts it. The sweep gives it back. */
  readonly bytesFreed: number;
  /** In milliseconds: waiting for the lock, and holding it. */
  readonly lockWaited: number;
  readonly lockHeld: number;
}

export interface PrunerNeeds {
  readonly paths: StorePaths;
  readonly metadata: MetadataManager;
  readonly liveness: Liveness;
  readonly storeLock: StoreLock;
  readonly sweeper: Sweeper;
  readonly syscalls: () => Syscalls;
  /** What keeps images and layers besides callers and policies. */
  readonly keepers: Iterable<Keeper>;
  /** Whether other processes may have the store open. */
  readonly isShared: boolean;
}

/**
 * Takes images that nobody keeps, layers that nobody needs, and what dead pulls left.
 *
 *   staging of the dead ──► read, decide ──► lock alone [ take out of the records, claim ──► rename into gc/ ──► put back what stayed, give the claims back ] ──► sweep
 *
 * The decision is made before the lock, however long it takes and whoever has turns meanwhile; with the lock held each thing that goes is looked at once more,
 * in the transaction that takes it out of the records, so what was taken up meanwhile stays. That transaction is the one view that counts: it is whole before
 * anything is renamed, and after it nobody can take up what is gone from the records, so that others may have turns between the renames. The claims
 * keep pulls from unpacking a layer to the place that it is just being renamed away from.
 *
 * A layer that cannot be renamed is put back into the records before the lock is given back, so that it is as good as before: the others go, and it is told.
 *
 * A crash in between leaves directories that no record names; recovery sweeps them, and a pull of that layer replaces them.
 */
export class Pruner {
  readonly #needs: PrunerNeeds;

  constructor(needs: PrunerNeeds) {
    this.#needs = needs;
  }

  /** @param excluded see `parseExclusions` */
  async prune(excluded: readonly string[], options: PruneOptions): Promise<PruneReport> {
    // What cannot be read is said before anything is done.
    parseExclusions(excluded);
    const dryRun = options.dryRun ?? false;
    const { retired: staging, failed } = dryRun
      ? { retired: (await abandonedStaging(this.#needs)).left, failed: [] }
      : await reconcileStaging(this.#needs);
    if (!dryRun) await this.#needs.metadata.dropUnusedStacks();
    const records = await this.records();
    const exclusion = parseExclusions(excluded, await this.#indexImages(excludedDigests(excluded)));
    const now = Date.now();
    const keepers = [...this.#needs.keepers, excludedBy(exclusion)];
    const { decision, yielded } = await decideYielding(records, keepers, options, now, options.yielding ?? []);
    const plan = await makePlan(decision, now);
    if (dryRun)
      return {
        dryRun,
        plan,
        staging,
        ...decision,
        yielded,
        failed,
        bytesFreed: plan.bytes,
        lockWaited: 0,
        lockHeld: 0,
      };
    const carriedOut = await this.#carryOut(plan, decision, records.layers, false, options.signal);
    return { dryRun, plan, staging, ...carriedOut, yielded, failed: [...failed, ...carriedOut.failed] };
  }

  /** Takes exactly what the plan says, but for layers that cannot be renamed. @throws ProvisionerError `ERR_PLAN_OUTDATED` when that is not possible any more, `ERR_BAD_OPTION` for what is no plan; then nothing has gone */
  async apply(given: PrunePlan, signal: AbortSignal | undefined): Promise<PruneReport> {
    const { checkPlan } = await import('./check-plan.js');
    const plan = await checkPlan(given);
    const { retired: staging, failed } = await reconcileStaging(this.#needs);
    await this.#needs.metadata.dropUnusedStacks();
    const decision: Decision = {
      images: plan.images.map((image) => ({ ...image, bytes: 0, reasons: [] })),
      layers: await mapUnhurried(plan.layers, (layer) => ({ ...layer, reasons: [] })),
    };
    const records = await this.records();
    await this.#requireUnkept(plan, records);
    const carriedOut = await this.#carryOut(plan, decision, records.layers, true, signal);
    return { dryRun: false, plan, staging, ...carriedOut, yielded: [], failed: [...failed, ...carriedOut.failed] };
  }

  /** The records have the last word when it goes; what keeps something without a row in them is asked here. */
  async #requireUnkept({ images, layers }: PrunePlan, records: StoreRecords): Promise<void> {
    const kept = await keptBy([...this.#needs.keepers], records, Date.now());
    const image = images.find(({ id }) => kept.images.has(id));
    if (image !== undefined) throw removalOutdated(`image ${image.id} is kept now`, image.id);
    const layer = layers.find(({ id }) => kept.layers.has(id));
    if (layer !== undefined) throw removalOutdated(`layer ${layer.id} is kept now`, layer.id);
  }

  /** What is recorded now, without the leases of dead processes. */
  async records(): Promise<StoreRecords> {
    const { metadata, liveness } = this.#needs;
    return {
      leases: (await metadata.listLeases()).filter((lease) => liveness.isAlive(lease.process)),
      images: await metadata.listImages(),
      layers: await metadata.listLayers(),
      containers: await metadata.listContainers(),
    };
  }

  /** After the records have been read: what index an image was chosen from is recorded with it. */
  async #indexImages(digests: readonly Digest[]): Promise<IndexImages> {
    const images = new Map<Digest, readonly ImageId[]>();
    for (const digest of digests) images.set(digest, await this.#needs.metadata.imagesOfIndex(digest));
    return images;
  }

  /** @param recorded the layers as they are recorded, for those that have to be put back */
  async #carryOut(
    plan: PrunePlan,
    decision: Decision,
    recorded: readonly LayerRecord[],
    exactly: boolean,
    signal: AbortSignal | undefined,
  ) {
    const { storeLock, metadata, sweeper, isShared, liveness } = this.#needs;
    if (isShared && !storeLock.spansProcesses) throw cannotLock();
    const removal = { images: plan.images, layers: await mapUnhurried(plan.layers, (layer) => layer.id) };
    await metadata.prepareRemoval(removal);
    const stayed = new Map<LayerId, FailedEntry>();
    const retired: string[] = [];
    const asked = performance.now();
    let got = asked;
    // A life of its own, so that pulls of this very provisioner wait for its claims too.
    const removed = await liveness.during((own) =>
      storeLock.withExclusive(
        'prune',
        () => {
          got = performance.now();
          return this.#remove(removal, recorded, exactly, { retired, stayed }, own);
        },
        signal,
      ),
    );
    const released = performance.now();
    crashPoint('prune.released');
    for await (const path of unhurried(retired)) sweeper.sweep(path);
    const images = new Set<ImageId>(removed.images);
    const layers = new Set<LayerId>(await filterUnhurried(removed.layers, (layer) => !stayed.has(layer)));
    const judged = {
      images: await mapUnhurried(decision.images, (image) => ({ ...image, reasons: reasonsOf(image, images) })),
      layers: await mapUnhurried(decision.layers, (layer) => ({
        ...layer,
        reasons: reasonsOf(layer, layers, stayed.get(layer.id)),
      })),
    };
    const gone = await filterUnhurried(judged.layers, (layer) => layer.reasons.length === 0);
    const bytesFreed = gone.reduce((sum, layer) => sum + layer.bytes, 0);
    return { ...judged, failed: [...stayed.values()], bytesFreed, lockWaited: got - asked, lockHeld: released - got };
  }

  /**
   * With the lock held.
   * @param retired gets what is to be swept @param stayed gets what could not be moved, and why
   * @param own whose claims keep pulls away meanwhile
   */
  async #remove(
    removal: Removal,
    recorded: readonly LayerRecord[],
    exactly: boolean,
    { retired, stayed }: { readonly retired: string[]; readonly stayed: Map<LayerId, FailedEntry> },
    own: Liveness,
  ): Promise<Removed> {
    const { paths, metadata, sweeper } = this.#needs;
    const removed = await metadata.removeUnused(removal, own.identity, exactly);
    crashPoint('prune.decided');
    let moved = 0;
    try {
      for await (const layer of unhurried(removed.layers)) {
        try {
          const path = sweeper.mark(paths.layer(layer), digestHex(layer));
          if (path !== undefined) retired.push(path);
        } catch (error) {
          stayed.set(layer, failedEntry(error, 'take the layer away', paths.layer(layer)));
        }
        moved++;
        crashPoint('prune.oneMarked');
      }
      crashPoint('prune.marked');
    } finally {
      // What ended this, were it no fault of one layer, came before the rest of them.
      const left = new Set([...stayed.keys(), ...removed.layers.slice(moved)]);
      if (left.size > 0) await metadata.putLayers(recorded.filter(({ id }) => left.has(id)));
      // Where that cannot be written, on a full disk for one, they count for nothing in a moment all the same: this life ends.
      await metadata.releaseLayerClaims(own.identity).catch(() => {});
    }
    return removed;
  }
}

/** @param gone what has really gone */
function reasonsOf<Id extends string>(
  { id, reasons }: { readonly id: Id; readonly reasons: readonly KeepReason[] },
  gone: ReadonlySet<Id>,
  failure?: FailedEntry,
): readonly KeepReason[] {
  if (failure !== undefined) return [{ kind: 'failed', path: failure.path, message: failure.message }];
  return reasons.length > 0 || gone.has(id) ? reasons : [{ kind: 'changed' }];
}

function cannotLock(): ProvisionerError {
  return new ProvisionerError(
    'ERR_NATIVE_MISSING',
    'prune needs locks between processes, which are not available here',
    {
      hint: 'native system calls need 64-bit Linux and the npm package koffi; `provisioner info` says what is missing',
    },
  );
}
