import { setMaxListeners } from 'node:events';
import { statfs } from 'node:fs/promises';
import type { PullLimits } from '../config.js';
import { crashPoint } from '../crash-points.js';
import { isProvisionerError } from '../errors.js';
import { formatPlatform, type Platform } from '../image/platform.js';
import type { ImageRecord } from '../metadata/metadata-manager.js';
import type { PullResult } from '../metadata/pull-records.js';
import type { Offer, OfferedImage } from '../pull/puller.js';
import { admit } from './admission.js';
import { failureOf } from './cool-down.js';
import { completeStack } from './image-stack.js';
import { LayerStore, type LayerStoreParts, type PullContext } from './layer-store.js';
import { PullTracker } from './pull-tracker.js';

export interface ImageStoreParts extends LayerStoreParts {
  readonly limits: PullLimits;
  /** Milliseconds for which a failed pull is not repeated unless forced. */
  readonly coolDown: number;
}

export interface RunContext {
  /** Announced. */
  readonly pullId: string;
  readonly signal: AbortSignal | undefined;
  /** The names that the image is to be given, when the source calls it `ofSource`. */
  readonly given: (ofSource: readonly string[]) => readonly string[];
}

export interface RunOptions {
  readonly platform: Platform;
  readonly maxImageBytes?: number | undefined;
}

/** What became of one image. */
export interface RunImage extends ImageRecord {
  /** Names that this run gave it. */
  readonly given: readonly string[];
  readonly ofSource: readonly string[];
}

/**
 * Runs one announced pull, and leaves its outcome in the records:
 *
 *   open the source ──► for each image: lease its layers ──► admit ──► layers ──► seams ──► image and names
 *
 * Whatever comes of it, nothing is left in staging and no lease stays open.
 */
export class PullRunner {
  readonly #parts: ImageStoreParts;
  readonly #layers: LayerStore;
  /** Pulls that have ended and whose records are open: not for long, unless the disk is full. */
  readonly #ended = new Map<string, PullResult | undefined>();

  constructor(parts: ImageStoreParts) {
    this.#parts = parts;
    this.#layers = new LayerStore(parts);
  }

  /** @param open reads what the source offers @throws what it throws, and what `unpackLayer` and `admit` throw */
  async run(
    { pullId, signal, given }: RunContext,
    source: string,
    options: RunOptions,
    open: (staging: string, signal: AbortSignal) => Promise<Offer>,
  ): Promise<RunImage[]> {
    const { paths, events, metadata } = this.#parts;
    const started = performance.now();
    let current: OfferedImage['id'] | undefined;
    const tracker = new PullTracker({
      pullId,
      emit: (progress) => events.emit('layerProgress', progress),
      save: async (layers) => {
        if (current !== undefined) await metadata.reportPull(pullId, { image: current, layers });
      },
    });
    const pull: PullContext = { pullId, signal: pullSignal(signal), tracker };
    let offer: Offer | undefined;
    let result: PullResult | undefined;
    try {
      crashPoint('pull.leased');
      offer = await open(paths.pullStaging(pullId), pull.signal);
      const images: RunImage[] = [];
      for (const image of offer.images) {
        current = image.id;
        const bytes = image.layers.reduce((sum, layer) => sum + Math.max(layer.size, 0), 0);
        events.emit('pullStarted', { pullId, source, image: image.id, layers: image.layers.length, bytes });
        images.push(await this.#storeImage(image, source, options, pull, given));
        const milliseconds = performance.now() - started;
        events.emit('pullFinished', { pullId, source, image: image.id, milliseconds });
      }
      const [first] = images;
      if (first !== undefined) result = { kind: 'stored', image: first.id, names: first.ofSource };
      return images;
    } catch (error) {
      const failure = pull.signal.aborted ? undefined : failureOf(error);
      if (failure !== undefined) result = { kind: 'failed', failure };
      events.emit('pullFailed', { pullId, source, error });
      throw error;
    } finally {
      try {
        await tracker.close();
        await offer?.close();
      } finally {
        await this.#end(pullId, result);
      }
    }
  }

  async #storeImage(
    image: OfferedImage,
    source: string,
    { platform, maxImageBytes }: RunOptions,
    pull: PullContext,
    given: RunContext['given'],
  ): Promise<RunImage> {
    const { metadata, limits, paths } = this.#parts;
    const layers = image.layers.map((layer) => layer.diffId);
    pull.tracker.begin(image.layers);
    // Before it is asked which of them are stored: those that are must stay until the image names them.
    await metadata.leaseLayers(pull.pullId, layers);
    const missing = await metadata.missingLayers(layers);
    const { bavail, bsize } = await statfs(paths.staging);
    admit(
      image,
      { missing, free: bavail * bsize },
      { ...limits, maxImageBytes: maxImageBytes ?? limits.maxImageBytes },
    );
    await this.#layers.ensure(image.layers, pull);
    const stack = await completeStack(layers, this.#layers, this.#parts, pull);
    crashPoint('pull.stackCompleted');
    const names = given(image.names);
    const record = await metadata.putImage(
      {
        id: image.id,
        mediaType: image.mediaType,
        manifest: image.manifest,
        configDigest: image.configDigest,
        config: image.config,
        platform: formatPlatform(image.platform),
        layers: stack,
        source,
      },
      names,
    );
    crashPoint('pull.imageRecorded');
    if (image.chosenFrom !== undefined) {
      await metadata.putIndexChoice(image.chosenFrom, formatPlatform(platform), image.id);
    }
    return { ...record, given: names, ofSource: image.names };
  }

  /** Gives back what pulls that have ended still hold in the records, which a full disk may have kept them from. */
  async letGo(): Promise<void> {
    const { metadata, reserve } = this.#parts;
    await this.#layers.letGo();
    for (const [pullId, result] of [...this.#ended]) {
      await reserve.freeing(() =>
        result === undefined ? metadata.closeLeases([pullId]) : metadata.finishPull(pullId, result),
      );
      this.#ended.delete(pullId);
    }
  }

  /** On a full disk the records can be written when what was staged is gone. */
  async #end(pullId: string, result: PullResult | undefined): Promise<void> {
    const { paths, sweeper } = this.#parts;
    sweeper.retire(paths.pullStaging(pullId), 'staging');
    crashPoint('pull.unstaged');
    this.#ended.set(pullId, result);
    try {
      await this.letGo();
    } catch (error) {
      if (!isProvisionerError(error, 'ERR_NO_SPACE')) throw error;
      await sweeper.idle();
      await this.letGo();
    }
  }
}

/** A signal of the pull's own, which may have a listener for each layer; Node would warn the embedder about the eleventh. */
function pullSignal(caller: AbortSignal | undefined): AbortSignal {
  const signal = AbortSignal.any(caller === undefined ? [] : [caller]);
  setMaxListeners(0, signal);
  return signal;
}
