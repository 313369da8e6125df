import type { CheckMode } from '../contents/check-layer.js';
import type { LayerId } from '../image/digest.js';
import type { RegistryOptions } from '../registry/registry-options.js';
import type { LayerStoreParts } from '../store/layer-store.js';
import type { Syscalls } from '../syscalls/syscalls.js';
import type { Marks } from '../tree/marks.js';

export interface CheckParts extends LayerStoreParts {
  readonly marks: Pick<Marks, 'require'>;
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
