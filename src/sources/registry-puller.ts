import { isProvisionerError, throwIfAborted } from '../base/errors.js';
import type { DiffId, Digest } from '../image/digest.js';
import {
  checkDocumentSize,
  type Descriptor,
  DOCUMENT_LIMIT,
  parseImageConfig,
  parseManifest,
} from '../image/manifest.js';
import { isForeignLayer, mediaKind } from '../image/media-types.js';
import { platformFit } from '../image/platform.js';
import { DEFAULT_TAG, formatReference, type Reference } from '../image/reference.js';
import type { RegistryBlob } from '../registry/blobs/registry-blob.js';
import type { Repository, ResolvedTag } from '../registry/repository.js';
import { type BlobAccess, type DocumentRole, decodeText } from './blob-access.js';
import { ManifestChooser } from './choose-manifest.js';
import { offerFirst, offerImage } from './offer-image.js';
import type { BlobLocation, Offer, OfferedImage, Puller, PullOptions, StoredImage } from './puller.js';

/** Documents kept for being read twice: an index, and the manifest and the config of what is chosen from it. */
const KEPT_DOCUMENTS = 4;
/** Places that are tried for one layer: those that are written have one or two. */
const URLS_MAX = 8;
/** What comes of a digest that a registry states for a tag, and does not have. */
const MISLED = ['ERR_DIGEST_MISMATCH', 'ERR_SOURCE_NOT_FOUND', 'ERR_BLOB_NOT_FOUND'] as const;
/** A document whose size nobody has stated. */
const UNKNOWN_SIZE = -1;

/**
 * One image of a registry. Where its tag points is asked anew each time, by one small request; everything else is named by a digest, and what the
 * store has of it is not asked for again.
 * @see OCI distribution-spec, "Pull"
 */
export class RegistryPuller implements Puller {
  readonly #reference: Reference;
  readonly #openRepository: (signal: AbortSignal | undefined) => Promise<Repository>;

  constructor(reference: Reference, openRepository: (signal: AbortSignal | undefined) => Promise<Repository>) {
    this.#reference = reference;
    this.#openRepository = openRepository;
  }

  async open(options: PullOptions): Promise<Offer> {
    throwIfAborted(options.signal);
    const repository = await this.#openRepository(options.signal);
    return { images: [await this.#offer(repository, options)], close: async () => undefined };
  }

  async #offer(repository: Repository, { platform, stored, withChoice = false }: PullOptions): Promise<OfferedImage> {
    const name = formatReference(this.#reference);
    let root = await this.#resolve(repository, name);
    const found = await stored?.(root.digest);
    if (found !== undefined && platformFit(platform, found.platform) > 0) {
      const image = offerStored(found, repository, [name]);
      return found.id === root.digest ? image : { ...image, chosenFrom: root.digest };
    }

    const blobs = new RegistryBlobs(`the image ${name}`, repository);
    let descriptor: Descriptor;
    try {
      descriptor = await blobs.describe(root);
    } catch (error) {
      const mayBeMisled = this.#reference.digest === undefined && root.bytes === undefined;
      if (!mayBeMisled || !isProvisionerError(error, ...MISLED)) throw error;
      // What the tag was said to be is not there, or is something else: it is asked for what it is.
      try {
        root = await this.#resolve(repository, name, false);
        descriptor = await blobs.describe(root);
      } catch (second) {
        // Who gives up hears that he has; else what came first says more.
        throw isProvisionerError(second, 'ERR_ABORTED') ? second : error;
      }
    }
    const chooser = new ManifestChooser(blobs, platform);
    const survey = await chooser.survey([descriptor]);
    const image = await offerFirst(chooser.best(survey), async (candidate) => {
      const isIndex = candidate.descriptor.digest !== root.digest;
      const known = isIndex ? await stored?.(candidate.descriptor.digest as Digest) : undefined;
      const image =
        known === undefined
          ? await offerImage(blobs, candidate, [name])
          : offerStored({ ...known, platform: candidate.platform ?? known.platform }, repository, [name]);
      return isIndex ? { ...image, chosenFrom: root.digest } : image;
    });
    if (!withChoice) return image;
    const index = image.id === root.digest ? undefined : await blobs.readDocument(descriptor, 'the index');
    return { ...image, choice: { index, platforms: survey.offered } };
  }

  async #resolve(repository: Repository, name: string, hinted = true): Promise<ResolvedTag> {
    const { tag = DEFAULT_TAG, digest } = this.#reference;
    if (digest !== undefined) return { digest, mediaType: '', size: UNKNOWN_SIZE };
    return repository.resolve(tag, DOCUMENT_LIMIT, `the image ${name}`, hinted);
  }
}

/** An image whose documents are here: not even its layers are asked for, unless one of them has gone. */
function offerStored(stored: StoredImage, repository: Repository, names: readonly string[]): OfferedImage {
  const manifest = parseManifest(stored.manifest, `the manifest ${stored.id}`);
  const config = parseImageConfig(stored.config, manifest.layers.length, `the config ${stored.configDigest}`);
  const layers = manifest.layers.map((layer, position) => ({
    diffId: config.diffIds[position] as DiffId,
    digest: layer.digest,
    size: layer.size,
    location: blobOf(layer, repository),
  }));
  return { ...stored, layers, names };
}

/**
 * A layer that may not be pushed to registries lies where its descriptor says. Nobody else is believed about that: whoever writes a manifest could have us ask any host on the net.
 * @see OCI image-spec, layer.md, "Non-Distributable Layers"
 */
function blobOf({ digest, size, mediaType, urls }: Descriptor, repository: Repository): RegistryBlob {
  return repository.blob(digest, size, isForeignLayer(mediaType) ? (urls ?? []).slice(0, URLS_MAX) : []);
}

class RegistryBlobs implements BlobAccess {
  readonly label: string;
  readonly #repository: Repository;
  readonly #kept = new Map<Digest, string>();

  constructor(label: string, repository: Repository) {
    this.label = label;
    this.#repository = repository;
  }

  /** Makes a descriptor of what a tag or a digest names: by reading it, unless it says of itself that it is no image. One whose type is not known has none. */
  async describe({ digest, mediaType, size, bytes }: ResolvedTag): Promise<Descriptor> {
    const subject = `the manifest ${digest}`;
    if (bytes !== undefined) this.#keep(digest, decodeText(bytes, subject));
    const kind = mediaKind(mediaType);
    if (kind !== undefined && (size !== UNKNOWN_SIZE || (kind !== 'manifest' && kind !== 'index'))) {
      return { digest, mediaType, size: Math.max(size, 0) };
    }
    const text = await this.#read(digest, UNKNOWN_SIZE, 'manifest', subject);
    return { digest, mediaType: kind === undefined ? '' : mediaType, size: Buffer.byteLength(text) };
  }

  async readDocument({ digest, size }: Descriptor, role: DocumentRole): Promise<string> {
    const subject = `${role} ${digest}`;
    checkDocumentSize(size, subject);
    return this.#read(digest, size, role === 'the config' ? 'blob' : 'manifest', subject);
  }

  async locateLayer(layer: Descriptor): Promise<BlobLocation> {
    return blobOf(layer, this.#repository);
  }

  async #read(digest: Digest, size: number, kind: 'manifest' | 'blob', subject: string): Promise<string> {
    const kept = this.#kept.get(digest);
    // A descriptor that states another size than the document has is found out like any other.
    if (kept !== undefined && (size < 0 || Buffer.byteLength(kept) === size)) return kept;
    const bytes = await this.#repository.read({ digest, size, kind, subject }, DOCUMENT_LIMIT);
    const text = decodeText(bytes, subject);
    this.#keep(digest, text);
    return text;
  }

  #keep(digest: Digest, text: string): void {
    this.#kept.set(digest, text);
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > KEPT_DOCUMENTS && oldest !== undefined) this.#kept.delete(oldest);
  }
}
