import type { CheckMode } from '../files/contents/check-layer.js';
import type { Marks } from '../files/tree/marks.js';
import type { LayerId } from '../image/digest.js';
import type { LayerStoreNeeds } from '../layer-store/layer-store.js';
import type { Reserve } from '../layer-store/reserve.js';
import type { Registries } from '../pulls/registries.js';
import type { RegistryOptions } from '../registry/registry-options.js';
import type { Syscalls } from '../system/syscalls/syscalls.js';

export interface CheckNeeds extends LayerStoreNeeds {
  readonly marks: Pick<Marks, 'require'>;
  /** Given up so that a full disk can be checked. */
  readonly reserve: Reserve;
  readonly registries: Registries;
  /** How registries are reached, to get damaged layers again. */
  readonly registry: RegistryOptions;
  readonly syscalls: () => Syscalls;
}

/** One run of a check. */
export interface CheckRun {
  readonly mode: CheckMode;
  readonly signal: AbortSignal | undefined;
  readonly report: (progress: { readonly layer: LayerId; readonly done: number; readonly total: number }) => void;
}
