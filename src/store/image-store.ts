import { randomUUID } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { resolve } from 'node:path';
import { crashPoint } from '../crash-points.js';
import type { Digest, ImageId } from '../image/digest.js';
import { formatPlatform, type Platform, parsePlatform } from '../image/platform.js';
import { orAborted } from '../locks/or-aborted.js';
import type { ImageRecord } from '../metadata/metadata-manager.js';
import type { ArchiveInput } from '../pull/archive-spool.js';
import type { Offer, OfferedImage, StoredImage } from '../pull/puller.js';
import { formatSource, type Source } from '../pull/source.js';
import type { RegistryOptions } from '../registry/registry-options.js';
import { completeStack } from './image-stack.js';
import { LayerStore, type LayerStoreParts } from './layer-store.js';

export interface PullRequest {
  readonly platform: Platform;
  /** Names to give the image, normalised. Default: those that the source itself gives it. */
  readonly names?: readonly string[] | undefined;
  readonly signal?: AbortSignal | undefined;
  /** How registries are reached. */
  readonly registry?: RegistryOptions | undefined;
}

/** A stored image, as a pull left it. */
export interface PulledImage extends ImageRecord {
  /** The names that this pull gave it; `names` has those of before, too. */
  readonly given: readonly string[];
}

/**
 * Images and their layers: gets them from sources, and finds them by name or digest. An image is recorded when all its layers are
 * stored, so an image that can be found can be provisioned.
 */
export class ImageStore {
  readonly #parts: LayerStoreParts;
  readonly #layers: LayerStore;
  /** Pulls under way, those of callers who gave up included. */
  readonly #pulling = new Set<Promise<unknown>>();
  /** Pulls that have ended and whose leases are open: not for long, unless the disk is full. */
  readonly #ended = new Set<string>();

  constructor(parts: LayerStoreParts) {
    this.#parts = parts;
    this.#layers = new LayerStore(parts);
  }

  /** Stores one image. @throws what pullers and `unpackLayer` throw */
  async pull(source: Source, request: PullRequest): Promise<PulledImage> {
    const absolute: Source = source.transport === 'docker' ? source : { ...source, path: resolve(source.path) };
    const [image] = await this.#store(formatSource(absolute), request, async (staging) => {
      const { openSource } = await import('../pull/open-source.js');
      return openSource(absolute, {
        stagingDirectory: staging,
        freeSpaceReserve: this.#parts.limits.freeSpaceReserve,
        openRepository: this.#parts.registries.opener(request.registry ?? {}),
      }).open({
        platform: request.platform,
        signal: request.signal,
        stored: (digest) => this.#findStored(digest, request.platform),
      });
    });
    return image as PulledImage;
  }

  /** Stores all images of an archive. @param input a file's path, or a stream */
  async load(input: ArchiveInput, request: PullRequest): Promise<PulledImage[]> {
    const source = input.kind === 'file' ? `archive:${resolve(input.path)}` : 'archive:-';
    return this.#store(source, request, async (staging) => {
      const { openArchive } = await import('../pull/open-archive.js');
      return openArchive(input, {
        platform: request.platform,
        signal: request.signal,
        stagingDirectory: staging,
        freeSpaceReserve: this.#parts.limits.freeSpaceReserve,
      });
    });
  }

  /** Gives back what pulls that have ended still hold in the records, which a full disk may have kept them from. */
  async letGo(): Promise<void> {
    const { metadata, reserve } = this.#parts;
    await this.#layers.letGo();
    const ended = [...this.#ended];
    if (ended.length > 0) await reserve.freeing(() => metadata.closeLeases(ended));
    for (const pullId of ended) this.#ended.delete(pullId);
  }

  /** Resolves when no pull is under way. */
  async idle(): Promise<void> {
    while (this.#pulling.size > 0) await Promise.allSettled(this.#pulling);
  }

  /** What a source need not be asked for. */
  async #findStored(digest: Digest, platform: Platform): Promise<StoredImage | undefined> {
    const { metadata } = this.#parts;
    const image =
      (await metadata.getImage(digest as ImageId)) ?? (await metadata.imageOfIndex(digest, formatPlatform(platform)));
    return image && { ...image, platform: parsePlatform(image.platform) };
  }

  async #store(
    source: string,
    request: PullRequest,
    open: (staging: string) => Promise<Offer>,
  ): Promise<PulledImage[]> {
    const pullId = randomUUID();
    const pull = this.#pullAll(source, pullId, request, open);
    this.#pulling.add(pull);
    const done = () => this.#pulling.delete(pull);
    pull.then(done, done);
    return orAborted(pull, request.signal);
  }

  async #pullAll(
    source: string,
    pullId: string,
    request: PullRequest,
    open: (staging: string) => Promise<Offer>,
  ): Promise<PulledImage[]> {
    const { paths, sweeper, events, metadata, identity } = this.#parts;
    const started = performance.now();
    let offer: Offer | undefined;
    try {
      await metadata.openLease(pullId, identity);
      crashPoint('pull.leased');
      offer = await open(paths.pullStaging(pullId));
      const images: PulledImage[] = [];
      for (const image of offer.images) {
        const bytes = image.layers.reduce((sum, layer) => sum + Math.max(layer.size, 0), 0);
        events.emit('pullStarted', { pullId, source, image: image.id, layers: image.layers.length, bytes });
        images.push(await this.#storeImage(image, source, pullId, request));
        const milliseconds = performance.now() - started;
        events.emit('pullFinished', { pullId, source, image: image.id, milliseconds });
      }
      return images;
    } catch (error) {
      events.emit('pullFailed', { pullId, source, error });
      throw error;
    } finally {
      try {
        await offer?.close();
      } finally {
        sweeper.retire(paths.pullStaging(pullId), 'staging');
        crashPoint('pull.unstaged');
        this.#ended.add(pullId);
        await this.letGo();
      }
    }
  }

  async #storeImage(image: OfferedImage, source: string, pullId: string, request: PullRequest): Promise<PulledImage> {
    const { metadata } = this.#parts;
    const pull = { pullId, signal: pullSignal(request.signal) };
    const layers = image.layers.map((layer) => layer.diffId);
    // Before it is asked which of them are stored: those that are must stay until the image names them.
    await metadata.leaseLayers(pullId, layers);
    await this.#layers.ensure(image.layers, pull);
    const stack = await completeStack(layers, this.#layers, this.#parts, pull);
    crashPoint('pull.stackCompleted');
    for (const layer of image.layers) {
      if (layer.digest !== undefined) await metadata.putBlob(layer.digest, layer.diffId);
    }
    const given = request.names ?? image.names;
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
      given,
    );
    crashPoint('pull.imageRecorded');
    if (image.chosenFrom !== undefined) {
      await metadata.putIndexChoice(image.chosenFrom, formatPlatform(request.platform), image.id);
    }
    return { ...record, given };
  }
}

/** A signal of the pull's own, which may have a listener for each layer; Node would warn the embedder about the eleventh. */
function pullSignal(caller: AbortSignal | undefined): AbortSignal {
  const signal = AbortSignal.any(caller === undefined ? [] : [caller]);
  setMaxListeners(0, signal);
  return signal;
}
