import { lstatSync } from 'node:fs';
import type { StackedLayer } from '../backends/backend.js';
import { isProvisionerError, ProvisionerError, systemCode } from '../base/errors.js';

/**
 * Does work on layers, and tells whose files are gone when it fails for that: what the kernel has to say of it (ENOENT) names no layer. Costs nothing
 * where nothing fails.
 * @throws ProvisionerError `ERR_STORE_DAMAGED` when a layer is not where it should be, else what the work throws
 */
export async function tellingLostLayers<T>(layers: readonly StackedLayer[], work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const lost = isProvisionerError(error, 'ERR_ABORTED', 'ERR_BACKEND_LIMIT') ? undefined : layers.find(isGone);
    if (lost === undefined) throw error;
    throw new ProvisionerError('ERR_STORE_DAMAGED', `the files of the layer ${lost.id} are gone from ${lost.rootfs}`, {
      cause: error,
      hint: '`provisioner check --repair` gets them again from where the image came from',
      details: { layer: lost.id, path: lost.rootfs },
    });
  }
}

function isGone({ rootfs }: StackedLayer): boolean {
  try {
    return lstatSync(rootfs, { throwIfNoEntry: false }) === undefined;
  } catch (error) {
    return systemCode(error) === 'ENOTDIR';
  }
}

/** Of an image whose layers a prune, or a recovery, has taken. @param source where they can be had again */
export function layersGone(image: string, source: string): ProvisionerError {
  return new ProvisionerError('ERR_LAYER_NOT_FOUND', `layers of image ${image} are not stored any more`, {
    hint: `pull the image again from ${source}`,
    details: { image },
  });
}
