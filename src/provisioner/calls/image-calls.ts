import type { Readable } from 'node:stream';
import type { Get } from '../../base/assembly.js';
import { crashPoint } from '../../base/crash-points.js';
import { isProvisionerError } from '../../base/errors.js';
import { checkArgument, overridden, text } from '../../base/options/check-options.js';
import { takeOptions } from '../../base/options/take-options.js';
import type { RenewedLayers } from '../../check/renew-layers.js';
import type { ImageId, LayerId } from '../../image/digest.js';
import { imageNotes } from '../../image/image-notes.js';
import type { ImageRecord, ImageSummary } from '../../metadata/metadata-manager.js';
import type { Availability, PullUnderWay } from '../../pulls/availability.js';
import { findImage } from '../../pulls/find-image.js';
import { nameToGive, tryImageName } from '../../pulls/names-to-give.js';
import type { ImageRequestOptions, LoadOptions, PullImageOptions } from '../../pulls/pull-options.js';
import type { PulledImage } from '../../pulls/stored-images.js';
import { takeOverStream } from '../../sources/archives/take-over-stream.js';
import type { LayerDetails } from '../layer-details.js';
import type { OpenStore } from '../open-store.js';
import type { LayerTarOptions, PullAgainOptions } from '../options.js';
import * as o from '../options.js';
import { checkNeeds, GAP_WARNING, IMAGE_REQUESTS, POOL } from '../services.js';
import type { Calls } from './calls.js';

/** A stored image with all that is known of it. */
export interface ImageDetails extends ImageRecord {
  /** Of `layers`, in their order. */
  readonly layerDetails: readonly LayerDetails[];
  /** What is odd about its documents and was put up with when it was pulled: a sentence for each, mostly none. */
  readonly notes: readonly string[];
}

/** What came of a pull that got stored layers again. */
export interface PulledAgain extends PulledImage {
  readonly renewed: RenewedLayers;
}

/** The images of a store: getting them, their names, and which of them stay. */
export class ImageCalls {
  readonly #store: OpenStore;
  readonly #get: Get<OpenStore>;
  readonly #calls: Calls;

  constructor(store: OpenStore, get: Get<OpenStore>, calls: Calls) {
    this.#store = store;
    this.#get = get;
    this.#calls = calls;
  }

  /** Gets one image and stores it. @param source such as `app:v1`, `docker://registry.example/app:v1`, `oci:DIR`, `docker-archive:FILE` */
  async pull(source: string, options: PullImageOptions = {}): Promise<PulledImage> {
    return this.#calls.writing('pull', async () => {
      checkArgument('images.pull', 'source', text, source);
      const own = takeOptions('images.pull', o.PULL_IMAGE_OPTIONS, options);
      return (await this.#get(IMAGE_REQUESTS)).pull(source, own);
    });
  }

  /**
   * As `pull`, and gets those layers again, too, that are stored without a tar record, as those of before format 2 are: the fresh ones are put in their places, and containers go on with what they show. With
   * `tarRecords: false` there are none that it would get.
   * @throws what `pull` throws; layers that came before are in place then
   */
  async pullAgain(source: string, options: PullAgainOptions = {}): Promise<PulledAgain> {
    return this.#calls.writing('pull', async () => {
      checkArgument('images.pullAgain', 'source', text, source);
      const own = takeOptions('images.pullAgain', o.PULL_AGAIN_OPTIONS, options);
      const image = await (await this.#get(IMAGE_REQUESTS)).pull(source, { ...own, pullPolicy: 'always' });
      const [{ renewLayers }, { formatSource, parseSource, withAbsolutePath }] = await Promise.all([
        import('../../check/renew-layers.js'),
        import('../../sources/source.js'),
      ]);
      return this.#store.liveness.during(async (liveness) => {
        const needs = checkNeeds(this.#store, this.#get, liveness);
        const registry = overridden(needs.registry, own.registry);
        // What is stored may have come from elsewhere, where it is not any more.
        const from = { ...image, source: formatSource(withAbsolutePath(parseSource(source))) };
        const stored = this.#store.options.tarRecords === false ? [] : [...new Set(image.layers)];
        const renewed = await renewLayers({ ...needs, registry }, from, stored, own.signal);
        // What its layers take has changed.
        return { ...image, ...(await this.#store.metadata.getImage(image.id)), renewed };
      });
    });
  }

  /**
   * The archive of a stored layer, byte for byte as it was unpacked: what `layers` of an image's config calls by its digest. Destroy the stream to have no more of it; until then no
   * prune takes the layer, and the process does not end by itself.
   * @param layer its id, in full
   * @returns a stream of bytes, which fails at its end when the digest is another one: do not use what came before
   * @throws `ERR_BAD_DIGEST`, `ERR_LAYER_NOT_FOUND`, `ERR_NOT_EXPORTABLE`, `ERR_ABORTED`; the stream fails with `ERR_STORE_DAMAGED`, `ERR_ABORTED`, `ERR_CLOSED`
   */
  async layerTar(layer: string, options: LayerTarOptions = {}): Promise<Readable> {
    return this.#calls.looking(async () => {
      checkArgument('images.layerTar', 'layer', text, layer);
      const { signal } = takeOptions('images.layerTar', o.LAYER_TAR_OPTIONS, options);
      const { openLayerTar } = await import('../../layer-store/layer-tar.js');
      const { paths, metadata, liveness, readOnly } = this.#store;
      const needs = { paths, metadata, liveness, pool: this.#get(POOL), isReadOnly: readOnly !== undefined };
      return openLayerTar(layer as LayerId, needs, signal);
    });
  }

  /**
   * Stores all images of a `docker save` or OCI archive.
   * @param input a file's path, or a stream of it, which is used up, and destroyed when this fails
   * @throws `LoadIncompleteError`, with what was stored and what was not, where the archive holds several images and one of them cannot be stored
   */
  async load(input: string | Readable, options: LoadOptions = {}): Promise<PulledImage[]> {
    // Before anything is waited for: a stream can fail at any moment from here on.
    if (typeof input === 'string' || !o.LOAD_INPUT.holds(input)) return this.#load(input, options);
    const stream = takeOverStream(input);
    try {
      return await this.#load(stream, options);
    } catch (error) {
      stream.destroy();
      throw error;
    }
  }

  #load(input: string | Readable, options: LoadOptions): Promise<PulledImage[]> {
    return this.#calls.writing('load', async () => {
      checkArgument('images.load', 'input', o.LOAD_INPUT, input);
      const own = takeOptions('images.load', o.LOAD_OPTIONS, options);
      const archive =
        typeof input === 'string'
          ? ({ kind: 'file', path: input } as const)
          : ({ kind: 'stream', stream: input } as const);
      return (await this.#get(IMAGE_REQUESTS)).load(archive, own);
    });
  }

  /**
   * Sees to it that an image will be stored, and says at once how that stands: what is missing is pulled in the background. A pull that failed is
   * repeated by the first request after `pullCoolDown`, or by one that forces it. `close` gives up what nobody waits for.
   * @param source as for `pull`
   */
  async request(source: string, options: ImageRequestOptions = {}): Promise<Availability> {
    return this.#calls.writing('request an image', async () => {
      checkArgument('images.request', 'source', text, source);
      const own = takeOptions('images.request', o.IMAGE_REQUEST_OPTIONS, options);
      return (await this.#get(IMAGE_REQUESTS)).request(source, own);
    });
  }

  /**
   * What is known of an image at once, without asking its source: whether it is stored, being pulled by any process, has failed of late, or is missing.
   * (`get` gives a stored image and throws when there is none.)
   * @param source as for `pull`
   */
  async availability(source: string, options: ImageRequestOptions = {}): Promise<Availability> {
    return this.#calls.looking(async () => {
      checkArgument('images.availability', 'source', text, source);
      const own = takeOptions('images.availability', o.IMAGE_REQUEST_OPTIONS, options);
      return (await this.#get(IMAGE_REQUESTS)).availability(source, own);
    });
  }

  /** The pulls under way, of all processes that use this store, oldest first; what they tell is at most a second old. */
  async pulls(): Promise<PullUnderWay[]> {
    return this.#calls.looking(async () => (await this.#get(IMAGE_REQUESTS)).pulls());
  }

  /** All stored images, newest first, without their documents; `get` has those. */
  async list(): Promise<ImageSummary[]> {
    return this.#calls.looking(async () => {
      const images = await this.#store.metadata.listImages();
      await this.#get(GAP_WARNING)();
      return images;
    });
  }

  /** One stored image. @param image a name, a digest, or the first digits of one @throws `ERR_IMAGE_NOT_FOUND`, `ERR_IMAGE_AMBIGUOUS` */
  async get(image: string): Promise<ImageDetails> {
    return this.#calls.looking(async () => {
      checkArgument('images.get', 'image', text, image);
      const found = await this.#find(image);
      const { layerDetailsOf } = await import('../layer-details.js');
      const layerDetails = layerDetailsOf(found, await this.#store.metadata.getStack(found.id));
      return { ...found, layerDetails, notes: imageNotes(found) };
    });
  }

  /** Gives an image one more name. @returns the name, normalised @throws `ERR_IMAGE_NOT_FOUND`, `ERR_BAD_REFERENCE` */
  async tag(image: string, name: string): Promise<string> {
    return this.#calls.writing('give an image a name', async () => {
      checkArgument('images.tag', 'image', text, image);
      checkArgument('images.tag', 'name', text, name);
      const normalised = nameToGive(name);
      await this.#store.metadata.addName(normalised, (await this.#find(image)).id);
      crashPoint('tag.done');
      return normalised;
    });
  }

  /**
   * Takes a name away; or, of an image given by digest, all its names. Its layers stay until a prune.
   * @returns the names taken @throws `ERR_IMAGE_NOT_FOUND`
   */
  async remove(image: string): Promise<string[]> {
    return this.#calls.writing('remove names', async () => {
      checkArgument('images.remove', 'image', text, image);
      const { metadata } = this.#store;
      const found = await this.#find(image);
      const name = found.names.find((candidate) => candidate === tryImageName(image));
      const removed = name === undefined ? await metadata.removeNames(found.id) : [name];
      if (name !== undefined && !(await metadata.removeName(name))) return [];
      crashPoint('rmi.done');
      return removed;
    });
  }

  /** Keeps an image from every prune. @returns its id @throws `ERR_IMAGE_NOT_FOUND` */
  async pin(image: string): Promise<ImageId> {
    return this.#setPinned('pin', image, true);
  }

  /** Keeps it from prune no longer. @returns its id @throws `ERR_IMAGE_NOT_FOUND` */
  async unpin(image: string): Promise<ImageId> {
    return this.#setPinned('unpin', image, false);
  }

  #setPinned(deed: 'pin' | 'unpin', image: string, pinned: boolean): Promise<ImageId> {
    return this.#calls.writing(`${deed} an image`, async () => {
      checkArgument(`images.${deed}`, 'image', text, image);
      const { id } = await this.#find(image);
      await this.#store.metadata.setPinned(id, pinned);
      return id;
    });
  }

  async #find(image: string): Promise<ImageRecord> {
    try {
      return await findImage(this.#store.metadata, image);
    } catch (error) {
      if (isProvisionerError(error, 'ERR_IMAGE_NOT_FOUND')) await this.#get(GAP_WARNING)();
      throw error;
    }
  }
}
