import type { LayerId } from '../../image/digest.js';
import type { ProcessIdentity } from '../../system/locks/process-identity.js';
import type { MemoryLife } from '../memory/memory-life.js';
import type { LayerChange, LayerClaim, LayerRecord, LayerRecords } from './layer-records.js';

/** Layers and their claims in memory. */
export class MemoryLayers implements LayerRecords {
  readonly #life: MemoryLife;
  readonly #layers = new Map<LayerId, LayerRecord>();
  readonly #claims = new Map<LayerId, ProcessIdentity>();

  constructor(life: MemoryLife) {
    this.#life = life;
  }

  async getLayer(id: LayerId): Promise<LayerRecord | undefined> {
    this.#life.requireOpen();
    return this.recorded(id);
  }

  async missingLayers(ids: readonly LayerId[]): Promise<LayerId[]> {
    this.#life.requireOpen();
    return this.missing(ids);
  }

  async putLayers(layers: readonly LayerRecord[]): Promise<void> {
    this.#life.requireOpen();
    for (const layer of layers) {
      if (!this.#layers.has(layer.id)) this.#layers.set(layer.id, { ...layer });
      this.#claims.delete(layer.id);
    }
  }

  async listLayers(): Promise<LayerRecord[]> {
    this.#life.requireOpen();
    const layers = [...this.#layers.values()].map((layer) => ({ ...layer }));
    return layers.sort((one, other) => (one.id < other.id ? -1 : 1));
  }

  async changeLayer(id: LayerId, change: LayerChange): Promise<void> {
    this.#life.requireOpen();
    const layer = this.#layers.get(id);
    if (layer !== undefined) this.#layers.set(id, { ...layer, ...change });
  }

  async claimLayer(
    id: LayerId,
    process: ProcessIdentity,
    isAlive: (process: ProcessIdentity) => boolean,
  ): Promise<LayerClaim> {
    this.#life.requireOpen();
    if (this.#layers.has(id)) return { state: 'recorded' };
    const holder = this.#claims.get(id);
    if (holder !== undefined && holder !== process && isAlive(holder)) return { state: 'busy', holder };
    this.#claims.set(id, process);
    return { state: 'claimed' };
  }

  async releaseLayerClaims(process: ProcessIdentity, ids?: readonly LayerId[]): Promise<void> {
    this.#life.requireOpen();
    for (const id of ids ?? [...this.#claims.keys()]) {
      if (this.#claims.get(id) === process) this.#claims.delete(id);
    }
  }

  async dropDeadClaims(isAlive: (process: ProcessIdentity) => boolean): Promise<void> {
    this.#life.requireOpen();
    for (const [id, process] of this.#claims) if (!isAlive(process)) this.#claims.delete(id);
  }

  // For other sections, within their calls.

  get size(): number {
    return this.#layers.size;
  }

  /** A copy: nobody outside holds what is stored here. */
  recorded(id: LayerId): LayerRecord | undefined {
    const layer = this.#layers.get(id);
    return layer && { ...layer };
  }

  missing(ids: readonly LayerId[]): LayerId[] {
    return [...new Set(ids)].filter((id) => !this.#layers.has(id));
  }

  delete(id: LayerId): void {
    this.#layers.delete(id);
  }

  /** Takes a layer away and claims it. */
  remove(id: LayerId, process: ProcessIdentity): void {
    this.#layers.delete(id);
    this.#claims.set(id, process);
  }
}
