import { createHash } from 'node:crypto';
import type { LayerId } from '../image/digest.js';
import { readStacking, type Stacking } from '../unpack/stacking.js';
import type { LayerStore, LayerStoreParts, PullContext } from './layer-store.js';

/**
 * Puts the stack of an image together: its layers, and right above each layer that needs one its seam. All layers are stored already.
 * @returns what goes into the image's record, bottom first
 */
export async function completeStack(
  layers: readonly LayerId[],
  store: LayerStore,
  { paths, metadata, whiteouts, privileged }: LayerStoreParts,
  pull: PullContext,
): Promise<LayerId[]> {
  const stack: LayerId[] = [];
  // Where what shows begins: nothing below a layer that hides everything matters.
  let bottom = 0;
  for (const [index, layer] of layers.entries()) {
    if ((await metadata.getLayer(layer))?.opaqueRoot) bottom = stack.length;
    const below = stack.slice(bottom).map((id) => paths.layer(id));
    stack.push(layer);
    const directory = paths.layer(layer);
    if (!dependsOnBelow(await readStacking(directory))) continue;
    const seam = seamId(layers.slice(0, index + 1));
    await metadata.leaseLayers(pull.pullId, [seam]);
    if (await store.ensureSeam(seam, { below, layer: directory, whiteouts, privileged }, pull)) stack.push(seam);
  }
  return stack;
}

/** The root is seen to when a rootfs is made; see `RootfsRequest.rootAttributes`. */
function dependsOnBelow({ implied, whiteoutDirectories, lowerLinks }: Stacking): boolean {
  return lowerLinks.length > 0 || [...implied, ...whiteoutDirectories].some((path) => path !== '');
}

/** A seam depends on the layers up to its own, so they name it. Changes with the way seams are made. */
export function seamId(layers: readonly LayerId[]): LayerId {
  return `sha256:${createHash('sha256')
    .update(['seam 1', ...layers].join('\n'))
    .digest('hex')}`;
}
