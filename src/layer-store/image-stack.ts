import { ProvisionerError } from '../base/errors.js';
import { unhurried } from '../base/unhurried.js';
import type { LayerId } from '../image/digest.js';
import type { LinkingLayer } from '../seams/collect-links.js';
import type { SeamRequest } from '../seams/make-seam.js';
import { dependenceOf, isStackingLong, NO_DEPENDENCE, type StackDependence } from '../unpack/stacking.js';
import type { LayerStore, LayerStoreNeeds, PullContext } from './layer-store.js';
import { SeamIds } from './seam-ids.js';

/**
 * Puts the stack of an image together: its layers, and right above each layer that needs one its seam. All layers are stored already.
 * @returns what goes into the image's record, bottom first
 */
export async function completeStack(
  layers: readonly LayerId[],
  store: LayerStore,
  needs: LayerStoreNeeds,
  pull: PullContext,
): Promise<LayerId[]> {
  const { paths, metadata, whiteouts, privileged, limits } = needs;
  const dependences = await dependencesOf(layers, needs, pull.signal);
  const lastLinking = layers.findLastIndex((id) => dependences.get(id)?.links);
  const ids = new SeamIds();
  const stack: LayerId[] = [];
  // Where what shows begins: nothing below a layer that hides everything matters.
  let bottom = 0;
  let linking: LinkingLayer[] = [];
  const ensure = async (seam: LayerId, wanted: Pick<SeamRequest, 'directories' | 'linking'>): Promise<void> => {
    await metadata.leaseLayers(pull.pullId, [seam]);
    const below = stack.slice(bottom).map((id) => paths.layer(id));
    if (await store.ensureSeam(seam, { ...wanted, stack: below, whiteouts, privileged, limits }, pull))
      stack.push(seam);
  };
  for await (const [index, layer] of unhurried(layers.entries())) {
    const { directories, links } = dependences.get(layer) ?? NO_DEPENDENCE;
    ids.add(layer);
    if ((await metadata.getLayer(layer))?.opaqueRoot) {
      bottom = stack.length;
      linking = [];
    }
    const at = stack.length - bottom;
    stack.push(layer);
    if (directories) await ensure(ids.directories(links), { directories: true, linking: [] });
    if (links) linking.push({ layer: at, end: stack.length - bottom });
    if (index === lastLinking) await ensure(ids.links(), { directories: false, linking });
  }
  return stack;
}

/** What layers ask for of those below them; nothing for those that are not named. What takes long to read is read on another thread. */
async function dependencesOf(
  layers: readonly LayerId[],
  { paths, pool }: LayerStoreNeeds,
  signal: AbortSignal,
): Promise<ReadonlyMap<LayerId, StackDependence>> {
  const found = new Map<LayerId, StackDependence>();
  const long: LayerId[] = [];
  for await (const layer of unhurried(new Set(layers))) {
    if (isStackingLong(paths.layer(layer))) long.push(layer);
    else found.set(layer, await dependenceOf(paths.layer(layer)));
  }
  if (long.length === 0) return found;
  const directories = long.map((layer) => paths.layer(layer));
  const dependences = await pool.run('read-stackings', { directories }, { signal });
  for (const [index, layer] of long.entries()) found.set(layer, dependences[index] ?? NO_DEPENDENCE);
  return found;
}

/**
 * What a seam of an image that is stored holds, and on what it lies, so that it can be made again.
 * @param layers of the image's record that lie below the seam, beginning with the topmost that hides all below it, bottom first
 * @param diffIds of all layers of the image that lie below the seam
 * @throws ProvisionerError `ERR_STORE_DAMAGED` for a seam that is none of this store's
 */
export async function plannedSeam(
  seam: LayerId,
  layers: readonly LayerId[],
  diffIds: readonly LayerId[],
  needs: LayerStoreNeeds,
  signal: AbortSignal,
): Promise<Pick<SeamRequest, 'directories' | 'linking'>> {
  const own = new Set(diffIds);
  const dependences = await dependencesOf(
    layers.filter((id) => own.has(id)),
    needs,
    signal,
  );
  const ids = new SeamIds();
  for (const id of diffIds) ids.add(id);
  const top = diffIds.at(-1);
  const kind = ids.all(top !== undefined && dependences.get(top)?.links === true).get(seam);
  if (kind === 'directories') return { directories: true, linking: [] };
  if (kind === 'both') return { directories: true, linking: [{ layer: layers.length - 1, end: layers.length }] };
  if (kind !== 'links') throw new ProvisionerError('ERR_STORE_DAMAGED', `nothing says what the seam ${seam} is for`);
  const linking: LinkingLayer[] = [];
  for (const [layer, id] of layers.entries()) {
    if (!own.has(id) || !dependences.get(id)?.links) continue;
    let end = layer + 1;
    for (let next = layers[end]; next !== undefined && !own.has(next); next = layers[end]) end++;
    linking.push({ layer, end });
  }
  return { directories: false, linking };
}
