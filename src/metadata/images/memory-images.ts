import { type Digest, digestHex, type ImageId, type LayerId } from '../../image/digest.js';
import type { LayerRecord } from '../layers/layer-records.js';
import type { MemoryLayers } from '../layers/memory-layers.js';
import type { MemoryLife } from '../memory/memory-life.js';
import { imageNotFound, layersNotFound } from '../record-errors.js';
import { newestFirst } from './image-order.js';
import type { ImageRecord, ImageRecords, ImageSummary, IndexChoice, Naming, NewImage } from './image-records.js';

interface StoredImage extends NewImage {
  readonly createdAt: number;
  readonly lastUsedAt: number;
  readonly useOrder: number;
  readonly pinned: boolean;
}

/** Images in memory. A stack lies in its image. */
export class MemoryImages implements ImageRecords {
  readonly #life: MemoryLife;
  readonly #layers: MemoryLayers;
  readonly #images = new Map<ImageId, StoredImage>();
  readonly #names = new Map<string, ImageId>();
  /** By digest and platform. */
  readonly #indexChoices = new Map<string, ImageId>();
  /** How many uses of images have been noted. */
  #uses = 0;

  constructor(life: MemoryLife, layers: MemoryLayers) {
    this.#life = life;
    this.#layers = layers;
  }

  async putImage(
    image: NewImage,
    names: readonly string[],
    choice?: IndexChoice,
    naming: Naming = 'any',
  ): Promise<ImageRecord> {
    this.#life.requireOpen();
    const missing = this.#layers.missing(image.layers);
    if (missing.length > 0) throw layersNotFound(missing);
    const now = Date.now();
    const recorded = this.#images.get(image.id);
    const stored = recorded ?? { ...image, layers: [...image.layers], createdAt: now, pinned: false };
    const refreshed = { ...stored, source: image.source, lastUsedAt: now, useOrder: ++this.#uses };
    this.#images.set(image.id, refreshed);
    for (const name of names) this.#putName(name, image.id, naming);
    if (choice !== undefined) this.#indexChoices.set(`${choice.index} ${choice.platform}`, image.id);
    return this.#record(refreshed);
  }

  async getImage(id: ImageId): Promise<ImageRecord | undefined> {
    this.#life.requireOpen();
    const image = this.#images.get(id);
    return image && this.#record(image);
  }

  async getImageByName(name: string): Promise<ImageRecord | undefined> {
    this.#life.requireOpen();
    const id = this.#names.get(name);
    return id === undefined ? undefined : this.getImage(id);
  }

  async getStack(image: ImageId): Promise<LayerRecord[]> {
    this.#life.requireOpen();
    const ids = this.#images.get(image)?.layers ?? [];
    return ids.map((id) => this.#layers.recorded(id) as LayerRecord);
  }

  async findImages(hexPrefix: string, limit: number): Promise<ImageId[]> {
    this.#life.requireOpen();
    const found = [...this.#images.keys()].filter((id) => digestHex(id).startsWith(hexPrefix));
    return found.sort().slice(0, Math.max(0, limit));
  }

  async listImages(): Promise<ImageSummary[]> {
    this.#life.requireOpen();
    const now = Date.now();
    for (const [id, image] of this.#images)
      if (image.lastUsedAt > now) this.#images.set(id, { ...image, lastUsedAt: now });
    return [...this.#images.values()].sort(newestFirst).map((image) => {
      const { manifest: _, config: __, ...summary } = this.#record(image);
      return summary;
    });
  }

  async addName(name: string, id: ImageId, naming: Naming = 'any'): Promise<void> {
    this.#life.requireOpen();
    if (!this.#images.has(id)) throw imageNotFound(id);
    this.#putName(name, id, naming);
  }

  async markUsed(id: ImageId): Promise<void> {
    this.#life.requireOpen();
    this.use(id);
  }

  async setPinned(id: ImageId, pinned: boolean): Promise<void> {
    this.#life.requireOpen();
    const image = this.#images.get(id);
    if (image === undefined) throw imageNotFound(id);
    this.#images.set(id, { ...image, pinned });
  }

  async removeName(name: string): Promise<boolean> {
    this.#life.requireOpen();
    return this.#names.delete(name);
  }

  async removeNames(id: ImageId): Promise<string[]> {
    this.#life.requireOpen();
    const names = this.#namesOf(id);
    for (const name of names) this.#names.delete(name);
    return names;
  }

  async imageOfIndex(index: Digest, platform: string): Promise<ImageRecord | undefined> {
    this.#life.requireOpen();
    const id = this.#indexChoices.get(`${index} ${platform}`);
    return id === undefined ? undefined : this.getImage(id);
  }

  async imageBeside(id: ImageId, platform: string): Promise<ImageRecord | undefined> {
    this.#life.requireOpen();
    const indexes = [...this.#indexChoices].flatMap(([choice, image]) =>
      image === id ? [choice.split(' ', 1)[0]] : [],
    );
    const beside = indexes.map((index) => this.#indexChoices.get(`${index} ${platform}`));
    const last = [...this.#images.keys()].findLast((image) => beside.includes(image));
    return last === undefined ? undefined : this.getImage(last);
  }

  async imagesOfIndex(index: Digest): Promise<ImageId[]> {
    this.#life.requireOpen();
    const ids = [...this.#indexChoices].flatMap(([choice, id]) => (choice.startsWith(`${index} `) ? [id] : []));
    return [...new Set(ids)].sort();
  }

  // For other sections, within their calls.

  get size(): number {
    return this.#images.size;
  }

  stacks(): Iterable<Pick<NewImage, 'id' | 'layers'>> {
    return this.#images.values();
  }

  /** Undefined for an image that is not recorded. */
  stackOf(id: ImageId): readonly LayerId[] | undefined {
    return this.#images.get(id)?.layers;
  }

  /** Whether an image is as it was looked at, and not pinned. */
  isAsSeen({ id, names, lastUsedAt }: Pick<ImageRecord, 'id' | 'names' | 'lastUsedAt'>): boolean {
    const image = this.#images.get(id);
    if (image === undefined || image.pinned || image.lastUsedAt !== lastUsedAt) return false;
    return this.#namesOf(id).join('\n') === names.join('\n');
  }

  /** As `markUsed`. */
  use(id: ImageId): void {
    const image = this.#images.get(id);
    const now = Date.now();
    if (image === undefined || (image.lastUsedAt >= now - 1000 && image.lastUsedAt <= now)) return;
    this.#images.set(id, { ...image, lastUsedAt: now, useOrder: ++this.#uses });
  }

  /** Takes an image away, with its names and the choices of indexes that led to it. */
  delete(id: ImageId): void {
    for (const name of this.#namesOf(id)) this.#names.delete(name);
    for (const [choice, chosen] of this.#indexChoices) if (chosen === id) this.#indexChoices.delete(choice);
    this.#images.delete(id);
  }

  #putName(name: string, id: ImageId, naming: Naming): void {
    const platformOf = (image: ImageId | undefined) => image && this.#images.get(image)?.platform;
    const holder = this.#names.get(name);
    if (naming === 'any' || holder === undefined || platformOf(holder) === platformOf(id)) this.#names.set(name, id);
  }

  #namesOf(id: ImageId): string[] {
    return [...this.#names].flatMap(([name, owner]) => (owner === id ? [name] : [])).sort();
  }

  #record({ layers, ...image }: StoredImage): ImageRecord {
    const bytes = [...new Set(layers)].reduce((sum, id) => sum + (this.#layers.recorded(id)?.bytes ?? 0), 0);
    const lastUsedAt = Math.min(image.lastUsedAt, Date.now());
    return { ...image, lastUsedAt, layers: [...layers], names: this.#namesOf(image.id), bytes };
  }
}
