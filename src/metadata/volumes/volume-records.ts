import type { ProcessIdentity } from '../../system/locks/process-identity.js';
import type { RootfsKey } from '../rootfses/rootfs-records.js';

/**
 * Volumes: directories with names, which outlive the containers that have them.
 *
 *   (nothing) ─put, use─► new ─claim, settle─► ready ─begin removal─► removing ─forget─► (nothing)
 *                          ▲      │ released, or its maker has died       │
 *                          └──────┘                    taken over by whoever comes by, when its maker has died
 *
 * What is `new` has never been shown to a container that may write it: the first one of these fills it. One that is being filled or removed has a maker, whose claim counts for as long as he lives.
 *
 * Who has a volume is a root filesystem, whether anything runs in it or not: that it has it goes with its record, in the same step.
 */
export interface VolumeRecords {
  /** Records a volume where there is none of that name. @returns what is recorded then; of whomever that is */
  putVolume(volume: NewVolume): Promise<VolumeRecord>;
  /**
   * Records that a root filesystem has volumes, and those of them that are missing: all, or nothing when one of them is being removed.
   * @returns them in the order of what was wanted; or the one that is being removed
   * @throws ProvisionerError `ERR_CONTAINER_GONE` when the root filesystem is not recorded, `ERR_VOLUME_FOREIGN` where one is to be written that is neither of whoever asks nor of the owner of the root filesystem
   */
  useVolumes(user: RootfsKey, wanted: readonly WantedVolume[]): Promise<UsedVolumes>;
  /** Claims one that is new, to fill it. */
  claimVolume(
    name: string,
    process: ProcessIdentity,
    isAlive: (process: ProcessIdentity) => boolean,
  ): Promise<VolumeClaim>;
  /** It may be shown from now on. @returns false when the claim is not this one's any more */
  settleVolume(name: string, process: ProcessIdentity): Promise<boolean>;
  /** Gives a claim back. @param state as it was before that, or is to be */
  releaseVolume(name: string, process: ProcessIdentity, state: VolumeState): Promise<void>;
  /**
   * Claims one that is to go, or whose removal was cut short.
   * @param owner whose it must be; undefined for anybody's
   * @throws ProvisionerError `ERR_VOLUME_NOT_FOUND`, `ERR_VOLUME_FOREIGN`, `ERR_VOLUME_IN_USE`
   */
  beginVolumeRemoval(
    name: string,
    owner: string | undefined,
    process: ProcessIdentity,
    isAlive: (process: ProcessIdentity) => boolean,
  ): Promise<VolumeRemovalClaim>;
  /** Of one whose removal this one has begun: its directory is gone. */
  forgetVolume(name: string, process: ProcessIdentity): Promise<void>;
  getVolume(name: string): Promise<VolumeRecord | undefined>;
  /** Sorted by name. */
  listVolumes(): Promise<VolumeRecord[]>;
}

export type VolumeState = 'new' | 'ready' | 'removing';

export interface NewVolume {
  readonly name: string;
  readonly owner: string;
  readonly labels: Readonly<Record<string, string>>;
}

export interface VolumeRecord extends NewVolume {
  readonly state: VolumeState;
  /** Who fills or removes it; dead ones count for nothing. */
  readonly maker: ProcessIdentity | undefined;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  /** The ids of those that have it, sorted. */
  readonly containers: readonly string[];
}

export interface WantedVolume {
  readonly name: string;
  /** Whose it is when it is made, and who asks. */
  readonly owner: string;
  /** It is not to be written. */
  readonly readOnly: boolean;
}

export type UsedVolumes =
  | { readonly used: readonly VolumeRecord[]; readonly removing?: undefined }
  | { readonly used?: undefined; readonly removing: VolumeRecord };

export type VolumeClaim =
  /** `gone`: it is not there, or is being removed. */
  { readonly state: 'claimed' | 'ready' | 'gone' } | { readonly state: 'busy'; readonly holder: ProcessIdentity };

export type VolumeRemovalClaim =
  | { readonly state: 'claimed'; readonly before: VolumeState }
  | { readonly state: 'busy'; readonly holder: ProcessIdentity };
