import { crashPoint } from '../crash-points.js';
import { ProvisionerError } from '../errors.js';
import { type Digest, digestHex, type ImageId, type LayerId } from '../image/digest.js';
import type { Liveness } from '../locks/liveness.js';
import type { StoreLock } from '../locks/store-lock.js';
import type { MetadataManager, Removal, Removed } from '../metadata/metadata-manager.js';
import type { StorePaths } from '../paths.js';
import { abandonedStaging, type RetiredStaging, reconcileStaging } from '../store/reconcile-staging.js';
import type { Sweeper } from '../store/sweeper.js';
import type { Syscalls } from '../syscalls/syscalls.js';
import { filterUnhurried, mapUnhurried, unhurried } from '../unhurried.js';
import { type Decision, decide, type JudgedImage, type JudgedLayer } from './decide.js';
import { excludedDigests, type IndexImages, parseExclusions } from './exclusion.js';
import type { KeepReason, StoreRecords } from './keepers.js';
import { makePlan, type PrunePlan } from './plan.js';
import type { PruneOptions } from './prune-options.js';

export interface PruneReport {
  readonly dryRun: boolean;
  /** What was planned; the same as what went, unless somebody took something up meanwhile. */
  readonly plan: PrunePlan;
  /** What went has no reasons. */
  readonly images: readonly JudgedImage[];
  readonly layers: readonly JudgedLayer[];
  /** What dead pulls have left in `staging/`: went or would go, and could not. */
  readonly staging: RetiredStaging;
  /** Disk space of the layers that went, as `du` counts it. The sweep gives it back. */
  readonly bytesFreed: number;
  /** In milliseconds: waiting for the lock, and holding it. */
  readonly lockWaited: number;
  readonly lockHeld: number;
}

export interface PrunerParts {
  readonly paths: StorePaths;
  readonly metadata: MetadataManager;
  readonly liveness: Liveness;
  readonly storeLock: StoreLock;
  readonly sweeper: Sweeper;
  readonly syscalls: () => Syscalls;
  /** Whether other processes may have the store open. */
  readonly isShared: boolean;
}

/**
 * Takes images that nobody keeps, layers that nobody needs, and what dead pulls left.
 *
 *   staging of the dead ──► read, decide ──► lock alone [ take out of the records, claim ──► rename into gc/ ──► give the claims back ] ──► sweep
 *
 * The decision is made before the lock, however long it takes and whoever has turns meanwhile; with the lock held each thing that goes is looked at once more,
 * in the transaction that takes it out of the records, so what was taken up meanwhile stays. That transaction is the one view that counts: it is whole before
 * anything is renamed, and after it nobody can take up what is gone from the records, so that others may have turns between the renames. The claims
 * keep pulls from unpacking a layer to the place that it is just being renamed away from.
 *
 * A crash in between leaves directories that no record names; recovery sweeps them, and a pull of that layer replaces them.
 */
export class Pruner {
  readonly #parts: PrunerParts;

  constructor(parts: PrunerParts) {
    this.#parts = parts;
  }

  /** @param excluded see `parseExclusions` */
  async prune(excluded: readonly string[], options: PruneOptions): Promise<PruneReport> {
    // What cannot be read is said before anything is done.
    parseExclusions(excluded);
    const dryRun = options.dryRun ?? false;
    const staging = dryRun
      ? { retired: (await abandonedStaging(this.#parts)).left, kept: [] }
      : await reconcileStaging(this.#parts);
    if (!dryRun) await this.#parts.metadata.dropUnusedStacks();
    const records = await this.records();
    const exclusion = parseExclusions(excluded, await this.#indexImages(excludedDigests(excluded)));
    const now = Date.now();
    const decision = await decide(records, exclusion, options, now);
    const plan = await makePlan(decision, now);
    if (dryRun) return { dryRun, plan, staging, ...decision, bytesFreed: plan.bytes, lockWaited: 0, lockHeld: 0 };
    return { dryRun, plan, staging, ...(await this.#carryOut(plan, decision, false, options.signal)) };
  }

  /** Takes exactly what the plan says. @throws ProvisionerError `ERR_PLAN_OUTDATED` when that is not possible any more, `ERR_BAD_OPTION` for what is no plan; then nothing has gone */
  async apply(given: PrunePlan, signal: AbortSignal | undefined): Promise<PruneReport> {
    const { checkPlan } = await import('./check-plan.js');
    const plan = await checkPlan(given);
    const staging = await reconcileStaging(this.#parts);
    await this.#parts.metadata.dropUnusedStacks();
    const decision: Decision = {
      images: plan.images.map((image) => ({ ...image, bytes: 0, reasons: [] })),
      layers: await mapUnhurried(plan.layers, (layer) => ({ ...layer, reasons: [] })),
    };
    return { dryRun: false, plan, staging, ...(await this.#carryOut(plan, decision, true, signal)) };
  }

  /** What is recorded now, without the leases of dead processes. */
  async records(): Promise<StoreRecords> {
    const { metadata, liveness } = this.#parts;
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
    for (const digest of digests) images.set(digest, await this.#parts.metadata.imagesOfIndex(digest));
    return images;
  }

  async #carryOut(plan: PrunePlan, decision: Decision, exactly: boolean, signal: AbortSignal | undefined) {
    const { storeLock, metadata, sweeper, isShared, liveness } = this.#parts;
    if (isShared && !storeLock.spansProcesses) throw cannotLock();
    const removal = { images: plan.images, layers: await mapUnhurried(plan.layers, (layer) => layer.id) };
    await metadata.prepareRemoval(removal);
    const retired: string[] = [];
    const asked = performance.now();
    let got = asked;
    // A life of its own, so that pulls of this very provisioner wait for its claims too.
    const removed = await liveness.during((own) =>
      storeLock.withExclusive(
        'prune',
        () => {
          got = performance.now();
          return this.#remove(removal, exactly, retired, own);
        },
        signal,
      ),
    );
    const released = performance.now();
    crashPoint('prune.released');
    for await (const path of unhurried(retired)) sweeper.sweep(path);
    const images = new Set<ImageId>(removed.images);
    const layers = new Set<LayerId>(removed.layers);
    const judged = {
      images: await mapUnhurried(decision.images, (image) => ({ ...image, reasons: reasonsOf(image, images) })),
      layers: await mapUnhurried(decision.layers, (layer) => ({ ...layer, reasons: reasonsOf(layer, layers) })),
    };
    const gone = await filterUnhurried(judged.layers, (layer) => layer.reasons.length === 0);
    const bytesFreed = gone.reduce((sum, layer) => sum + layer.bytes, 0);
    return { ...judged, bytesFreed, lockWaited: got - asked, lockHeld: released - got };
  }

  /** With the lock held. @param retired gets what is to be swept @param own whose claims keep pulls away meanwhile */
  async #remove(removal: Removal, exactly: boolean, retired: string[], own: Liveness): Promise<Removed> {
    const { paths, metadata, sweeper } = this.#parts;
    const removed = await metadata.removeUnused(removal, own.identity, exactly);
    crashPoint('prune.decided');
    try {
      for await (const layer of unhurried(removed.layers)) {
        const path = sweeper.mark(paths.layer(layer), digestHex(layer));
        if (path !== undefined) retired.push(path);
        crashPoint('prune.oneMarked');
      }
      crashPoint('prune.marked');
    } finally {
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
): readonly KeepReason[] {
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
