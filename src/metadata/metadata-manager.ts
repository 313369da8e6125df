import type { Digest, ImageId, LayerId } from '../image/digest.js';
import type { MountPlace } from '../system/locks/mount-place.js';
import type { ProcessIdentity } from '../system/locks/process-identity.js';
import type { PullRecords } from './pull-records.js';

/**
 * The store's records.
 *
 * An **image** is recorded when all its layers are, in one transaction, and may carry any number of **names**; a name
 * belongs to one image at a time and moves when it is given to another. An image without a name stays until prune takes it.
 *
 * A **layer** is recorded after its directory stands under `layers/`, so a recorded layer can be used. Before it is
 * unpacked its id is **claimed**, so that one process unpacks it and the others wait; a claim of a dead process counts for
 * nothing.
 *
 * A **container** is recorded with its first **rootfs** and goes with its last one. Ids nest (`parent/child`), and the
 * tree is read off the ids: a parent need not be recorded itself, nor be of the same owner. A rootfs that takes long to make is `provisioning` before
 * anything of it stands on disk, with the process that makes it; one that is made at once is recorded when it is `ready`. It is forgotten when
 * nothing of it stands on disk any more.
 *
 * A **lease** names the layers that a pull under way needs, so that prune leaves them; that of a dead process counts for nothing.
 * `PullRecords` tells of pulls as others see them.
 *
 * Every method is one transaction: it happens whole or not at all, survives `kill -9` once it has resolved, and is seen
 * by all processes that have the store open. A store that another process is writing is waited for without blocking the event loop; after
 * `busyTimeout` the call fails with `ERR_STORE_BUSY`.
 */
/** Whose names an image may take: those of any other, or only of one for the same platform; a name that nobody has it gets in either case. */
export type Naming = 'any' | 'own platform';

export interface MetadataManager extends PullRecords {
  // Images and names

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
  /** @param hexPrefix of the digest's hex digits, at least one; @returns at most `limit` ids, sorted */
  findImages(hexPrefix: string, limit: number): Promise<ImageId[]>;
  /** Newest first; ties by id. Gives others a turn on the way when there are many. */
  listImages(): Promise<ImageSummary[]>;
  /** Gives an image one more name, taking the name from the image that had it. @param naming as with `putImage` @throws `ERR_IMAGE_NOT_FOUND` */
  addName(name: string, id: ImageId, naming?: Naming): Promise<void>;
  /** Notes, to a second, that somebody has use for an image now. Passed over for one that is not there. */
  markUsed(id: ImageId): Promise<void>;
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

  // Layers

  getLayer(id: LayerId): Promise<LayerRecord | undefined>;
  /** The recorded layers of an image, bottom first, a repeated one as often as it stands in the stack; none for an unknown image. */
  getStack(image: ImageId): Promise<LayerRecord[]>;
  /** Those of `ids` that are not recorded, in the order given, each once. */
  missingLayers(ids: readonly LayerId[]): Promise<LayerId[]>;
  /** Records layers in one transaction, and gives their claims back. One that is recorded already stays as it is. */
  putLayers(layers: readonly LayerRecord[]): Promise<void>;
  /** Sorted by id. Gives others a turn on the way when there are many. */
  listLayers(): Promise<LayerRecord[]>;
  /** How many images, layers and containers are recorded. */
  count(): Promise<RecordCounts>;
  /** Corrects the disk use of a layer. Harmless when it is not recorded. */
  setLayerBytes(id: LayerId, bytes: number): Promise<void>;
  /**
   * Asks for the right to unpack a layer.
   * @param isAlive tells whether the process that holds an older claim still runs
   * @returns `claimed` (ours now; also when it was ours before), `recorded` (no need: the layer is there), or the process that is at it
   */
  claimLayer(
    id: LayerId,
    process: ProcessIdentity,
    isAlive: (process: ProcessIdentity) => boolean,
  ): Promise<LayerClaim>;
  /** Gives claims back, all of them when none is named, which is then no single transaction. Harmless when `process` does not hold them. */
  releaseLayerClaims(process: ProcessIdentity, ids?: readonly LayerId[]): Promise<void>;
  /** Gives back the claims of dead processes. They count for nothing, but nobody else would ever take them away. */
  dropDeadClaims(isAlive: (process: ProcessIdentity) => boolean): Promise<void>;

  // Containers and rootfses

  /**
   * Records a rootfs, with the stack that its image has now; the image's last use is now, to a second.
   * @param maker the process that is about to make it, which is then `provisioning`; undefined when it is made, and `ready`
   * @throws ProvisionerError `ERR_CONTAINER_FOREIGN` when the container is another owner's, `ERR_IMAGE_NOT_FOUND` when the image is not recorded (any more),
   *   `ERR_BAD_OPTION` when the container has a rootfs with this id already; then nothing has changed
   */
  putRootfs(rootfs: NewRootfs, maker?: ProcessIdentity): Promise<void>;
  /** Whose a container is; undefined when there is none. What counts is `putRootfs`, which asks in its own transaction. */
  containerOwner(containerId: string): Promise<string | undefined>;
  /** Where rootfses have been mounted again; some hundred at a time, since it takes the event loop. Harmless for those that have been forgotten. */
  setRootfsMounts(rootfses: readonly RootfsKey[], mount: MountPlace): Promise<void>;
  /** The rootfs is made: it is `ready`. @throws ProvisionerError `ERR_CONTAINER_GONE` when it has been forgotten */
  finishRootfs(rootfs: RootfsKey): Promise<void>;
  /** The rootfses of a container and of all below it, children before parents, the newest first. */
  rootfsesIn(containerId: string): Promise<RootfsSummary[]>;
  /** Nothing of these stands on disk any more. A container goes with its last rootfs. @returns how many were recorded until now */
  forgetRootfses(rootfses: readonly RootfsKey[]): Promise<number>;
  getContainer(containerId: string): Promise<ContainerRecord | undefined>;
  /** Sorted by id. @param owner only this owner's. Default: all. */
  listContainers(owner?: string): Promise<ContainerRecord[]>;

  // Leases

  /** @param pull an id of its own @param process that runs it */
  openLease(pull: string, process: ProcessIdentity): Promise<void>;
  /** Adds layers, recorded or not. From then on prune leaves them. @throws ProvisionerError `ERR_ABORTED` for a lease that is not open */
  leaseLayers(pull: string, layers: readonly LayerId[]): Promise<void>;
  /** Unknown ones are passed over. */
  closeLeases(pulls: readonly string[]): Promise<void>;
  listLeases(): Promise<LeaseRecord[]>;

  // Prune

  /** A pinned image is kept by every prune. @throws `ERR_IMAGE_NOT_FOUND` */
  setPinned(id: ImageId, pinned: boolean): Promise<void>;
  /** Gets ready for a removal, so that `removeUnused` takes no longer than it must: call it before the lock that the removal needs is held. */
  prepareRemoval(removal: Removal): Promise<void>;
  /**
   * Takes images and layers out of the records, in one transaction, as far as they may go: an image that has been used, named, pinned
   * or taken up by a rootfs since it was looked at stays; a layer that an image, a rootfs or a lease needs stays.
   *
   * Each layer that goes is claimed for `process`: until the claim is given back, whoever wants that layer waits.
   * @param exactly all of it goes, or nothing
   */
  removeUnused(removal: Removal, process: ProcessIdentity, exactly: boolean): Promise<Removed>;
  /** Drops what only the records of gone images and rootfses still hold on to, not in a single transaction. Cheap when there is nothing. */
  dropUnusedStacks(): Promise<void>;
  /** Forgets layers whose directories are gone, and the images that need them: some hundred at a time, since it takes the event loop. @returns those images */
  forgetLayers(ids: readonly LayerId[]): Promise<ImageId[]>;

  // The records themselves

  /**
   * Why the records do not tell of everything in the store, until `setRecordsGap(undefined)`: then what stands on disk without a record may be in use.
   * @throws ProvisionerError as `requireInPlace`
   */
  recordsGap(): Promise<RecordsGap | undefined>;
  setRecordsGap(gap: RecordsGap | undefined): Promise<void>;
  /**
   * To be asked before work, and, with the store's lock held, before anything is removed because no record names it. Costs one look at a path.
   * @throws ProvisionerError `ERR_STORE_DAMAGED` when the records were deleted, or others put in their place, while they were open
   */
  requireInPlace(): void;

  /**
   * Looks for damage in the records' own storage, all of it: a call for when nobody waits.
   * @returns a sentence for each thing that is wrong; none for sound records
   */
  verify(): Promise<string[]>;

  /** Ends every use of the store: calls after it, and those still waiting for another process, fail with `ERR_CLOSED`. Safe to call twice. */
  close(): Promise<void>;
}

/** The records began anew on a store that had something in it already; or they were put back from a backup, or are those of another store. */
export type RecordsGap = 'lost' | 'older';

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

export interface LayerRecord {
  readonly id: LayerId;
  /** Disk use of the layer's directory in bytes, as `du` counts it. */
  readonly bytes: number;
  /** Files, directories and whatever else the archive named. */
  readonly entries: number;
  /** The layer hides everything below it: the layers below it stay out of an overlay mount. */
  readonly opaqueRoot: boolean;
  /** The layer holds whiteouts or opaque directories, so it cannot be shown without a backend that obeys them. */
  readonly whiteouts: boolean;
  /** The archive has an entry for the root directory itself, which so gets the layer's attributes. */
  readonly describesRoot: boolean;
}

/** What names a rootfs. */
export interface RootfsKey {
  readonly containerId: string;
  /** Unique within the container. */
  readonly id: string;
}

export interface NewRootfs extends RootfsKey {
  /** Who asks for it. */
  readonly owner: string;
  /** Add to a container of whatever owner, whose it stays. Default: false. */
  readonly anyOwner?: boolean | undefined;
  readonly image: ImageId;
  readonly backend: string;
  /** Where it is mounted; undefined for one that is no mount. */
  readonly mount?: MountPlace | undefined;
}

/** A rootfs without what it is made of. */
export interface RootfsSummary extends Omit<NewRootfs, 'anyOwner' | 'mount'> {
  /** Where it was mounted last; undefined for one that is no mount, or that was recorded before places were. */
  readonly mount: MountPlace | undefined;
  readonly state: 'provisioning' | 'ready';
  /** The process that is making it, while it is `provisioning`. */
  readonly maker: ProcessIdentity | undefined;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
}

export interface RootfsRecord extends RootfsSummary {
  /** The stack at the time of provisioning, bottom first: what keeps these layers even when the image is gone. */
  readonly layers: readonly LayerId[];
  /** False when a layer of its stack has been forgotten since, so that `layers` is no more what it was made of. */
  readonly complete: boolean;
}

export interface ContainerRecord {
  readonly id: string;
  readonly owner: string;
  /** Milliseconds since the epoch: that of its oldest rootfs. */
  readonly createdAt: number;
  /** Oldest first. */
  readonly rootfses: readonly RootfsRecord[];
}

export type LayerClaim =
  | { readonly state: 'claimed' | 'recorded' }
  | { readonly state: 'busy'; readonly holder: ProcessIdentity };

export interface LeaseRecord {
  /** The pull's id. */
  readonly pull: string;
  readonly process: ProcessIdentity;
  /** Milliseconds since the epoch. */
  readonly since: number;
  readonly layers: readonly LayerId[];
}

export interface RecordCounts {
  readonly images: number;
  readonly layers: number;
  readonly containers: number;
}

/** What a prune means to take, as it saw it. */
export interface Removal {
  readonly images: readonly Pick<ImageSummary, 'id' | 'names' | 'lastUsedAt'>[];
  readonly layers: readonly LayerId[];
}

export interface Removed {
  readonly images: readonly ImageId[];
  readonly layers: readonly LayerId[];
}
