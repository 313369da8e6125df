import type { Digest, ImageId, LayerId } from '../../image/digest.js';
import { digestHex } from '../../image/digest.js';
import type { MountPlace } from '../../system/locks/mount-place.js';
import type { ProcessIdentity } from '../../system/locks/process-identity.js';
import { isInTree } from '../container-tree.js';
import { type ContainerRecord, containersOf, oldestFirst } from '../containers.js';
import { newestFirst } from '../image-order.js';
import type {
  ImageRecord,
  ImageSummary,
  IndexChoice,
  LayerClaim,
  LayerRecord,
  LeaseRecord,
  MetadataManager,
  Naming,
  NewImage,
  NewRootfs,
  RecordCounts,
  RecordsGap,
  Removal,
  Removed,
  RootfsKey,
  RootfsRecord,
  RootfsSummary,
} from '../metadata-manager.js';
import type {
  FoundPulls,
  NewPull,
  PullAnnouncement,
  PullKey,
  PullRecord,
  PullReport,
  PullResult,
} from '../pull-records.js';
import {
  containerForeign,
  imageNotFound,
  layersNotFound,
  leaseGone,
  removalOutdated,
  rootfsGone,
  rootfsIdTaken,
  storeClosed,
} from '../record-errors.js';
import { MemoryPulls } from './memory-pulls.js';

interface StoredImage extends NewImage {
  readonly createdAt: number;
  readonly lastUsedAt: number;
  readonly useOrder: number;
  readonly pinned: boolean;
}

/**
 * The store's records in the memory of one process: for tests, and for machines without SQLite. Nothing survives the
 * process. Each method checks first and changes afterwards, without giving up the thread in between.
 */
export class MemoryMetadataManager implements MetadataManager {
  readonly #images = new Map<ImageId, StoredImage>();
  readonly #names = new Map<string, ImageId>();
  /** By digest and platform. */
  readonly #indexChoices = new Map<string, ImageId>();
  readonly #layers = new Map<LayerId, LayerRecord>();
  readonly #layerClaims = new Map<LayerId, ProcessIdentity>();
  readonly #rootfses = new Map<string, RootfsRecord>();
  readonly #leases = new Map<string, Omit<LeaseRecord, 'layers'> & { readonly layers: Set<LayerId> }>();
  readonly #pulls = new MemoryPulls({
    open: (pull, process) => this.#leases.set(pull, { pull, process, since: Date.now(), layers: new Set() }),
    close: (pull) => this.#leases.delete(pull),
    get: (pull) => this.#leases.get(pull),
  });
  /** How many uses of images have been noted. */
  #uses = 0;
  #gap: RecordsGap | undefined;
  #open = true;

  async putImage(
    image: NewImage,
    names: readonly string[],
    choice?: IndexChoice,
    naming: Naming = 'any',
  ): Promise<ImageRecord> {
    this.#requireLayers(image.layers);
    const now = Date.now();
    const recorded = this.#images.get(image.id);
    const stored = recorded ?? { ...image, layers: [...image.layers], createdAt: now, pinned: false };
    const refreshed = { ...stored, source: image.source, lastUsedAt: now, useOrder: ++this.#uses };
    this.#images.set(image.id, refreshed);
    for (const name of names) this.#putName(name, image.id, naming);
    if (choice !== undefined) this.#indexChoices.set(`${choice.index} ${choice.platform}`, image.id);
    return this.#imageRecord(refreshed);
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

  async listImages(): Promise<ImageSummary[]> {
    this.#requireOpen();
    const now = Date.now();
    for (const [id, image] of this.#images)
      if (image.lastUsedAt > now) this.#images.set(id, { ...image, lastUsedAt: now });
    return [...this.#images.values()].sort(newestFirst).map((image) => {
      const { manifest: _, config: __, ...summary } = this.#imageRecord(image);
      return summary;
    });
  }

  async addName(name: string, id: ImageId, naming: Naming = 'any'): Promise<void> {
    this.#requireOpen();
    if (!this.#images.has(id)) throw imageNotFound(id);
    this.#putName(name, id, naming);
  }

  #putName(name: string, id: ImageId, naming: Naming): void {
    const platformOf = (image: ImageId | undefined) => image && this.#images.get(image)?.platform;
    const holder = this.#names.get(name);
    if (naming === 'any' || holder === undefined || platformOf(holder) === platformOf(id)) this.#names.set(name, id);
  }

  async markUsed(id: ImageId): Promise<void> {
    this.#requireOpen();
    const image = this.#images.get(id);
    const now = Date.now();
    if (image === undefined || (image.lastUsedAt >= now - 1000 && image.lastUsedAt <= now)) return;
    this.#images.set(id, { ...image, lastUsedAt: now, useOrder: ++this.#uses });
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

  async setPinned(id: ImageId, pinned: boolean): Promise<void> {
    this.#requireOpen();
    const image = this.#images.get(id);
    if (image === undefined) throw imageNotFound(id);
    this.#images.set(id, { ...image, pinned });
  }

  async imageOfIndex(index: Digest, platform: string): Promise<ImageRecord | undefined> {
    this.#requireOpen();
    const id = this.#indexChoices.get(`${index} ${platform}`);
    return id === undefined ? undefined : this.getImage(id);
  }

  async imageBeside(id: ImageId, platform: string): Promise<ImageRecord | undefined> {
    const indexes = [...this.#indexChoices].flatMap(([choice, image]) =>
      image === id ? [choice.split(' ', 1)[0]] : [],
    );
    const beside = indexes.map((index) => this.#indexChoices.get(`${index} ${platform}`));
    const last = [...this.#images.keys()].findLast((image) => beside.includes(image));
    return last === undefined ? undefined : this.getImage(last);
  }

  async imagesOfIndex(index: Digest): Promise<ImageId[]> {
    this.#requireOpen();
    const ids = [...this.#indexChoices].flatMap(([choice, id]) => (choice.startsWith(`${index} `) ? [id] : []));
    return [...new Set(ids)].sort();
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

  async putLayers(layers: readonly LayerRecord[]): Promise<void> {
    this.#requireOpen();
    for (const layer of layers) {
      if (!this.#layers.has(layer.id)) this.#layers.set(layer.id, { ...layer });
      this.#layerClaims.delete(layer.id);
    }
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

  async count(): Promise<RecordCounts> {
    this.#requireOpen();
    const containers = new Set([...this.#rootfses.values()].map((rootfs) => rootfs.containerId));
    return { images: this.#images.size, layers: this.#layers.size, containers: containers.size };
  }

  async claimLayer(
    id: LayerId,
    process: ProcessIdentity,
    isAlive: (process: ProcessIdentity) => boolean,
  ): Promise<LayerClaim> {
    this.#requireOpen();
    if (this.#layers.has(id)) return { state: 'recorded' };
    const holder = this.#layerClaims.get(id);
    if (holder !== undefined && holder !== process && isAlive(holder)) return { state: 'busy', holder };
    this.#layerClaims.set(id, process);
    return { state: 'claimed' };
  }

  async releaseLayerClaims(process: ProcessIdentity, ids?: readonly LayerId[]): Promise<void> {
    this.#requireOpen();
    for (const id of ids ?? [...this.#layerClaims.keys()]) {
      if (this.#layerClaims.get(id) === process) this.#layerClaims.delete(id);
    }
  }

  async dropDeadClaims(isAlive: (process: ProcessIdentity) => boolean): Promise<void> {
    this.#requireOpen();
    for (const [id, process] of this.#layerClaims) if (!isAlive(process)) this.#layerClaims.delete(id);
  }

  async putRootfs(rootfs: NewRootfs, maker?: ProcessIdentity): Promise<void> {
    this.#requireOpen();
    const { containerId, id, image: imageId, backend, mount } = rootfs;
    const owner = this.#containerOwner(containerId) ?? rootfs.owner;
    if (owner !== rootfs.owner && !rootfs.anyOwner) throw containerForeign(containerId, owner);
    const image = this.#images.get(imageId);
    const key = rootfsKey(rootfs);
    if (this.#rootfses.has(key)) throw rootfsIdTaken(id);
    if (image === undefined) throw imageNotFound(imageId);
    const createdAt = Date.now();
    this.#rootfses.set(key, {
      containerId,
      id,
      owner,
      image: imageId,
      backend,
      state: maker === undefined ? 'ready' : 'provisioning',
      maker,
      mount: mount && { ...mount },
      createdAt,
      layers: [...image.layers],
      complete: true,
    });
    await this.markUsed(imageId);
  }

  async containerOwner(containerId: string): Promise<string | undefined> {
    this.#requireOpen();
    return this.#containerOwner(containerId);
  }

  async setRootfsMounts(keys: readonly RootfsKey[], mount: MountPlace): Promise<void> {
    this.#requireOpen();
    for (const key of keys.map(rootfsKey)) {
      const rootfs = this.#rootfses.get(key);
      if (rootfs !== undefined) this.#rootfses.set(key, { ...rootfs, mount: { ...mount } });
    }
  }

  async finishRootfs(key: RootfsKey): Promise<void> {
    this.#requireOpen();
    const rootfs = this.#rootfses.get(rootfsKey(key));
    if (rootfs?.state !== 'provisioning') throw rootfsGone(key.id);
    this.#rootfses.set(rootfsKey(key), { ...rootfs, state: 'ready', maker: undefined });
  }

  async rootfsesIn(containerId: string): Promise<RootfsSummary[]> {
    this.#requireOpen();
    // Newest first within a container; an id sorts after its own beginnings, so children come before parents.
    const newest = this.#inTree(containerId).sort(oldestFirst).reverse();
    return newest
      .sort((one, other) => compare(other.containerId, one.containerId))
      .map(({ layers, complete, ...summary }) => summary);
  }

  async forgetRootfses(rootfses: readonly RootfsKey[]): Promise<number> {
    this.#requireOpen();
    return rootfses.filter((key) => this.#rootfses.delete(rootfsKey(key))).length;
  }

  async getContainer(containerId: string): Promise<ContainerRecord | undefined> {
    this.#requireOpen();
    const here = this.#inTree(containerId).filter((rootfs) => rootfs.containerId === containerId);
    return containersOf(here.map(copyRootfs))[0];
  }

  async listContainers(owner?: string): Promise<ContainerRecord[]> {
    this.#requireOpen();
    const all = [...this.#rootfses.values()].map(copyRootfs);
    return containersOf(all).filter((container) => owner === undefined || container.owner === owner);
  }

  async openLease(pull: string, process: ProcessIdentity): Promise<void> {
    this.#requireOpen();
    this.#leases.set(pull, { pull, process, since: Date.now(), layers: new Set() });
  }

  async leaseLayers(pull: string, layers: readonly LayerId[]): Promise<void> {
    this.#requireOpen();
    const lease = this.#leases.get(pull);
    if (lease === undefined) throw leaseGone(pull);
    for (const layer of layers) lease.layers.add(layer);
  }

  async closeLeases(pulls: readonly string[]): Promise<void> {
    this.#requireOpen();
    for (const pull of pulls) this.#leases.delete(pull);
  }

  async listLeases(): Promise<LeaseRecord[]> {
    this.#requireOpen();
    const leases = [...this.#leases.values()].map((lease) => ({ ...lease, layers: [...lease.layers].sort() }));
    return leases.sort((one, other) => one.since - other.since || compare(one.pull, other.pull));
  }

  async announcePull(pull: NewPull, isAlive: (process: ProcessIdentity) => boolean): Promise<PullAnnouncement> {
    this.#requireOpen();
    return this.#pulls.announce(pull, isAlive);
  }

  async reportPull(pull: string, report: PullReport): Promise<void> {
    this.#requireOpen();
    this.#pulls.report(pull, report);
  }

  async finishPull(pull: string, result: PullResult, at: number = Date.now()): Promise<void> {
    this.#requireOpen();
    this.#pulls.finish(pull, result, at);
  }

  async findPulls(image: Pick<PullKey, 'source' | 'platform'>): Promise<FoundPulls> {
    this.#requireOpen();
    return this.#pulls.find(image);
  }

  async listPulls(): Promise<PullRecord[]> {
    this.#requireOpen();
    return this.#pulls.list();
  }

  async prepareRemoval(): Promise<void> {
    this.#requireOpen();
  }

  async removeUnused(removal: Removal, process: ProcessIdentity, exactly: boolean): Promise<Removed> {
    this.#requireOpen();
    const images = new Set<ImageId>();
    for (const { id, names, lastUsedAt } of removal.images) {
      const image = this.#images.get(id);
      const asSeen =
        image !== undefined &&
        !image.pinned &&
        image.lastUsedAt === lastUsedAt &&
        this.#namesOf(id).join('\n') === names.join('\n') &&
        ![...this.#rootfses.values()].some((rootfs) => rootfs.image === id);
      if (asSeen) images.add(id);
      else if (exactly) throw removalOutdated(`image ${id} is in use, has changed, or is gone`, id);
    }
    const needed = new Set<LayerId>();
    for (const image of this.#images.values()) {
      if (!images.has(image.id)) for (const layer of image.layers) needed.add(layer);
    }
    for (const { layers } of [...this.#rootfses.values(), ...this.#leases.values()]) {
      for (const layer of layers) needed.add(layer);
    }
    const layers: LayerId[] = [];
    for (const id of removal.layers) {
      if (this.#layers.has(id) && !needed.has(id)) layers.push(id);
      else if (exactly) throw removalOutdated(`layer ${id} is needed now, or is gone`, id);
    }
    for (const id of images) this.#deleteImage(id);
    for (const id of layers) {
      this.#layers.delete(id);
      this.#layerClaims.set(id, process);
    }
    return { images: [...images], layers };
  }

  async dropUnusedStacks(): Promise<void> {
    // A stack lies in its image or rootfs here.
    this.#requireOpen();
  }

  async forgetLayers(ids: readonly LayerId[]): Promise<ImageId[]> {
    this.#requireOpen();
    const gone = new Set(ids);
    const images = [...this.#images.values()].filter((image) => image.layers.some((layer) => gone.has(layer)));
    for (const image of images) this.#deleteImage(image.id);
    for (const [key, rootfs] of this.#rootfses) {
      const layers = rootfs.layers.filter((layer) => !gone.has(layer));
      const complete = rootfs.complete && layers.length === rootfs.layers.length;
      this.#rootfses.set(key, { ...rootfs, layers, complete });
    }
    for (const id of ids) this.#layers.delete(id);
    return images.map((image) => image.id).sort();
  }

  async recordsGap(): Promise<RecordsGap | undefined> {
    this.#requireOpen();
    return this.#gap;
  }

  async setRecordsGap(gap: RecordsGap | undefined): Promise<void> {
    this.#requireOpen();
    this.#gap = gap;
  }

  requireInPlace(): void {
    this.#requireOpen();
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

  #deleteImage(id: ImageId): void {
    for (const name of this.#namesOf(id)) this.#names.delete(name);
    for (const [choice, chosen] of this.#indexChoices) if (chosen === id) this.#indexChoices.delete(choice);
    this.#images.delete(id);
  }

  #inTree(top: string): RootfsRecord[] {
    return [...this.#rootfses.values()].filter((rootfs) => isInTree(rootfs.containerId, top));
  }

  #containerOwner(containerId: string): string | undefined {
    return this.#inTree(containerId).find((rootfs) => rootfs.containerId === containerId)?.owner;
  }

  #imageRecord({ layers, ...image }: StoredImage): ImageRecord {
    const bytes = [...new Set(layers)].reduce((sum, id) => sum + (this.#layers.get(id)?.bytes ?? 0), 0);
    const lastUsedAt = Math.min(image.lastUsedAt, Date.now());
    return { ...image, lastUsedAt, layers: [...layers], names: this.#namesOf(image.id), bytes };
  }
}

function rootfsKey({ containerId, id }: RootfsKey): string {
  return `${containerId}\n${id}`;
}

/** Container ids are ASCII, so this is byte order. */
function compare(one: string, other: string): number {
  return one < other ? -1 : Number(one > other);
}

/** A copy: nobody outside holds what this manager stores. */
function copyRootfs(rootfs: RootfsRecord): RootfsRecord {
  return { ...rootfs, layers: [...rootfs.layers] };
}
