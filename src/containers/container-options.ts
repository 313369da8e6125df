import { abortSignal, flag, listOf, type OptionTable, text } from '../base/check-options.js';

/** Of a call that changes a container. */
export interface ChangeOptions {
  /** Change it whoever its owner is, who stays its owner. Default: false, and another owner's container is left alone. */
  readonly anyOwner?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

export const CHANGE_OPTIONS: OptionTable<ChangeOptions> = { anyOwner: flag, signal: abortSignal };

export interface RecoverOptions {
  /**
   * The containers that go on living. The others of this provisioner's owner are destroyed, children before parents; a container above a known
   * one is known too. Default: all that are recorded.
   */
  readonly knownContainerIds?: readonly string[] | undefined;
  readonly signal?: AbortSignal | undefined;
}

export const RECOVER_OPTIONS: OptionTable<RecoverOptions> = { knownContainerIds: listOf(text), signal: abortSignal };
