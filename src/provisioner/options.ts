import type { Readable } from 'node:stream';
import { BACKEND_NAMES } from '../backends/backend.js';
import type { BackendChoice } from '../backends/backends.js';
import {
  abortSignal,
  flag,
  limit,
  milliseconds,
  type OptionTable,
  oneOf,
  optionsOf,
  path,
  type Rule,
  text,
  textOf,
  whole,
} from '../base/check-options.js';
import { PULL_LIMITS, type PullLimits } from '../base/config.js';
import { CHANGE_OPTIONS, type ChangeOptions } from '../containers/container-options.js';
import { REGISTRY_OPTIONS, type RegistryOptions } from '../registry/registry-options.js';

export { CHANGE_OPTIONS, RECOVER_OPTIONS } from '../containers/container-options.js';

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
  /** Threads at most for unpacking, copying and deleting; while all of them fetch layers from registries, one more does the rest. Default: one for each CPU, eight at most. */
  readonly workers?: number | undefined;
  /** What an image and its layers may ask for. Default: see `PullLimits`. */
  readonly limits?: { readonly [Name in keyof PullLimits]?: PullLimits[Name] | undefined } | undefined;
  /** For so many milliseconds a pull that failed is not repeated by `request`. Default: 10 000. */
  readonly pullCoolDown?: number | undefined;
  /**
   * A wait for the store's lock that takes so many milliseconds ends with `ERR_LOCK_TIMEOUT`, whoever holds it: readers and writers, of this process and of
   * others. Default: none does; `events` warns of one that takes five seconds.
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

export const PROVISIONER_OPTIONS: OptionTable<ProvisionerOptions> = {
  root: path,
  create: flag,
  allowOtherFiles: flag,
  owner: textOf(1, 255),
  backend,
  workers: whole(1, 64),
  limits: optionsOf(PULL_LIMITS),
  pullCoolDown: milliseconds(Number.MAX_SAFE_INTEGER),
  lockTimeout: milliseconds(),
  registry: optionsOf(REGISTRY_OPTIONS),
  unsafeNoSync: flag,
  allowDegraded: flag,
  records: oneOf('sqlite', 'memory'),
};

/** `missing`: pull what is not stored; `always`: ask the source in any case; `never`: only what is stored. */
export type PullPolicy = 'missing' | 'always' | 'never';

const pullPolicy = oneOf('missing', 'always', 'never');

/** Of an image that nobody waits for. */
export interface ImageRequestOptions {
  /** The image is given this name. Default: the names that the source itself gives it. */
  readonly name?: string | undefined;
  /** `OS/ARCHITECTURE[/VARIANT]`. Default: this machine's, for Linux. */
  readonly platform?: string | undefined;
  /** How registries are reached; what is left out here is the provisioner's own. */
  readonly registry?: RegistryOptions | undefined;
  /** Overrides the limit of that name. */
  readonly maxImageBytes?: number | undefined;
  /** Pull even when that has just failed. Default: false for `request`; true where somebody waits. */
  readonly force?: boolean | undefined;
}

export const IMAGE_REQUEST_OPTIONS: OptionTable<ImageRequestOptions> = {
  name: text,
  platform: text,
  registry: optionsOf(REGISTRY_OPTIONS),
  maxImageBytes: limit,
  force: flag,
};

export interface PullImageOptions extends ImageRequestOptions {
  /** Default: `always`. A stored image that is pulled all the same costs one small request, and none when it is named by its digest. */
  readonly pullPolicy?: PullPolicy | undefined;
  readonly signal?: AbortSignal | undefined;
}

export const PULL_IMAGE_OPTIONS: OptionTable<PullImageOptions> = {
  ...IMAGE_REQUEST_OPTIONS,
  pullPolicy,
  signal: abortSignal,
};

export interface LoadOptions {
  /** All images are given this name, so it is for an archive of one. Default: the names that the archive gives them. */
  readonly name?: string | undefined;
  /** `OS/ARCHITECTURE[/VARIANT]`. Default: this machine's, for Linux. */
  readonly platform?: string | undefined;
  /** Overrides the limit of that name, for each image of the archive. Layers count as large as they are there, mostly not compressed. */
  readonly maxImageBytes?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A file's path, or a stream of any library. */
export const LOAD_INPUT: Rule = {
  meant: 'the path of an archive, or a stream of one',
  holds: (value) => path.holds(value) || typeof (value as Partial<Readable> | null | undefined)?.pipe === 'function',
};

export const LOAD_OPTIONS: OptionTable<LoadOptions> = {
  name: text,
  platform: text,
  maxImageBytes: limit,
  signal: abortSignal,
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

export interface ProvisionOptions extends Omit<ImageRequestOptions, 'name'>, ChangeOptions {
  /** Default: the provisioner's own. */
  readonly backend?: BackendChoice | undefined;
  /** Default: `missing`. */
  readonly pullPolicy?: PullPolicy | undefined;
}

const { name: _, ...ofWhoeverRequests } = IMAGE_REQUEST_OPTIONS;

export const PROVISION_OPTIONS: OptionTable<ProvisionOptions> = {
  ...ofWhoeverRequests,
  backend,
  pullPolicy,
  ...CHANGE_OPTIONS,
};

export interface ApplyPlanOptions {
  readonly signal?: AbortSignal | undefined;
}

export const APPLY_PLAN_OPTIONS: OptionTable<ApplyPlanOptions> = { signal: abortSignal };

export interface ContainersOptions {
  /** Only those of this owner. Default: those of all. */
  readonly owner?: string | undefined;
}

export const CONTAINERS_OPTIONS: OptionTable<ContainersOptions> = { owner: text };

export interface DiskUsageOptions {
  readonly signal?: AbortSignal | undefined;
}

export const DISK_USAGE_OPTIONS: OptionTable<DiskUsageOptions> = { signal: abortSignal };

export interface CloseOptions {
  /** `leave` what is not deleted yet to a later sweep. Default: `finish`. */
  readonly sweep?: 'finish' | 'leave' | undefined;
}

export const CLOSE_OPTIONS: OptionTable<CloseOptions> = { sweep: oneOf('finish', 'leave') };
