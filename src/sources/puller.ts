import type { ProvisionerError } from '../base/errors.js';
import type { DiffId, Digest, ImageId } from '../image/digest.js';
import type { Platform } from '../image/platform.js';
import type { RegistryBlob } from '../registry/blobs/registry-blob.js';
import type { SparseMap } from '../system/tar/sparse.js';

/**
 * Finds out what a source offers. Manifests and configs are read, checked against their digests and sizes, and validated;
 * no layer is touched: an offer says where each layer's bytes lie, and the unpack engine reads and checks them there.
 */
export interface Puller {
  /**
   * @param options.reference picks one image of a source that holds several: a tag, a name or a digest as the source writes it
   * @returns the images for the wanted platform; the caller closes the offer when the layers have been read
   * @throws ProvisionerError `ERR_SOURCE_NOT_FOUND`, `ERR_SOURCE_MALFORMED`, `ERR_SOURCE_UNSUPPORTED`,
   * `ERR_PLATFORM_NOT_OFFERED`, `ERR_UNSUPPORTED_MEDIA_TYPE`, `ERR_BLOB_NOT_FOUND`, `ERR_DIGEST_MISMATCH`,
   * `ERR_SIZE_MISMATCH`, `ERR_IMAGE_AMBIGUOUS` for several images and no reference, `ERR_BAD_SOURCE` for a path of the wrong
   * kind, `ERR_LIMIT_EXCEEDED`, `ERR_NO_SPACE`, `ERR_PERMISSION`, `ERR_IO`, `ERR_ABORTED`; a registry also `ERR_REGISTRY_…`
   */
  open(options: PullOptions): Promise<Offer>;
}

export interface PullOptions {
  readonly platform: Platform;
  readonly reference?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /**
   * Finds what need not be fetched: the image with this digest, or the one that was chosen for the platform from the index with this digest.
   * Default: nothing is stored.
   */
  readonly stored?: ((digest: Digest) => Promise<StoredImage | undefined>) | undefined;
  /** Images tell what they were chosen from (`choice`). Default: false, and memory is spared. */
  readonly withChoice?: boolean | undefined;
}

/** What an image was chosen from, for who looks at what a source has. */
export interface OfferedChoice {
  /** The index, byte for byte; undefined where the image itself was named. */
  readonly index: string | undefined;
  /** For which there are images, in the source's order, more than once where it says so. */
  readonly platforms: readonly Platform[];
}

/** The documents of an image that the store has. */
export type StoredImage = Pick<OfferedImage, 'id' | 'mediaType' | 'manifest' | 'configDigest' | 'config' | 'platform'>;

/** What a source holds, as long as it is open. */
export interface Offer {
  /** At least one, unless there are failures. */
  readonly images: readonly OfferedImage[];
  /** Why others cannot be had, for who wants all that an archive has: each names its image. Default: there are none. */
  readonly failures?: readonly ProvisionerError[] | undefined;
  /** Gives up temporary files and descriptors. Safe to call twice. */
  close(): Promise<void>;
}

/** What is chosen of a source. */
export type Choices = Pick<Offer, 'images' | 'failures'>;

export interface OfferedImage {
  readonly id: ImageId;
  readonly mediaType: string;
  /** Byte for byte as the source has it (or as written for a source without manifests, see `docker-archive.ts`). */
  readonly manifest: string;
  readonly configDigest: Digest;
  readonly config: string;
  /** What the config says; a variant that it leaves out is taken from the index. */
  readonly platform: Platform;
  /** Bottom first, one for each diff ID of the config. */
  readonly layers: readonly OfferedLayer[];
  /** Names that the source itself gives the image, normalised; a bare tag is no name. */
  readonly names: readonly string[];
  /** The digest of the index that it was chosen from. */
  readonly chosenFrom?: Digest | undefined;
  /** Undefined unless it was asked for, and where a source has no indexes. */
  readonly choice?: OfferedChoice | undefined;
}

export interface OfferedLayer {
  readonly diffId: DiffId;
  /** The blob as the manifest names it; undefined where the source has no digest for the stored bytes. */
  readonly digest: Digest | undefined;
  /** Stored bytes, -1 when unknown. */
  readonly size: number;
  readonly location: BlobLocation;
}

/** Where a worker finds a blob: in a file, or in a registry. It can be cloned. */
export type BlobLocation = FileLocation | RegistryBlob;

export interface FileLocation {
  readonly kind: 'file';
  /** Absolute. */
  readonly path: string;
  /** First byte. */
  readonly offset: number;
  /** Bytes in all, holes included. */
  readonly size: number;
  /** Where its data belongs, when it is a sparse file in an archive. Default: it is all there. */
  readonly sparse?: SparseMap | undefined;
  /** Links in the path may lead anywhere below this directory, and nowhere else. Default: they may lead anywhere. */
  readonly inside?: string | undefined;
}
