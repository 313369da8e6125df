import type { Digest, ImageId, LayerId } from '../image/digest.js';
import type { ProcessIdentity } from '../locks/process-identity.js';

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
 * tree is read off the ids: a parent need not be recorded itself. A rootfs is `provisioning` before anything of it stands on
 * disk, then `ready`, then `destroying` until nothing of it stands there any more. One operation at a time works on a container: it holds the container's
 * **claim**, and a claim of a dead process counts for nothing.
 *
 * Every method is one transaction: it happens whole or not at all, survives `kill -9` once it has resolved, and is seen
 * by all processes that have the store open. A store that another process is writing is waited for without blocking the event loop; after
 * `busyTimeout` the call fails with `ERR_STORE_BUSY`.
 */
export interface MetadataManager {
  // Images and names

  /**
   * Records an image, or refreshes its source and last use when it is recorded already, and gives it `names`.
   * @throws ProvisionerError `ERR_LAYER_NOT_FOUND` when a layer of it is not recorded; then nothing has changed
   */
  putImage(image: NewImage, names: readonly string[]): Promise<void>;
  getImage(id: ImageId): Promise<ImageRecord | undefined>;
  /** The image that carries a name, in one step. @param name normalised, see `image/reference.ts` */
  getImageByName(name: string): Promise<ImageRecord | undefined>;
  /** @param hexPrefix of the digest's hex digits, at least one; @returns at most `limit` ids, sorted */
  findImages(hexPrefix: string, limit: number): Promise<ImageId[]>;
  /** Newest first; ties by id. */
  listImages(): Promise<ImageRecord[]>;
  /** Gives an image one more name, taking the name from the image that had it. @throws `ERR_IMAGE_NOT_FOUND` */
  addName(name: string, id: ImageId): Promise<void>;
  /** Takes a name away; the image stays. @returns false when no image carries it */
  removeName(name: string): Promise<boolean>;
  /** Takes all names away; the image stays. @returns the names it had, sorted */
  removeNames(id: ImageId): Promise<string[]>;

  // Layers

  getLayer(id: LayerId): Promise<LayerRecord | undefined>;
  /** The recorded layers of an image, bottom first, a repeated one as often as it stands in the stack; none for an unknown image. */
  getStack(image: ImageId): Promise<LayerRecord[]>;
  /** Those of `ids` that are not recorded, in the order given, each once. */
  missingLayers(ids: readonly LayerId[]): Promise<LayerId[]>;
  /** Recording a layer again changes nothing, and gives its claim back. */
  putLayer(layer: LayerRecord): Promise<void>;
  /** Sorted by id. */
  listLayers(): Promise<LayerRecord[]>;
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
  /** Gives a claim back. Harmless when `process` does not hold it. */
  releaseLayerClaim(id: LayerId, process: ProcessIdentity): Promise<void>;
  /** The layer that a compressed blob turned out to hold, when this store has unpacked it before. */
  layerOfBlob(blob: Digest): Promise<LayerId | undefined>;
  /** Remembers what a blob holds, whether or not the layer is recorded: ask `missingLayers` before use. */
  putBlob(blob: Digest, layer: LayerId): Promise<void>;

  // Containers and rootfses

  /**
   * Records the intent to provision a rootfs, and claims its container.
   * Resolves to the living process that holds a claim in the way, when there is one, and has then changed nothing: on
   * the container itself, or a `destroy` of one of its ancestors. A claim of `process` itself is never in the way.
   * @throws ProvisionerError `ERR_LAYER_NOT_FOUND` when a layer is not recorded (any more), `ERR_BAD_OPTION` when a rootfs
   *   with this id is recorded already; then nothing has changed
   */
  beginProvision(
    rootfs: NewRootfs,
    process: ProcessIdentity,
    isAlive: (process: ProcessIdentity) => boolean,
  ): Promise<Claim>;
  /**
   * The rootfs is there: marks it `ready` and gives the claim back; the image's last use is now.
   * @throws ProvisionerError `ERR_CONTAINER_GONE` when it is being destroyed, or forgotten; then nothing has changed
   */
  finishProvision(rootfsId: string): Promise<void>;
  /**
   * Marks a container's and its descendants' rootfses `destroying` and claims those containers, and `containerId` itself even
   * when only descendants of it are recorded.
   * Resolves to the living process that holds a claim on any of them or a `destroy` of an ancestor, when there is one, and has then changed nothing.
   * A claim of `process` itself is never in the way.
   * @returns the rootfses to remove, children before parents; none, and then no claim either, when nothing there is recorded
   */
  beginDestroy(
    containerId: string,
    process: ProcessIdentity,
    isAlive: (process: ProcessIdentity) => boolean,
  ): Promise<Claim<RootfsRecord[]>>;
  /**
   * Nothing of these rootfses stands on disk any more: forgets them, and each of their containers whose last rootfs is gone.
   * The claim of a provision goes with its rootfs; that of a destroy is given back once nothing at or below its container is
   * `destroying` any more. Unknown ids are passed over.
   */
  forgetRootfses(rootfsIds: readonly string[]): Promise<void>;
  /** Gives the claims of a process on a container and its descendants back, leaving the rootfses as they are: for a destroy that failed. */
  releaseContainerClaims(containerId: string, process: ProcessIdentity): Promise<void>;
  getContainer(containerId: string): Promise<ContainerRecord | undefined>;
  /** Sorted by id. @param owner only this owner's. Default: all. */
  listContainers(owner?: string): Promise<ContainerRecord[]>;

  // The records themselves

  /**
   * Looks for damage in the records' own storage, all of it: a call for when nobody waits.
   * @returns a sentence for each thing that is wrong; none for sound records
   */
  verify(): Promise<string[]>;

  /** Ends every use of the store: calls after it, and those still waiting for another process, fail with `ERR_CLOSED`. Safe to call twice. */
  close(): Promise<void>;
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
  /** Milliseconds since the epoch: when it was last pulled or provisioned. */
  readonly lastUsedAt: number;
  /** Disk use of its layers in bytes, each counted once, other images' share included. */
  readonly bytes: number;
}

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

export interface NewRootfs {
  readonly id: string;
  readonly containerId: string;
  /** Counts only when the container is new: a container keeps the owner it was made with. */
  readonly owner: string;
  readonly image: ImageId;
  readonly backend: string;
  /** The stack at the time of provisioning, bottom first: what keeps these layers even when the image is gone. */
  readonly layers: readonly LayerId[];
}

export interface RootfsRecord {
  readonly id: string;
  readonly containerId: string;
  readonly image: ImageId;
  readonly backend: string;
  readonly state: 'provisioning' | 'ready' | 'destroying';
  readonly layers: readonly LayerId[];
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
}

export interface ContainerRecord {
  readonly id: string;
  readonly owner: string;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  /** Oldest first. */
  readonly rootfses: readonly RootfsRecord[];
}

export type LayerClaim =
  | { readonly state: 'claimed' | 'recorded' }
  | { readonly state: 'busy'; readonly holder: ProcessIdentity };

/** What came of asking for a container: its claim and a value, or the living process that holds it. */
export type Claim<Value = undefined> =
  | { readonly state: 'claimed'; readonly value: Value }
  | { readonly state: 'busy'; readonly holder: ProcessIdentity };
