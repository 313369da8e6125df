import { BACKEND_NAMES } from '../backends/backend.js';
import type { BackendChoice } from '../backends/backends.js';
import { PULL_LIMITS, type PullLimits } from '../base/config.js';
import {
  abortSignal,
  callback,
  flag,
  listOf,
  milliseconds,
  type OptionTable,
  oneOf,
  optionsOf,
  path,
  textOf,
  whole,
} from '../base/options/check-options.js';
import { NEW_ROOTFS_OPTIONS, type NewRootfsOptions } from '../containers/container-options.js';
import { LAUNCH_STATES, type LaunchState } from '../metadata/launches/launch-records.js';
import {
  IMAGE_REQUEST_OPTIONS,
  type ImageRequestOptions,
  PULL_IMAGE_OPTIONS,
  PULL_POLICY,
  type PullImageOptions,
  type PullPolicy,
} from '../pulls/pull-options.js';
import { REGISTRY_OPTIONS, type RegistryOptions } from '../registry/registry-options.js';

export { DESTROY_OPTIONS, FORK_OPTIONS, RECOVER_OPTIONS } from '../containers/container-options.js';
export { IMAGE_REQUEST_OPTIONS, LOAD_INPUT, LOAD_OPTIONS, PULL_IMAGE_OPTIONS } from '../pulls/pull-options.js';

/* Each type of options stands with the table that it is checked by; `PruneOptions`, `RegistryOptions` and `PullLimits` stand where they are used. */

export interface ProvisionerOptions {
  /** The store's directory. Default: `/var/lib/provisioner` for root, else `$XDG_DATA_HOME/provisioner`. */
  readonly root?: string | undefined;
  /** Make a store where there is none. Default: true; false refuses (`ERR_STORE_NOT_FOUND`) and makes nothing, for programs that only look. */
  readonly create?: boolean | undefined;
  /** Make one in a directory that has other things in it, too. Default: false, and that is refused (`ERR_STORE_NOT_FOUND`). */
  readonly allowOtherFiles?: boolean | undefined;
  /** Who the containers made here belong to, so that agents that share a store recover only their own. Default: `default`. */
  readonly owner?: string | undefined;
  /** How rootfses are made when a call does not say. Default: `auto`, the best that works here. */
  readonly backend?: BackendChoice | undefined;
  /** Threads at most for unpacking, copying and deleting of what lies on this machine. Default: one for each CPU, eight at most. */
  readonly workers?: number | undefined;
  /** Layers at most that are fetched at a time, whichever registries they come from, each by a thread of its own. Default: 6. */
  readonly maxDownloads?: number | undefined;
  /** What an image and its layers may ask for. Default: see `PullLimits`. */
  readonly limits?: { readonly [Name in keyof PullLimits]?: PullLimits[Name] | undefined } | undefined;
  /**
   * Keep with each layer what is needed to make its archive again, byte for byte: some ten bytes for each of its entries. Default: true. Whoever stores
   * a layer first decides for all who share it; one that is stored without stays so until `images.pullAgain`.
   */
  readonly tarRecords?: boolean | undefined;
  /** For so many milliseconds a pull that failed is not repeated by `request`. Default: 10 000. */
  readonly pullCoolDown?: number | undefined;
  /**
   * A wait for the store's lock that takes so many milliseconds ends with `ERR_LOCK_TIMEOUT`, whoever holds it: readers and writers, of this process and of
   * others; so does one for a process that makes the same container, and one for a process that pulls the same and has been stopped for so long. Default: none does;
   * `events` warns of one that takes five seconds.
   */
  readonly lockTimeout?: number | undefined;
  /** How registries are reached, where a call does not say otherwise. Default: see `RegistryOptions`. */
  readonly registry?: RegistryOptions | undefined;
  /**
   * Do not wait for the disk: much faster on a slow one, but a power cut or a crash of the machine may lose what was reported as done, and leave
   * layers with empty or half-written files in use. For stores that can be thrown away. Default: false.
   */
  readonly unsafeNoSync?: boolean | undefined;
  /**
   * Make a store, and add layers to one, also where root on Linux has no native system calls (koffi): its layers lose their devices and extended
   * attributes, for as long as the store lives, and only the copy backend works. Default: false, and that is refused (`ERR_NATIVE_MISSING`).
   */
  readonly allowDegraded?: boolean | undefined;
  /**
   * Where records are kept. `memory` forgets them at `close()`, needs no native module, and must not be used on a store that
   * another process has open. Default: `sqlite`.
   */
  readonly records?: 'sqlite' | 'memory' | undefined;
}

const backend = oneOf('auto', ...BACKEND_NAMES);
const owner = textOf(1, 255);

export const PROVISIONER_OPTIONS: OptionTable<ProvisionerOptions> = {
  root: path,
  create: flag,
  allowOtherFiles: flag,
  owner,
  backend,
  workers: whole(1, 64),
  maxDownloads: whole(1, 64),
  limits: optionsOf(PULL_LIMITS),
  tarRecords: flag,
  pullCoolDown: milliseconds(Number.MAX_SAFE_INTEGER),
  lockTimeout: milliseconds(),
  registry: optionsOf(REGISTRY_OPTIONS),
  unsafeNoSync: flag,
  allowDegraded: flag,
  records: oneOf('sqlite', 'memory'),
};

export interface CheckOptions {
  /** Compare every file's content and attributes with what was unpacked, instead of counts and sizes only. Default: false. */
  readonly full?: boolean | undefined;
  /** Heal what is damaged, from the sources that images came from. Default: false, and nothing in the store changes. */
  readonly repair?: boolean | undefined;
  /** How registries are reached for that; what is left out here is the provisioner's own. */
  readonly registry?: RegistryOptions | undefined;
  readonly signal?: AbortSignal | undefined;
}

export const CHECK_OPTIONS: OptionTable<CheckOptions> = {
  full: flag,
  repair: flag,
  registry: optionsOf(REGISTRY_OPTIONS),
  signal: abortSignal,
};

export interface ProvisionOptions extends Omit<ImageRequestOptions, 'name'>, NewRootfsOptions {
  /** Default: the provisioner's own. */
  readonly backend?: BackendChoice | undefined;
  /** Default: `missing`. */
  readonly pullPolicy?: PullPolicy | undefined;
}

const { name: _, ...ofWhoeverRequests } = IMAGE_REQUEST_OPTIONS;

export const PROVISION_OPTIONS: OptionTable<ProvisionOptions> = {
  ...ofWhoeverRequests,
  backend,
  pullPolicy: PULL_POLICY,
  ...NEW_ROOTFS_OPTIONS,
};

export interface ApplyPlanOptions {
  readonly signal?: AbortSignal | undefined;
}

export const APPLY_PLAN_OPTIONS: OptionTable<ApplyPlanOptions> = { signal: abortSignal };

export interface ContainersOptions {
  /** Only those of this owner. Default: those of all. */
  readonly owner?: string | undefined;
}

export const CONTAINERS_OPTIONS: OptionTable<ContainersOptions> = { owner };

export interface LaunchesOptions {
  /** Only those of this owner. Default: those of all. */
  readonly owner?: string | undefined;
  /** Only those in one of these states. Default: all. */
  readonly states?: readonly LaunchState[] | undefined;
}

export const LAUNCHES_OPTIONS: OptionTable<LaunchesOptions> = { owner, states: listOf(oneOf(...LAUNCH_STATES)) };

export interface VolumesOptions {
  /** Only those of this owner. Default: those of all. */
  readonly owner?: string | undefined;
}

export const VOLUMES_OPTIONS: OptionTable<VolumesOptions> = { owner };

export interface RemoveVolumeOptions {
  /** Of whatever owner. Default: false. */
  readonly anyOwner?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

export const REMOVE_VOLUME_OPTIONS: OptionTable<RemoveVolumeOptions> = { anyOwner: flag, signal: abortSignal };

export interface MeasureOptions {
  /** Called when it begins: until then it waits for others to be measured. */
  readonly onStart?: (() => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export const MEASURE_OPTIONS: OptionTable<MeasureOptions> = { onStart: callback, signal: abortSignal };

export interface LaunchEventsOptions {
  /** From this time on, in milliseconds since the epoch. Default: from the first one. */
  readonly since?: number | undefined;
  /** Only what came after the event with this sequence number. Default: from the first one. */
  readonly after?: number | undefined;
  /** So many at most. Default: 1000. */
  readonly limit?: number | undefined;
}

const natural = whole(0, Number.MAX_SAFE_INTEGER);

export const LAUNCH_EVENTS_OPTIONS: OptionTable<LaunchEventsOptions> = {
  since: natural,
  after: natural,
  limit: whole(1, 100_000),
};

export interface FollowLaunchEventsOptions {
  /** What came after the event with this sequence number, to begin with; 0: all that is kept. Default: only what comes from now on. */
  readonly after?: number | undefined;
  /** What was recorded until then, in milliseconds since the epoch; ends when that has been told. Default: no end. */
  readonly until?: number | undefined;
  /** Ends it. */
  readonly signal?: AbortSignal | undefined;
}

export const FOLLOW_LAUNCH_EVENTS_OPTIONS: OptionTable<FollowLaunchEventsOptions> = {
  after: natural,
  until: natural,
  signal: abortSignal,
};

export interface PutLaunchOptions {
  /** Gives up waiting for a destroy of the container that is under way: then nothing is recorded. */
  readonly signal?: AbortSignal | undefined;
}

export const PUT_LAUNCH_OPTIONS: OptionTable<PutLaunchOptions> = { signal: abortSignal };

export interface TurnOptions {
  /** Gives up waiting for the turn; the work itself is not told. */
  readonly signal?: AbortSignal | undefined;
}

export const TURN_OPTIONS: OptionTable<TurnOptions> = { signal: abortSignal };

export interface LayerTarOptions {
  readonly signal?: AbortSignal | undefined;
}

export const LAYER_TAR_OPTIONS: OptionTable<LayerTarOptions> = { signal: abortSignal };

export type PullAgainOptions = Omit<PullImageOptions, 'pullPolicy' | 'force'>;

const { pullPolicy: __, force: ___, ...ofWhoeverPulls } = PULL_IMAGE_OPTIONS;

export const PULL_AGAIN_OPTIONS: OptionTable<PullAgainOptions> = ofWhoeverPulls;

export interface DiskUsageOptions {
  readonly signal?: AbortSignal | undefined;
}

export const DISK_USAGE_OPTIONS: OptionTable<DiskUsageOptions> = { signal: abortSignal };

export interface CloseOptions {
  /** `leave` what is not deleted yet to a later sweep. Default: `finish`. */
  readonly sweep?: 'finish' | 'leave' | undefined;
}

export const CLOSE_OPTIONS: OptionTable<CloseOptions> = { sweep: oneOf('finish', 'leave') };
