import type { ImageId, LayerId } from '../../image/digest.js';
import type { MountPlace } from '../../system/locks/mount-place.js';
import type { ProcessIdentity } from '../../system/locks/process-identity.js';
import type { MemoryImages } from '../images/memory-images.js';
import type { MemoryLaunches } from '../launches/memory-launches.js';
import type { MemoryLife } from '../memory/memory-life.js';
import { containerExists, containerForeign, imageNotFound, rootfsGone, rootfsIdTaken } from '../record-errors.js';
import type { MemoryVolumes } from '../volumes/memory-volumes.js';
import { isInTree } from './container-tree.js';
import { containersOf, oldestFirst } from './containers-of.js';
import type {
  ContainerRecord,
  ForkedRootfsRecord,
  NewRootfs,
  RootfsKey,
  RootfsRecord,
  RootfsRecords,
  RootfsSummary,
} from './rootfs-records.js';

/** Rootfses in memory, each with a stack of its own. */
export class MemoryRootfses implements RootfsRecords {
  readonly #life: MemoryLife;
  readonly #images: MemoryImages;
  readonly #launches: MemoryLaunches;
  readonly #volumes: MemoryVolumes;
  readonly #rootfses = new Map<string, RootfsRecord>();

  /** @param others what goes with rootfses */
  constructor(
    life: MemoryLife,
    images: MemoryImages,
    { launches, volumes }: { readonly launches: MemoryLaunches; readonly volumes: MemoryVolumes },
  ) {
    this.#life = life;
    this.#images = images;
    this.#launches = launches;
    this.#volumes = volumes;
  }

  async putRootfs(rootfs: NewRootfs, maker?: ProcessIdentity): Promise<void> {
    this.#life.requireOpen();
    const { containerId, id, image, backend, mount } = rootfs;
    const owner = this.ownerOf(containerId) ?? rootfs.owner;
    if (owner !== rootfs.owner && !rootfs.anyOwner) throw containerForeign(containerId, owner);
    const key = keyOf(rootfs);
    if (this.#rootfses.has(key)) throw rootfsIdTaken(id);
    const layers = this.#images.stackOf(image);
    if (layers === undefined) throw imageNotFound(image);
    this.#rootfses.set(key, {
      containerId,
      id,
      owner,
      image,
      backend,
      state: maker === undefined ? 'ready' : 'provisioning',
      maker,
      mount: mount && { ...mount },
      createdAt: Date.now(),
      layers: [...layers],
      complete: true,
    });
    this.#images.use(image);
  }

  async forkRootfs(source: RootfsKey, rootfs: ForkedRootfsRecord, maker: ProcessIdentity): Promise<boolean> {
    this.#life.requireOpen();
    if (this.ownerOf(rootfs.containerId) !== undefined) throw containerExists(rootfs.containerId);
    const forked = this.#rootfses.get(keyOf(source));
    if (forked?.state !== 'ready') return false;
    const { containerId, id, owner, mount } = rootfs;
    const own = { containerId, id, owner, mount: mount && { ...mount } };
    this.#rootfses.set(keyOf(rootfs), {
      ...copyOf(forked),
      ...own,
      state: 'provisioning',
      maker,
      createdAt: Date.now(),
    });
    this.#volumes.forkUser(source, rootfs, forked.owner === owner ? undefined : owner);
    return true;
  }

  async containerOwner(containerId: string): Promise<string | undefined> {
    this.#life.requireOpen();
    return this.ownerOf(containerId);
  }

  async setRootfsMounts(keys: readonly RootfsKey[], mount: MountPlace): Promise<void> {
    this.#life.requireOpen();
    for (const key of keys.map(keyOf)) {
      const rootfs = this.#rootfses.get(key);
      if (rootfs !== undefined) this.#rootfses.set(key, { ...rootfs, mount: { ...mount } });
    }
  }

  async finishRootfs(key: RootfsKey): Promise<void> {
    this.#life.requireOpen();
    const rootfs = this.#rootfses.get(keyOf(key));
    if (rootfs?.state !== 'provisioning') throw rootfsGone(key.id);
    this.#rootfses.set(keyOf(key), { ...rootfs, state: 'ready', maker: undefined });
  }

  async rootfsesIn(containerId: string): Promise<RootfsSummary[]> {
    this.#life.requireOpen();
    // Newest first within a container; an id sorts after its own beginnings, so children come before parents.
    const newest = this.#inTree(containerId).sort(oldestFirst).reverse();
    return newest
      .sort((one, other) => compare(other.containerId, one.containerId))
      .map(({ layers, complete, ...summary }) => summary);
  }

  async forgetRootfses(rootfses: readonly RootfsKey[]): Promise<number> {
    this.#life.requireOpen();
    const forgotten = rootfses.filter((key) => this.#rootfses.delete(keyOf(key))).length;
    this.#volumes.forgetUsers(rootfses);
    this.#launches.forgetEnded(rootfses.map(({ containerId }) => containerId));
    return forgotten;
  }

  async getContainer(containerId: string): Promise<ContainerRecord | undefined> {
    this.#life.requireOpen();
    return containersOf(this.#inContainer(containerId).map(copyOf))[0];
  }

  async listContainers(owner?: string): Promise<ContainerRecord[]> {
    this.#life.requireOpen();
    const all = [...this.#rootfses.values()].map(copyOf);
    return containersOf(all).filter((container) => owner === undefined || container.owner === owner);
  }

  // For other sections, within their calls.

  /** Of how many containers there are rootfses. */
  get containers(): number {
    return new Set([...this.#rootfses.values()].map((rootfs) => rootfs.containerId)).size;
  }

  /** Undefined when it is not recorded. */
  ownerOfRootfs(rootfs: RootfsKey): string | undefined {
    return this.#rootfses.get(keyOf(rootfs))?.owner;
  }

  /** Undefined when it has no rootfs. */
  ownerOf(containerId: string): string | undefined {
    return this.#inContainer(containerId)[0]?.owner;
  }

  stacks(): Iterable<Pick<RootfsRecord, 'layers'>> {
    return this.#rootfses.values();
  }

  /** Whether a rootfs was made of an image, be it of an earlier record of it. */
  areMadeOf(image: ImageId): boolean {
    return [...this.#rootfses.values()].some((rootfs) => rootfs.image === image);
  }

  /** Takes layers out of the stacks that have them, which are complete no more. */
  dropLayers(gone: ReadonlySet<LayerId>): void {
    for (const [key, rootfs] of this.#rootfses) {
      const layers = rootfs.layers.filter((layer) => !gone.has(layer));
      const complete = rootfs.complete && layers.length === rootfs.layers.length;
      this.#rootfses.set(key, { ...rootfs, layers, complete });
    }
  }

  #inTree(top: string): RootfsRecord[] {
    return [...this.#rootfses.values()].filter((rootfs) => isInTree(rootfs.containerId, top));
  }

  #inContainer(containerId: string): RootfsRecord[] {
    return [...this.#rootfses.values()].filter((rootfs) => rootfs.containerId === containerId);
  }
}

function keyOf({ containerId, id }: RootfsKey): string {
  return `${containerId}\n${id}`;
}

/** Container ids are ASCII, so this is byte order. */
function compare(one: string, other: string): number {
  return one < other ? -1 : Number(one > other);
}

/** Nobody outside holds what is stored here. */
function copyOf(rootfs: RootfsRecord): RootfsRecord {
  return { ...rootfs, layers: [...rootfs.layers] };
}
