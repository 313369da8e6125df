import type { ImageId, LayerId } from '../../image/digest.js';
import type { MountPlace } from '../../system/locks/mount-place.js';
import type { ProcessIdentity } from '../../system/locks/process-identity.js';

/**
 * Rootfses, and the containers that they make up.
 *
 * A **container** is recorded with its first **rootfs** and goes with its last one. Ids nest (`parent/child`), and the
 * tree is read off the ids: a parent need not be recorded itself, nor be of the same owner. A rootfs that takes long to make is `provisioning` before
 * anything of it stands on disk, with the process that makes it; one that is made at once is recorded when it is `ready`. It is forgotten when
 * nothing of it stands on disk any more.
 *
 * A rootfs keeps its layers by the **stack** that its image had: its row points at that with a foreign key, and the rows of the stack point at the layers. So
 * it keeps them when the image is gone, and when the image has been pulled again since, with a stack of its own. It is made only of an image that is there in the
 * same transaction: of a provision and a prune whichever comes last is refused.
 */
export interface RootfsRecords {
  /**
   * Records a rootfs, with the stack that its image has now; the image's last use is now, to a second.
   * @param maker the process that is about to make it, which is then `provisioning`; undefined when it is made, and `ready`
   * @throws ProvisionerError `ERR_CONTAINER_FOREIGN` when the container is another owner's, `ERR_IMAGE_NOT_FOUND` when the image is not recorded (any more),
   *   `ERR_BAD_OPTION` when the container has a rootfs with this id already; then nothing has changed
   */
  putRootfs(rootfs: NewRootfs, maker?: ProcessIdentity): Promise<void>;
  /**
   * Records a rootfs in a container that is new, as `provisioning`: made of what another one is made of, by the same backend, with the stack and the volumes of that one, be the image there still or not. Where
   * the two have different owners, volumes of other owners than that of the new one are left out.
   * @returns false when the other one is not recorded as `ready`
   * @throws ProvisionerError `ERR_CONTAINER_EXISTS` when a container of that id is recorded; then nothing has changed
   */
  forkRootfs(source: RootfsKey, rootfs: ForkedRootfsRecord, maker: ProcessIdentity): Promise<boolean>;
  /** Whose a container is; undefined when there is none. What counts is `putRootfs`, which asks in its own transaction. */
  containerOwner(containerId: string): Promise<string | undefined>;
  /** Where rootfses have been mounted again; some hundred at a time, since it takes the event loop. Harmless for those that have been forgotten. */
  setRootfsMounts(rootfses: readonly RootfsKey[], mount: MountPlace): Promise<void>;
  /** The rootfs is made: it is `ready`. @throws ProvisionerError `ERR_CONTAINER_GONE` when it has been forgotten */
  finishRootfs(rootfs: RootfsKey): Promise<void>;
  /** The rootfses of a container and of all below it, children before parents, the newest first. */
  rootfsesIn(containerId: string): Promise<RootfsSummary[]>;
  /** Nothing of these stands on disk any more. A container goes with its last rootfs, and with it its launch if that has ended. @returns how many were recorded until now */
  forgetRootfses(rootfses: readonly RootfsKey[]): Promise<number>;
  getContainer(containerId: string): Promise<ContainerRecord | undefined>;
  /** Sorted by id. @param owner only this owner's. Default: all. */
  listContainers(owner?: string): Promise<ContainerRecord[]>;
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

/** A rootfs that is made of what another one is made of. */
export type ForkedRootfsRecord = Pick<NewRootfs, 'containerId' | 'id' | 'owner' | 'mount'>;

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
