import type { BackendChoice } from '../backends/backends.js';
import type { PullLimits } from '../config.js';
import type { RegistryOptions } from '../registry/registry-options.js';

export interface ProvisionerOptions {
  /** The store's directory, made when missing. Default: `/var/lib/provisioner` for root, else `$XDG_DATA_HOME/provisioner`. */
  readonly root?: string;
  /** Who the containers made here belong to, so that agents that share a store recover only their own. Default: `default`. */
  readonly owner?: string;
  /** How rootfses are made when a call does not say. Default: `auto`, the best that works here. */
  readonly backend?: BackendChoice;
  /** Threads at most for unpacking, copying and deleting. Default: one for each CPU, eight at most. */
  readonly workers?: number;
  /** What an image and its layers may ask for. Default: see `PullLimits`. */
  readonly limits?: Partial<PullLimits>;
  /** For so many milliseconds a pull that failed is not repeated by `request`. Default: 10 000. */
  readonly pullCoolDown?: number;
  /** How registries are reached, where a call does not say otherwise. Default: see `RegistryOptions`. */
  readonly registry?: RegistryOptions;
  /**
   * Do not wait for the disk: much faster on a slow one, but a power cut or a crash of the machine may lose what was reported as done, and leave
   * layers with empty or half-written files in use. For stores that can be thrown away. Default: false.
   */
  readonly unsafeNoSync?: boolean;
  /**
   * Make a store, and add layers to one, also where root on Linux has no native system calls (koffi): its layers lose their owners, devices and extended
   * attributes, for as long as the store lives, and only the copy backend works. Default: false, and that is refused (`ERR_NATIVE_MISSING`).
   */
  readonly allowDegraded?: boolean;
  /**
   * Where records are kept. `memory` forgets them at `close()`, needs no native module, and must not be used on a store that
   * another process has open. Default: `sqlite`.
   */
  readonly records?: 'sqlite' | 'memory';
}

/** `missing`: pull what is not stored; `always`: ask the source in any case; `never`: only what is stored. */
export type PullPolicy = 'missing' | 'always' | 'never';

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

export interface PullImageOptions extends ImageRequestOptions {
  /** Default: `always`. A stored image that is pulled all the same costs one small request, and none when it is named by its digest. */
  readonly pullPolicy?: PullPolicy | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface CheckOptions {
  /** Compare every file's content and attributes with what was unpacked, instead of counts and sizes only. Default: false. */
  readonly full?: boolean | undefined;
  /** Heal what is damaged, from the sources that images came from. Default: false, and nothing in the store changes. */
  readonly repair?: boolean | undefined;
  /** How registries are reached for that; what is left out here is the provisioner's own. */
  readonly registry?: RegistryOptions | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Of a call that changes a container. */
export interface ChangeOptions {
  /** Change it whoever its owner is, who stays its owner. Default: false, and another owner's container is left alone. */
  readonly anyOwner?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ProvisionOptions extends Omit<ImageRequestOptions, 'name'>, ChangeOptions {
  /** Default: the provisioner's own. */
  readonly backend?: BackendChoice | undefined;
  /** Default: `missing`. */
  readonly pullPolicy?: PullPolicy | undefined;
}
