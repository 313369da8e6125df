import type { ImageId, LayerId } from '../../image/digest.js';
import type { ProcessIdentity } from '../../system/locks/process-identity.js';
import type { MemoryImages } from '../images/memory-images.js';
import type { MemoryLayers } from '../layers/memory-layers.js';
import type { MemoryLeases } from '../leases/memory-leases.js';
import type { MemoryLife } from '../memory/memory-life.js';
import { removalOutdated } from '../record-errors.js';
import type { MemoryRootfses } from '../rootfses/memory-rootfses.js';
import type { Removal, Removals, Removed } from './removals.js';

/** The sections that removals take from, or ask. */
export interface AskedSections {
  readonly images: MemoryImages;
  readonly layers: MemoryLayers;
  readonly rootfses: MemoryRootfses;
  readonly leases: MemoryLeases;
}

/** Removals from the records in memory. */
export class MemoryRemovals implements Removals {
  readonly #life: MemoryLife;
  readonly #sections: AskedSections;

  constructor(life: MemoryLife, sections: AskedSections) {
    this.#life = life;
    this.#sections = sections;
  }

  async prepareRemoval(): Promise<void> {
    this.#life.requireOpen();
  }

  async removeUnused(removal: Removal, process: ProcessIdentity, exactly: boolean): Promise<Removed> {
    this.#life.requireOpen();
    const { images, rootfses, layers } = this.#sections;
    const goingImages = new Set<ImageId>();
    for (const seen of removal.images) {
      if (images.isAsSeen(seen) && !rootfses.areMadeOf(seen.id)) goingImages.add(seen.id);
      else if (exactly) throw removalOutdated(`image ${seen.id} is in use, has changed, or is gone`, seen.id);
    }
    const needed = this.#neededWithout(goingImages);
    const goingLayers: LayerId[] = [];
    for (const id of removal.layers) {
      if (layers.recorded(id) !== undefined && !needed.has(id)) goingLayers.push(id);
      else if (exactly) throw removalOutdated(`layer ${id} is needed now, or is gone`, id);
    }
    for (const id of goingImages) images.delete(id);
    for (const id of goingLayers) layers.remove(id, process);
    return { images: [...goingImages], layers: goingLayers };
  }

  async dropUnusedStacks(): Promise<void> {
    // A stack lies in its image or rootfs here.
    this.#life.requireOpen();
  }

  async forgetLayers(ids: readonly LayerId[]): Promise<ImageId[]> {
    this.#life.requireOpen();
    const { images, layers, rootfses } = this.#sections;
    const gone = new Set(ids);
    const needing = [...images.stacks()].filter((image) => image.layers.some((layer) => gone.has(layer)));
    for (const image of needing) images.delete(image.id);
    rootfses.dropLayers(gone);
    for (const id of ids) layers.delete(id);
    return needing.map((image) => image.id).sort();
  }

  /** The layers that something needs once these images are gone. */
  #neededWithout(goingImages: ReadonlySet<ImageId>): Set<LayerId> {
    const { images, rootfses, leases } = this.#sections;
    const needed = new Set<LayerId>();
    const staying = [...images.stacks()].filter(({ id }) => !goingImages.has(id));
    for (const { layers } of [...staying, ...rootfses.stacks(), ...leases.needs()]) {
      for (const layer of layers) needed.add(layer);
    }
    return needed;
  }
}
