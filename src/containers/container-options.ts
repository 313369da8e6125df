import {
  abortSignal,
  callback,
  flag,
  listOf,
  type OptionTable,
  oneOf,
  text,
  whole,
} from '../base/options/check-options.js';
import type { Running } from './holders.js';

/** Of a call that changes a container. */
export interface ChangeOptions {
  /** Change it whoever its owner is, who stays its owner. Default: false, and another owner's container is left alone. */
  readonly anyOwner?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

export const CHANGE_OPTIONS: OptionTable<ChangeOptions> = { anyOwner: flag, signal: abortSignal };

/** Of a call that makes a root filesystem. */
export interface NewRootfsOptions extends ChangeOptions {
  /** What is written to it goes to memory: so many bytes at most, at least 1 MiB; what more is written fails, and with a reboot all of it is gone. With the backend `overlay` only. Default: it goes to disk, without a limit. */
  readonly inMemoryBytes?: number | undefined;
}

/** So little that no program gets far with it. */
const LEAST_IN_MEMORY = 2 ** 20;

export const IN_MEMORY_BYTES = whole(LEAST_IN_MEMORY, Number.MAX_SAFE_INTEGER);

export const NEW_ROOTFS_OPTIONS: OptionTable<NewRootfsOptions> = { ...CHANGE_OPTIONS, inMemoryBytes: IN_MEMORY_BYTES };

export interface DestroyOptions extends ChangeOptions {
  /** What becomes of what runs in it. Default: `refuse`, with `ERR_CONTAINER_RUNNING`. */
  readonly running?: Running | undefined;
  /** Only these of its root filesystems, by their ids: for who has made them, and knows nothing of others that somebody may have added. Default: all, and those nested in it. */
  readonly rootfsIds?: readonly string[] | undefined;
}

export const DESTROY_OPTIONS: OptionTable<DestroyOptions> = {
  ...CHANGE_OPTIONS,
  running: oneOf('refuse', 'kill'),
  rootfsIds: listOf(text),
};

export interface ForkOptions {
  /** Which of the root filesystems of the container. Default: the only one. */
  readonly rootfsId?: string | undefined;
  /** Is given the copy of its files, to be done in between: for who has what runs there stand still meanwhile, and go on whatever comes of it. Default: it is done. */
  readonly whileCopied?: ((copy: () => Promise<void>) => Promise<void>) | undefined;
  /** Something may be writing there meanwhile: what it removes is left out, and a file may be caught half written. Takes one thread alone. Default: false, and what vanishes is an error. */
  readonly changing?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

export const FORK_OPTIONS: OptionTable<ForkOptions> = {
  rootfsId: text,
  whileCopied: callback,
  changing: flag,
  signal: abortSignal,
};

export interface RecoverOptions {
  /**
   * The containers that go on living, besides those in which something runs, or has been launched that has not ended. The others of this provisioner's owner are destroyed, children before parents; a container above a known
   * one is known too. Default: all that are recorded.
   */
  readonly knownContainerIds?: readonly string[] | undefined;
  readonly signal?: AbortSignal | undefined;
}

export const RECOVER_OPTIONS: OptionTable<RecoverOptions> = { knownContainerIds: listOf(text), signal: abortSignal };
