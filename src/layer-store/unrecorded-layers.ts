import { lstatSync } from 'node:fs';
import { firstLine, systemCode } from '../base/errors.js';
import { digestHex, type LayerId } from '../image/digest.js';
import type { MetadataManager } from '../metadata/metadata-manager.js';
import { describeGap } from '../metadata/record-errors.js';
import type { StorePaths } from '../paths.js';
import type { Liveness } from '../system/locks/liveness.js';
import type { StoreLock } from '../system/locks/store-lock.js';
import { ShownLayers } from './shown-layers.js';
import type { Sweeper } from './sweeper.js';

export interface UnrecordedLayersNeeds {
  readonly paths: StorePaths;
  readonly metadata: MetadataManager;
  readonly sweeper: Sweeper;
  /** Whose claim keeps pulls from a layer that is just being taken away. */
  readonly liveness: Liveness;
  readonly storeLock: StoreLock;
}

/** What became of a directory that no record named: it has been taken away; somebody stores that layer just now, or has, or took it away before; or it must stay, and why, as a clause. */
export type Retirement =
  | { readonly state: 'retired' }
  | { readonly state: 'taken' }
  | { readonly state: 'kept'; readonly reason: string };

/**
 * The one place that decides whether a directory of `layers/` that no record names may go: recovery, repair and a pull that finds one where its layer
 * belongs all ask here. (Prune takes layers out of the records, and asks those.) It may go when
 *
 *   - the store's lock is held alone: nobody is between a mount and its record,
 *   - the records tell everything: they have not been lost, and are not older than the store,
 *   - nobody else is just storing it: his claim tells,
 *   - no mount of this machine shows it.
 *
 * Made for one time of holding the lock alone, and the time before it since `lookAhead`.
 */
export class UnrecordedLayers {
  readonly #needs: UnrecordedLayersNeeds;
  #ahead: ShownLayers | undefined;
  #shown: Promise<ShownLayers> | undefined;

  constructor(needs: UnrecordedLayersNeeds) {
    this.#needs = needs;
  }

  /** Takes one away, if it may go. @throws like Node's `fs`, when it cannot be moved; then it is where it was */
  async retire(id: LayerId): Promise<Retirement> {
    const [claimed] = await this.claim([id]);
    if (claimed === undefined) return { state: 'taken' };
    try {
      return await this.retireClaimed(id);
    } finally {
      await this.release([id]);
    }
  }

  /** Keeps others from layers; needs no lock. @returns those that no record names and nobody stores just now: until they are released nobody will */
  async claim(ids: readonly LayerId[]): Promise<LayerId[]> {
    const { metadata, liveness } = this.#needs;
    const claimed: LayerId[] = [];
    for (const id of ids) {
      const claim = await metadata.claimLayer(id, liveness.identity, liveness.isAlive);
      if (claim.state === 'claimed') claimed.push(id);
    }
    return claimed;
  }

  /** Where that cannot be written, the claims end with this life, and are not the reason of a failure. */
  async release(ids: readonly LayerId[]): Promise<void> {
    const { metadata, liveness } = this.#needs;
    if (ids.length > 0) await metadata.releaseLayerClaims(liveness.identity, ids).catch(() => {});
  }

  /**
   * Reads what is mounted before the lock is held, since with thousands of mounts that takes long. Only for layers that are claimed already: nobody can record
   * those, and what is not recorded nobody mounts, so what no mount shows now none will show then. What one does show is asked again with the lock held.
   */
  async lookAhead(): Promise<void> {
    this.#ahead = await this.#readShown();
  }

  /** As `retire`, for the holder of the layer's claim. */
  async retireClaimed(id: LayerId): Promise<Retirement> {
    const { sweeper, paths } = this.#needs;
    if (lstatSync(paths.layer(id), { throwIfNoEntry: false }) === undefined) return { state: 'taken' };
    const reason = await this.whyItStays(id);
    if (reason !== undefined) return { state: 'kept', reason };
    const retired = sweeper.mark(paths.layer(id), digestHex(id));
    if (retired !== undefined) sweeper.sweep(retired);
    return { state: 'retired' };
  }

  /** For the holder of the layer's claim. @returns why it must stay, as a clause; undefined when it may go */
  async whyItStays(id: LayerId): Promise<string | undefined> {
    const { metadata, storeLock } = this.#needs;
    if (!storeLock.isHeldAlone) throw new Error(`whether layer ${id} may go was asked without the lock`);
    const gap = await metadata.recordsGap();
    if (gap !== undefined) return `the records ${describeGap(gap)}, so containers may be in use that they do not name`;
    const name = digestHex(id);
    if (this.#ahead !== undefined && this.#ahead.whyInUse(name) === undefined) return undefined;
    this.#shown ??= this.#readShown();
    return (await this.#shown).whyInUse(name);
  }

  async #readShown(): Promise<ShownLayers> {
    const { metadata, paths } = this.#needs;
    const recorded = new Set<string>();
    for (const { rootfses } of await metadata.listContainers()) for (const { id } of rootfses) recorded.add(id);
    try {
      return await ShownLayers.read(paths, (id) => recorded.has(id));
    } catch (error) {
      if (systemCode(error) === undefined) throw error;
      return ShownLayers.unknown(`what is mounted on this machine cannot be found out: ${firstLine(error)}`);
    }
  }
}
