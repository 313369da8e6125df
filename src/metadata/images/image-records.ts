import type { Digest, ImageId, LayerId } from '../../image/digest.js';
import type { LayerRecord } from '../layers/layer-records.js';

/**
 * Images, their names, and what an index of several platforms holds.
 *
 * An **image** is recorded when all its layers are, in one transaction, and may carry any number of **names**; a name
 * belongs to one image at a time and moves when it is given to another. An image without a name stays until prune takes it.
 *
 * An image keeps its layers by its **stack**: a row for each of them, which points at the layer with a foreign key. A layer can not be deleted while such a
 * row is there, whoever deletes it, and a row can not be made for a layer that has just gone. Whichever of the two transactions comes last is refused.
 */
export interface ImageRecords {
  /**
   * Records an image, or refreshes its source and last use when it is recorded already, and gives it `names`.
   * @param choice the index that it was chosen from: a fact that is remembered as long as the image is recorded
   * @param naming whose names it may take. Default: `any`
   * @returns the record as it is then; a prune may take it right away
   * @throws ProvisionerError `ERR_LAYER_NOT_FOUND` when a layer of it is not recorded; then nothing has changed
   */
  putImage(image: NewImage, names: readonly string[], choice?: IndexChoice, naming?: Naming): Promise<ImageRecord>;
  getImage(id: ImageId): Promise<ImageRecord | undefined>;
  /** The image that carries a name, in one step. @param name normalised, see `image/reference.ts` */
  getImageByName(name: string): Promise<ImageRecord | undefined>;
  /** The recorded layers of an image, bottom first, a repeated one as often as it stands in the stack; none for an unknown image. */
  getStack(image: ImageId): Promise<LayerRecord[]>;
  /** @param hexPrefix of the digest's hex digits, at least one; @returns at most `limit` ids, sorted */
  findImages(hexPrefix: string, limit: number): Promise<ImageId[]>;
  /** Newest first; ties by id. Gives others a turn on the way when there are many. */
  listImages(): Promise<ImageSummary[]>;
  /** Gives an image one more name, taking the name from the image that had it. @param naming as with `putImage` @throws `ERR_IMAGE_NOT_FOUND` */
  addName(name: string, id: ImageId, naming?: Naming): Promise<void>;
  /** Notes, to a second, that somebody has use for an image now. Passed over for one that is not there. */
  markUsed(id: ImageId): Promise<void>;
  /** A pinned image is kept by every prune. @throws `ERR_IMAGE_NOT_FOUND` */
  setPinned(id: ImageId, pinned: boolean): Promise<void>;
  /** Takes a name away; the image stays. @returns false when no image carries it */
  removeName(name: string): Promise<boolean>;
  /** Takes all names away; the image stays. @returns the names it had, sorted */
  removeNames(id: ImageId): Promise<string[]>;
  /** The image that was chosen from an index for a platform before. */
  imageOfIndex(index: Digest, platform: string): Promise<ImageRecord | undefined>;
  /** The image that was chosen for a platform from an index which the given one was chosen from, too. */
  imageBeside(id: ImageId, platform: string): Promise<ImageRecord | undefined>;
  /** Those that were chosen from an index before, for whichever platforms: each once, sorted. */
  imagesOfIndex(index: Digest): Promise<ImageId[]>;
}

/** Whose names an image may take: those of any other, or only of one for the same platform; a name that nobody has it gets in either case. */
export type Naming = 'any' | 'own platform';

/** Which image an index holds for a platform. */
export interface IndexChoice {
  readonly index: Digest;
  /** That was asked for, as `formatPlatform` writes it. */
  readonly platform: string;
}

export interface NewImage {
  readonly id: ImageId;
  readonly mediaType: string;
  /** The manifest as it was signed, byte for byte. */
  readonly manifest: string;
  readonly configDigest: Digest;
  /** The image config, byte for byte. */
  readonly config: string;
  /** As `formatPlatform` writes it. */
  readonly platform: string;
  /** The stack, bottom first. The same layer may stand in it more than once. */
  readonly layers: readonly LayerId[];
  /** Where it came from, as `formatSource` writes it. */
  readonly source: string;
}

export interface ImageRecord extends NewImage {
  /** Sorted. */
  readonly names: readonly string[];
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  /** Milliseconds since the epoch, to a second: when it was last pulled, asked for or provisioned. Never still to come, wherever the clock was then. */
  readonly lastUsedAt: number;
  /** Says which of two images was used later, which then has the greater one, wherever the clock was. */
  readonly useOrder: number;
  /** Kept by every prune. */
  readonly pinned: boolean;
  /** Disk use of its layers in bytes, each counted once, other images' share included. */
  readonly bytes: number;
}

/** An image without its documents, which are most of its record. */
export type ImageSummary = Omit<ImageRecord, 'manifest' | 'config'>;
