import { randomUUID } from 'node:crypto';
import { basename } from 'node:path';
import { crashPoint } from '../base/crash-points.js';
import { fileError, ProvisionerError, throwIfAborted } from '../base/errors.js';
import { type FailedEntry, failedEntry } from '../base/failed-entry.js';
import { makeDirectories } from '../files/tree/make-directories.js';
import type { ImageId, LayerId } from '../image/digest.js';
import { plannedSeam } from '../layer-store/image-stack.js';
import type { ImageRecord, LayerRecord } from '../metadata/metadata-manager.js';
import type { PullTracker } from '../pulls/pull-tracker.js';
import type { Offer, OfferedLayer } from '../sources/puller.js';
import { inflateOnThread } from '../workers/inflate-on-thread.js';
import { diffIdsOf } from './check-images.js';
import type { CheckNeeds } from './check-needs.js';
import type { RepairOutcome } from './findings.js';
import type { ParkedLayers } from './parked-layers.js';
import { reopenSource } from './reopen-source.js';
import { swapLayer } from './swap-layer.js';

/** A fresh copy of a layer. */
interface Staged extends FreshCopy {
  readonly directory: string;
  readonly image: ImageId;
}

type FreshCopy = Pick<LayerRecord, 'bytes' | 'tar' | 'tarBytes'>;

/**
 * Heals layers: gets each again from where an image with it came from, which checks both of its digests, and swaps the copy in. A seam is made again from the layers it
 * lies on, so those must be healed before it.
 */
export class LayerHealer {
  readonly #needs: CheckNeeds;
  readonly #parked: ParkedLayers;
  readonly #holders: ReadonlyMap<LayerId, readonly ImageRecord[]>;
  readonly #signal: AbortSignal;
  readonly #tracker: Pick<PullTracker, 'begin' | 'update' | 'updateIfChanged'> | undefined;
  readonly #healId: string;
  readonly #offers = new Map<ImageId, Promise<Offer>>();
  #staged = 0;

  /**
   * @param holders the images that have each layer
   * @param told is told how far each layer is, by this id. Default: nobody is
   */
  constructor(
    needs: CheckNeeds,
    parked: ParkedLayers,
    holders: ReadonlyMap<LayerId, readonly ImageRecord[]>,
    signal: AbortSignal | undefined,
    told?: { readonly pullId: string; readonly tracker: PullTracker },
  ) {
    this.#needs = needs;
    this.#parked = parked;
    this.#holders = holders;
    this.#signal = signal ?? new AbortController().signal;
    this.#healId = told?.pullId ?? randomUUID();
    this.#tracker = told?.tracker;
  }

  /** True for a layer that this store has made of others. */
  isSeam(id: LayerId): boolean {
    return this.#imagesWith(id).every((image) => !diffIdsOf(image)?.includes(id));
  }

  /** Never throws but for an abort: what goes wrong is the outcome. */
  async heal(id: LayerId): Promise<RepairOutcome> {
    const images = this.#imagesWith(id);
    const failures: string[] = [];
    for (const image of images) {
      try {
        const parkedFor = await this.replace(id, image);
        return { state: 'healed', message: healedMessage(image, parkedFor), images: [image.id], parkedFor };
      } catch (error) {
        throwIfAborted(this.#signal);
        failures.push(`image ${image.names[0] ?? image.id} from ${image.source}: ${reasonOf(error)}`);
      }
    }
    const message =
      images.length === 0 ? 'no stored image has it, so nobody knows where it came from' : failures.join('; ');
    return { state: 'failed', message, images: images.map((image) => image.id), parkedFor: [] };
  }

  /**
   * Gets a layer again from where an image with it came from, and puts it in the place of the one that there is.
   * @returns the containers that keep that one
   * @throws what opening the source and unpacking throw
   */
  async replace(id: LayerId, image: ImageRecord): Promise<string[]> {
    throwIfAborted(this.#signal);
    const parkedFor = await this.#swap(id, await this.#stage(id, image));
    this.#tracker?.update(id, 'done', -1);
    return parkedFor;
  }

  /** @returns what it could not take away; the next recovery does */
  async close(): Promise<FailedEntry[]> {
    for (const offer of this.#offers.values()) {
      // One that could not be opened has been told as such.
      await offer.then(
        (opened) => opened.close(),
        () => {},
      );
    }
    const { sweeper, paths, metadata } = this.#needs;
    const failed: FailedEntry[] = [];
    const staging = paths.pullStaging(this.#healId);
    try {
      sweeper.retire(staging, 'staging');
      crashPoint('repair.unstaged');
    } catch (error) {
      failed.push(failedEntry(error, 'take away what a repair had staged', staging));
    }
    await metadata.closeLeases([this.#healId]);
    return failed;
  }

  #imagesWith(id: LayerId): readonly ImageRecord[] {
    return this.#holders.get(id) ?? [];
  }

  async #stage(id: LayerId, image: ImageRecord): Promise<Staged> {
    const { paths, fidelity } = this.#needs;
    fidelity.beforeLayers();
    await this.#lease();
    const directory = paths.stagedLayer(this.#healId, this.#staged++);
    try {
      makeDirectories(directory);
      const isSeam = !diffIdsOf(image)?.includes(id);
      const copy = isSeam ? await this.#makeSeam(id, image, directory) : await this.#unpack(id, image, directory);
      crashPoint('repair.staged');
      return { directory, ...copy, image: image.id };
    } catch (error) {
      this.#needs.sweeper.retire(directory, basename(directory));
      throw fileError(error, 'stage the layer', directory);
    }
  }

  /** So that no recovery takes the staging directory for a dead process's. */
  async #lease(): Promise<void> {
    if (this.#staged > 0) return;
    const { metadata, liveness } = this.#needs;
    await metadata.closeLeases([this.#healId]);
    await metadata.openLease(this.#healId, liveness.identity);
    crashPoint('repair.leased');
  }

  async #unpack(id: LayerId, image: ImageRecord, directory: string): Promise<FreshCopy> {
    const { location, digest, diffId, size } = await this.#offered(id, image);
    this.#tracker?.begin([{ diffId, size }]);
    const { whiteouts, privileged, limits, tarRecords: keepTar, pool, events } = this.#needs;
    const request = { blob: location, digest, diffId, directory, format: whiteouts, privileged, limits, keepTar };
    const { bytes, tar, tarBytes } = await pool.run('unpack-layer', request, {
      signal: this.#signal,
      onStart: () => this.#tracker?.update(id, 'unpacking', 0),
      onProgress: (read) => this.#tracker?.updateIfChanged(id, 'unpacking', read),
    });
    this.#tracker?.updateIfChanged(id, 'unpacking', size);
    events.count('layersUnpacked');
    events.count('layerBytesRead', size);
    return { bytes, tar, tarBytes };
  }

  async #offered(id: LayerId, image: ImageRecord): Promise<OfferedLayer> {
    let opening = this.#offers.get(image.id);
    if (opening === undefined) {
      const { paths, limits, registries, registry, pool } = this.#needs;
      opening = reopenSource(image, {
        openRepository: registries.opener(registry),
        stagingDirectory: paths.pullStaging(this.#healId),
        freeSpaceReserve: limits.freeSpaceReserve,
        inflate: inflateOnThread(pool),
        signal: this.#signal,
      });
      opening.catch(() => {});
      this.#offers.set(image.id, opening);
    }
    const { images } = await opening;
    const layer = images.flatMap(({ layers }) => layers).find(({ diffId }) => diffId === id);
    if (layer !== undefined) return layer;
    const now = images.map((offered) => offered.id).join(', ') || 'no image';
    throw new ProvisionerError(
      'ERR_DIGEST_MISMATCH',
      `the source now offers ${now}, which does not have the layer ${id}`,
      {
        details: { image: image.id, layer: id },
      },
    );
  }

  /** See `completeStack`, which made it the first time. */
  async #makeSeam(id: LayerId, image: ImageRecord, directory: string): Promise<FreshCopy> {
    const { metadata, paths, pool, whiteouts, privileged, limits } = this.#needs;
    const at = image.layers.indexOf(id);
    const stack = (await metadata.getStack(image.id)).slice(0, at);
    const bottom = Math.max(
      0,
      stack.findLastIndex(({ opaqueRoot }) => opaqueRoot),
    );
    const shown = stack.slice(bottom).map((layer) => layer.id);
    const own = new Set(diffIdsOf(image));
    const diffIds = image.layers.slice(0, at).filter((layer) => own.has(layer));
    const wanted = await plannedSeam(id, shown, diffIds, this.#needs, this.#signal);
    const below = shown.map((layer) => paths.layer(layer));
    const request = { ...wanted, stack: below, target: directory, whiteouts, privileged, limits };
    const { entries, bytes } = await pool.run('make-seam', request, { signal: this.#signal });
    if (entries === 0)
      throw new ProvisionerError('ERR_STORE_DAMAGED', `the layers below do not ask for the seam ${id}`);
    return { bytes, tar: 'seam', tarBytes: 0 };
  }

  /** Synced before it is where anybody finds it. */
  async #swap(id: LayerId, { directory, bytes, tar, tarBytes }: Staged): Promise<string[]> {
    const { disk, storeLock, metadata } = this.#needs;
    await disk.all();
    crashPoint('repair.synced');
    const swap = async () => {
      if ((await metadata.getLayer(id)) === undefined) {
        throw new ProvisionerError('ERR_LAYER_NOT_FOUND', `layer ${id} is not recorded any more`);
      }
      const containers = await swapLayer(id, directory, { ...this.#needs, parked: this.#parked });
      await metadata.changeLayer(id, { bytes, tar, tarBytes });
      crashPoint('repair.recorded');
      return containers;
    };
    return storeLock.withExclusive('check', swap, this.#signal);
  }
}

function healedMessage(image: ImageRecord, containers: readonly string[]): string {
  const origin = `healed with a fresh copy, from image ${image.names[0] ?? image.id}`;
  if (containers.length === 0) return origin;
  return `${origin}; the old copy is parked until these containers are destroyed, which keep showing it: ${containers.join(', ')}`;
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
