import type { Get } from '../../base/assembly.js';
import type { FailedEntry } from '../../base/failed-entry.js';
import { checkArgument, methods, overridden, text } from '../../base/options/check-options.js';
import { takeOptions } from '../../base/options/take-options.js';
import type { DiskUsage } from '../../check/disk-usage.js';
import type { CheckReport } from '../../check/findings.js';
import type { ProvisionerEvents } from '../../events.js';
import type { Keeper } from '../../prune/keepers.js';
import type { PrunePlan } from '../../prune/plan.js';
import type { PruneReport } from '../../prune/pruner.js';
import type { Explanation } from '../../prune/why.js';
import { findImage } from '../../pulls/find-image.js';
import { requireRegistryFiles } from '../../registry/require-registry-files.js';
import { countPrune } from '../counters.js';
import type { OpenStore } from '../open-store.js';
import type { ApplyPlanOptions, CheckOptions, DiskUsageOptions } from '../options.js';
import * as o from '../options.js';
import { requireTrust } from '../require-trust.js';
import { checkNeeds, GAP_WARNING, KEEPERS, PARKED_LAYERS, PRUNER, SWEEPER } from '../services.js';
import { type StoreInfo, storeInfo } from '../store-info.js';
import type { Calls } from './calls.js';

/** The store itself: what it is, what it holds and why, and whether it is sound. */
export class StoreCalls {
  readonly #store: OpenStore;
  readonly #get: Get<OpenStore>;
  readonly #calls: Calls;

  constructor(store: OpenStore, get: Get<OpenStore>, calls: Calls) {
    this.#store = store;
    this.#get = get;
    this.#calls = calls;
  }

  /**
   * Compares the store with its records, while it is in use, and heals what is damaged when asked to. `events` tells how far it is.
   * @throws `ERR_ABORTED`; damage is no error, see `CheckReport.sound`
   */
  async check(options: CheckOptions = {}): Promise<CheckReport> {
    return this.#calls.freeing(options?.repair ? 'repair' : undefined, async () => {
      const own = takeOptions('store.check', o.CHECK_OPTIONS, options);
      const { full = false, repair = false, registry, signal } = own;
      await requireRegistryFiles(registry);
      const report = (progress: ProvisionerEvents['checkProgress'][0]) =>
        this.#store.events.emit('checkProgress', progress);
      const { checkStore } = await import('../../check/check-store.js');
      const run = { mode: full ? 'full' : 'quick', signal, report } as const;
      return this.#store.liveness.during((liveness) => {
        const needs = checkNeeds(this.#store, this.#get, liveness);
        return checkStore({ ...needs, registry: overridden(needs.registry, registry) }, run, repair);
      });
    });
  }

  /** Where the store's disk space goes. */
  async usage(options: DiskUsageOptions = {}): Promise<DiskUsage> {
    return this.#calls.looking(async () => {
      const own = takeOptions('store.usage', o.DISK_USAGE_OPTIONS, options);
      const { measureStore } = await import('../../check/disk-usage.js');
      await this.#get(GAP_WARNING)();
      return measureStore(checkNeeds(this.#store, this.#get), own.signal);
    });
  }

  /** What keeps an image or a layer. @param thing an image's name or id, a layer's id, or its first digits @throws `ERR_IMAGE_NOT_FOUND` */
  async why(thing: string): Promise<Explanation> {
    return this.#calls.looking(async () => {
      checkArgument('store.why', 'thing', text, thing);
      const { explain } = await import('../../prune/why.js');
      const records = await (await this.#get(PRUNER)).records();
      await this.#get(GAP_WARNING)();
      const find = () => findImage(this.#store.metadata, thing);
      return explain(thing, records, [...this.#get(KEEPERS)], Date.now(), find);
    });
  }

  /** What it keeps stays from now on, and `why` tells of it, in this provisioner. @returns takes it out again */
  addKeeper(keeper: Keeper): () => void {
    this.#calls.requireOpen();
    checkArgument('store.addKeeper', 'keeper', methods('keepers'), keeper);
    const keepers = this.#get(KEEPERS);
    const own: Keeper = { keepers: (...given) => keeper.keepers(...given) };
    keepers.add(own);
    return () => void keepers.delete(own);
  }

  /** Removes exactly what a dry run planned, or nothing. @throws `ERR_PLAN_OUTDATED`, and what `pruneImages` throws */
  async applyPlan(plan: PrunePlan, options: ApplyPlanOptions = {}): Promise<PruneReport> {
    return this.#calls.freeing('prune', async () => {
      const own = takeOptions('store.applyPlan', o.APPLY_PLAN_OPTIONS, options);
      await requireTrust(this.#store);
      const report = await (await this.#get(PRUNER)).apply(plan, own.signal);
      countPrune(this.#store.events, report);
      return { ...report, failed: [...report.failed, ...(await this.#get(PARKED_LAYERS).release())] };
    });
  }

  /** What this store is and what works here. Tries the backends. */
  async info(): Promise<StoreInfo> {
    return this.#calls.looking(async () => {
      const info = await storeInfo(this.#store, this.#get);
      await this.#get(GAP_WARNING)();
      return info;
    });
  }

  /**
   * Resolves when everything that has been removed is deleted, or cannot be for now.
   * @returns what could not be; it is tried again later, by this process and others, and `info` tells of it under `gc`, too
   */
  async swept(): Promise<FailedEntry[]> {
    return this.#calls.writing('sweep', async () => {
      await this.#get(SWEEPER).sweepAll();
      await this.#get(SWEEPER).idle();
      this.#store.restoreReserve();
      return this.#get(SWEEPER).failed;
    });
  }
}
