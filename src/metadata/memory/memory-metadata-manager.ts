import { MemoryHoldings } from '../holdings/memory-holdings.js';
import { MemoryImages } from '../images/memory-images.js';
import { MemoryLaunches } from '../launches/memory-launches.js';
import { MemoryLayers } from '../layers/memory-layers.js';
import { MemoryLeases } from '../leases/memory-leases.js';
import { MemoryPulls } from '../pulls/memory-pulls.js';
import { MemoryRemovals } from '../removals/memory-removals.js';
import { MemoryRootfses } from '../rootfses/memory-rootfses.js';
import { SectionedMetadataManager } from '../sectioned-metadata-manager.js';
import { MemoryState } from '../state/memory-state.js';
import { MemoryVolumes } from '../volumes/memory-volumes.js';
import { MemoryLife } from './memory-life.js';

/**
 * The store's records in the memory of one process: for tests, and for machines without SQLite. Nothing survives the
 * process. Each method checks first and changes afterwards, without giving up the thread in between.
 */
export class MemoryMetadataManager extends SectionedMetadataManager {
  readonly #life: MemoryLife;

  constructor() {
    const life = new MemoryLife();
    const layers = new MemoryLayers(life);
    const images = new MemoryImages(life, layers);
    const launches = new MemoryLaunches(life, (containerId) => rootfses.ownerOf(containerId));
    const volumes = new MemoryVolumes(life, (rootfs) => rootfses.ownerOfRootfs(rootfs));
    const rootfses = new MemoryRootfses(life, images, { launches, volumes });
    const holdings = new MemoryHoldings(life);
    const leases = new MemoryLeases(life);
    const pulls = new MemoryPulls(life, leases);
    const removals = new MemoryRemovals(life, { images, layers, rootfses, leases });
    const state = new MemoryState(life, { images, layers, rootfses });
    super({ images, layers, rootfses, launches, holdings, volumes, leases, pulls, removals, state });
    this.#life = life;
  }

  async close(): Promise<void> {
    this.#life.end();
  }
}
