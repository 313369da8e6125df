import type { PullLimits } from '../base/config.js';
import { ProvisionerError } from '../base/errors.js';
import type { LayerId } from '../image/digest.js';
import type { OfferedImage } from '../sources/puller.js';

export interface AdmissionState {
  /** Layers of the image that are not stored. */
  readonly missing: readonly LayerId[];
  /** Bytes free on the store's file system, for this user. */
  readonly free: number;
}

/**
 * Holds what the manifest says against what may be stored and what can be, before any layer is read. Unpacked, a layer takes at least what it takes
 * compressed, so what does not fit by these sizes does not fit; what fits may still turn out too large, and unpacking looks again.
 * @throws ProvisionerError `ERR_LIMIT_EXCEEDED`, `ERR_NO_SPACE`
 */
export function admit(
  { id, layers }: Pick<OfferedImage, 'id' | 'layers'>,
  { missing, free }: AdmissionState,
  { maxImageBytes, freeSpaceReserve }: Pick<PullLimits, 'maxImageBytes' | 'freeSpaceReserve'>,
): void {
  const bytes = totalSize(layers);
  if (bytes > maxImageBytes) {
    throw new ProvisionerError(
      'ERR_LIMIT_EXCEEDED',
      `the image ${id} is too large: its layers have ${bytes} bytes, and ${maxImageBytes} are allowed`,
      {
        hint: 'choose a smaller image, or raise the limit maxImageBytes (--max-size)',
        details: { image: id, bytes, limit: maxImageBytes, option: 'maxImageBytes' },
      },
    );
  }
  const absent = new Set(missing);
  const needed = totalSize(layers.filter((layer) => absent.has(layer.diffId)));
  if (needed === 0 || needed + freeSpaceReserve <= free) return;
  throw new ProvisionerError(
    'ERR_NO_SPACE',
    `no space left for the image ${id}: its missing layers have ${needed} bytes compressed, and ${free} are free, of which ${freeSpaceReserve} stay in reserve`,
    {
      hint: 'free some space, or prune images that nothing uses; the reserve is the limit freeSpaceReserve',
      details: { image: id, needed, free, reserve: freeSpaceReserve },
    },
  );
}

/** In bytes, each layer once. Layers whose size the source does not say count for nothing. */
function totalSize(layers: OfferedImage['layers']): number {
  const sizes = new Map(layers.map((layer) => [layer.diffId, Math.max(layer.size, 0)]));
  return [...sizes.values()].reduce((sum, size) => sum + size, 0);
}
