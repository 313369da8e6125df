import type { Digest, ImageId, LayerId } from '../image/digest.js';
import { digestHex } from '../image/digest.js';
import type { ProcessIdentity } from '../locks/process-identity.js';
import { holderInTheWay } from './claims.js';
import { newestFirst } from './image-order.js';
import { MemoryContainers } from './memory-containers.js';
import type {
  Claim,
  ContainerRecord,
  ImageRecord,
  LayerClaim,
  LayerRecord,
  MetadataManager,
  NewImage,
  NewRootfs,
  RootfsRecord,
} from './metadata-manager.js';
import { imageNotFound, layersNotFound, storeClosed } from './record-errors.js';

interface StoredImage extends NewImage {
  readonly createdAt: number;
  readonly lastUsedAt: number;
}

type IsAlive = (process: ProcessIdentity) => boolean;

/**
 * The store's records in the memory of one process: for tests, and for machines without SQLite. Nothing survives the
 * process. Each method checks first and changes afterwards, without giving up the thread in between.
 */
export class MemoryMetadataManager implements MetadataManager {
  readonly #images = new Map<ImageId, StoredImage>();
  readonly #names = new Map<string, ImageId>();
  readonly #layers = new Map<LayerId, LayerRecord>();
  readonly #layerClaims = new Map<LayerId, ProcessIdentity>();
  readonly #blobs = new Map<Digest, LayerId>();
  readonly #containers = new MemoryContainers();
  #open = true;

  async putImage(image: NewImage, names: readonly string[]): Promise<void> {
    this.#requireLayers(image.layers);
    const now = Date.now();
    const recorded = this.#images.get(image.id);
    const stored = recorded ?? { ...image, layers: [...image.layers], createdAt: now };
    this.#images.set(image.id, { ...stored, source: image.source, lastUsedAt: now });
    for (const name of names) this.#names.set(name, image.id);
  }

  async getImage(id: ImageId): Promise<ImageRecord | undefined> {
    this.#requireOpen();
    const image = this.#images.get(id);
    return image && this.#imageRecord(image);
  }

  async getImageByName(name: string): Promise<ImageRecord | undefined> {
    this.#requireOpen();
    const id = this.#names.get(name);
    return id === undefined ? undefined : this.getImage(id);
  }

  async findImages(hexPrefix: string, limit: number): Promise<ImageId[]> {
    this.#requireOpen();
    const found = [...this.#images.keys()].filter((id) => digestHex(id).startsWith(hexPrefix));
    return found.sort().slice(0, Math.max(0, limit));
  }

  async listImages(): Promise<ImageRecord[]> {
    this.#requireOpen();
    return [...this.#images.values()].sort(newestFirst).map((image) => this.#imageRecord(image));
  }

  async addName(name: string, id: ImageId): Promise<void> {
    this.#requireOpen();
    if (!this.#images.has(id)) throw imageNotFound(id);
    this.#names.set(name, id);
  }

  async removeName(name: string): Promise<boolean> {
    this.#requireOpen();
    return this.#names.delete(name);
  }

  async removeNames(id: ImageId): Promise<string[]> {
    this.#requireOpen();
    const names = this.#namesOf(id);
    for (const name of names) this.#names.delete(name);
    return names;
  }

  async getLayer(id: LayerId): Promise<LayerRecord | undefined> {
    this.#requireOpen();
    const layer = this.#layers.get(id);
    return layer && { ...layer };
  }

  async getStack(image: ImageId): Promise<LayerRecord[]> {
    this.#requireOpen();
    const ids = this.#images.get(image)?.layers ?? [];
    return ids.map((id) => ({ ...(this.#layers.get(id) as LayerRecord) }));
  }

  async missingLayers(ids: readonly LayerId[]): Promise<LayerId[]> {
    this.#requireOpen();
    return this.#missing(ids);
  }

  async putLayer(layer: LayerRecord): Promise<void> {
    this.#requireOpen();
    if (!this.#layers.has(layer.id)) this.#layers.set(layer.id, { ...layer });
    this.#layerClaims.delete(layer.id);
  }

  async listLayers(): Promise<LayerRecord[]> {
    this.#requireOpen();
    const layers = [...this.#layers.values()].map((layer) => ({ ...layer }));
    return layers.sort((one, other) => (one.id < other.id ? -1 : 1));
  }

  async setLayerBytes(id: LayerId, bytes: number): Promise<void> {
    this.#requireOpen();
    const layer = this.#layers.get(id);
    if (layer !== undefined) this.#layers.set(id, { ...layer, bytes });
  }

  async claimLayer(id: LayerId, process: ProcessIdentity, isAlive: IsAlive): Promise<LayerClaim> {
    this.#requireOpen();
    if (this.#layers.has(id)) return { state: 'recorded' };
    const claim = this.#layerClaims.get(id);
    const holder = holderInTheWay(claim === undefined ? [] : [claim], process, isAlive);
    if (holder !== undefined) return { state: 'busy', holder };
    this.#layerClaims.set(id, process);
    return { state: 'claimed' };
  }

  async releaseLayerClaim(id: LayerId, process: ProcessIdentity): Promise<void> {
    this.#requireOpen();
    if (this.#layerClaims.get(id) === process) this.#layerClaims.delete(id);
  }

  async layerOfBlob(blob: Digest): Promise<LayerId | undefined> {
    this.#requireOpen();
    return this.#blobs.get(blob);
  }

  async putBlob(blob: Digest, layer: LayerId): Promise<void> {
    this.#requireOpen();
    this.#blobs.set(blob, layer);
  }

  async beginProvision(rootfs: NewRootfs, process: ProcessIdentity, isAlive: IsAlive): Promise<Claim> {
    this.#requireOpen();
    return this.#containers.beginProvision(rootfs, process, isAlive, () => this.#requireLayers(rootfs.layers));
  }

  async finishProvision(rootfsId: string): Promise<void> {
    this.#requireOpen();
    const rootfs = this.#containers.finishProvision(rootfsId);
    const image = this.#images.get(rootfs.image);
    if (image !== undefined) this.#images.set(image.id, { ...image, lastUsedAt: Date.now() });
  }

  async beginDestroy(containerId: string, process: ProcessIdentity, isAlive: IsAlive): Promise<Claim<RootfsRecord[]>> {
    this.#requireOpen();
    return this.#containers.beginDestroy(containerId, process, isAlive);
  }

  async forgetRootfses(rootfsIds: readonly string[]): Promise<void> {
    this.#requireOpen();
    this.#containers.forgetRootfses(rootfsIds);
  }

  async releaseContainerClaims(containerId: string, process: ProcessIdentity): Promise<void> {
    this.#requireOpen();
    this.#containers.releaseClaims(containerId, process);
  }

  async getContainer(containerId: string): Promise<ContainerRecord | undefined> {
    this.#requireOpen();
    return this.#containers.get(containerId);
  }

  async listContainers(owner?: string): Promise<ContainerRecord[]> {
    this.#requireOpen();
    return this.#containers.list(owner);
  }

  async verify(): Promise<string[]> {
    this.#requireOpen();
    return [];
  }

  async close(): Promise<void> {
    this.#open = false;
  }

  #requireOpen(): void {
    if (!this.#open) throw storeClosed();
  }

  #requireLayers(ids: readonly LayerId[]): void {
    this.#requireOpen();
    const missing = this.#missing(ids);
    if (missing.length > 0) throw layersNotFound(missing);
  }

  #missing(ids: readonly LayerId[]): LayerId[] {
    return [...new Set(ids)].filter((id) => !this.#layers.has(id));
  }

  #namesOf(id: ImageId): string[] {
    return [...this.#names].flatMap(([name, owner]) => (owner === id ? [name] : [])).sort();
  }

  #imageRecord({ layers, ...image }: StoredImage): ImageRecord {
    const bytes = [...new Set(layers)].reduce((sum, id) => sum + (this.#layers.get(id)?.bytes ?? 0), 0);
    return { ...image, layers: [...layers], names: this.#namesOf(image.id), bytes };
  }
}
