import type { LayerProgress } from '../events.js';
import type { ImageId, LayerId } from '../image/digest.js';
import type { PullOutcome, PullRecord } from '../metadata/pulls/pull-records.js';
import type { ProcessIdentity } from '../system/locks/process-identity.js';
import { pidOf } from '../system/locks/process-identity.js';
import { failedPull, retryAt } from './cool-down.js';

/** A pull that goes on now, in this process or another. */
export interface PullUnderWay {
  readonly pullId: string;
  readonly source: string;
  readonly platform: string;
  /** The process that pulls. */
  readonly pid: number;
  readonly process: ProcessIdentity;
  /** Milliseconds since the epoch. */
  readonly since: number;
  /** `resolving`: the source has not said yet what it has. `storing`: all layers are there, the image is put together. */
  readonly phase: 'resolving' | 'fetching' | 'storing';
  /** Undefined while it is `resolving`; `layers` are then unknown, too. */
  readonly image: ImageId | undefined;
  readonly layers: readonly LayerUnderWay[];
  /** Sums over the layers; `total` is -1 when it is not known. */
  readonly bytes: number;
  readonly total: number;
}

export interface LayerUnderWay extends Pick<LayerProgress, 'phase' | 'bytes' | 'total'> {
  readonly layer: LayerId;
}

/** What can be said of an image at once, without asking its source. */
export type Availability =
  /** Not stored, not being pulled, and no failure of late. */
  | { readonly state: 'missing' }
  | { readonly state: 'pulling'; readonly pull: PullUnderWay }
  /** Stored, so it can be provisioned at once; whether its name means another image by now, only its source knows. */
  | { readonly state: 'ready'; readonly image: ImageId }
  | {
      readonly state: 'failed';
      /** An error code. */
      readonly code: string;
      readonly reason: string;
      readonly hint: string | null;
      /** Milliseconds since the epoch. */
      readonly failedAt: number;
      /** From then on a request tries again. Milliseconds since the epoch. */
      readonly retryAt: number;
    };

export interface KnownOfImage {
  readonly image: { readonly id: ImageId } | undefined;
  /** Of living processes, oldest first. */
  readonly running: readonly PullRecord[];
  /** How the last pull on the same terms ended. */
  readonly last: PullOutcome | undefined;
}

/** In this order: what is stored can be used whatever goes on; what is being pulled may have failed before. */
export function availabilityOf({ image, running, last }: KnownOfImage, now: number, coolDown: number): Availability {
  if (image !== undefined) return { state: 'ready', image: image.id };
  const [pull] = running;
  if (pull !== undefined) return { state: 'pulling', pull: pullUnderWay(pull) };
  const failed = last && failedPull(last);
  if (failed === undefined) return { state: 'missing' };
  const { code, message, hint } = failed.failure;
  const failedAt = failed.finishedAt;
  return { state: 'failed', code, reason: message, hint, failedAt, retryAt: retryAt(failed, now, coolDown) };
}

export function pullUnderWay({ pull, source, platform, process, since, image, layers }: PullRecord): PullUnderWay {
  const isKnown = layers.every(({ total }) => total >= 0);
  return {
    pullId: pull,
    source,
    platform,
    pid: pidOf(process),
    process,
    since,
    phase: phaseOf(layers),
    image,
    layers,
    bytes: layers.reduce((sum, layer) => sum + doneBytes(layer), 0),
    total: isKnown ? layers.reduce((sum, { total }) => sum + total, 0) : -1,
  };
}

function phaseOf(layers: PullRecord['layers']): PullUnderWay['phase'] {
  if (layers.length === 0) return 'resolving';
  return layers.every(({ phase }) => phase === 'done' || phase === 'stored') ? 'storing' : 'fetching';
}

/** A stored layer counts in full, so that what is done reaches the total. */
function doneBytes({ phase, bytes, total }: LayerUnderWay): number {
  return phase === 'stored' || phase === 'done' ? Math.max(total, 0) : bytes;
}
