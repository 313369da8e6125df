import type { ProcessIdentity } from '../locks/process-identity.js';
import { holderInTheWay } from './claims.js';
import { ancestors, isInTree } from './container-tree.js';
import type { Claim, ContainerRecord, NewRootfs, RootfsRecord } from './metadata-manager.js';
import { rootfsGone, rootfsIdTaken } from './record-errors.js';

interface StoredRootfs extends RootfsRecord {
  /** The process that is provisioning it. */
  readonly claim: ProcessIdentity | undefined;
}

type IsAlive = (process: ProcessIdentity) => boolean;

/** Containers, their rootfses and the claims on them, in memory. Every method checks first and changes afterwards. */
export class MemoryContainers {
  readonly #containers = new Map<string, { readonly owner: string; readonly createdAt: number }>();
  /** By id, oldest first. */
  readonly #rootfses = new Map<string, StoredRootfs>();
  /** By container, which need not be recorded: what is below it may be. */
  readonly #destroyClaims = new Map<string, ProcessIdentity>();

  /** @param requireLayers throws when a layer of the rootfs is not recorded */
  beginProvision(rootfs: NewRootfs, process: ProcessIdentity, isAlive: IsAlive, requireLayers: () => void): Claim {
    const { id, containerId, owner, image, backend } = rootfs;
    const here = this.#inTree(containerId).filter((other) => other.containerId === containerId);
    const onContainer = [...here.flatMap((other) => other.claim ?? []), ...this.#destroyersOf([containerId])];
    const holder = holderInTheWay([...onContainer, ...this.#destroyersOf(ancestors(containerId))], process, isAlive);
    if (holder !== undefined) return { state: 'busy', holder };
    if (this.#rootfses.has(id)) throw rootfsIdTaken(id);
    requireLayers();

    const isOver = (claim: ProcessIdentity | undefined) => claim !== undefined && claim !== process;
    for (const other of here) if (isOver(other.claim)) this.#rootfses.set(other.id, { ...other, claim: undefined });
    if (isOver(this.#destroyClaims.get(containerId))) this.#destroyClaims.delete(containerId);
    const createdAt = Date.now();
    if (!this.#containers.has(containerId)) this.#containers.set(containerId, { owner, createdAt });
    const layers = [...rootfs.layers];
    const state = 'provisioning';
    this.#rootfses.set(id, { id, containerId, image, backend, state, layers, createdAt, claim: process });
    return { state: 'claimed', value: undefined };
  }

  /** @returns the rootfs that is ready now */
  finishProvision(rootfsId: string): RootfsRecord {
    const rootfs = this.#rootfses.get(rootfsId);
    if (rootfs === undefined || rootfs.state === 'destroying') throw rootfsGone(rootfsId);
    const ready = { ...rootfs, state: 'ready', claim: undefined } as const;
    this.#rootfses.set(rootfsId, ready);
    return ready;
  }

  beginDestroy(containerId: string, process: ProcessIdentity, isAlive: IsAlive): Claim<RootfsRecord[]> {
    const rootfses = this.#inTree(containerId);
    const claimed = [...this.#destroyClaims.keys()].filter((id) => isInTree(id, containerId));
    const provisioners = rootfses.flatMap((rootfs) => rootfs.claim ?? []);
    const destroyers = this.#destroyersOf([...ancestors(containerId), ...claimed]);
    const holder = holderInTheWay([...destroyers, ...provisioners], process, isAlive);
    if (holder !== undefined) return { state: 'busy', holder };
    if (rootfses.length === 0) return { state: 'claimed', value: [] };

    for (const id of claimed) this.#destroyClaims.delete(id);
    this.#destroyClaims.set(containerId, process);
    for (const rootfs of rootfses) {
      this.#rootfses.set(rootfs.id, { ...rootfs, state: 'destroying', claim: undefined });
      this.#destroyClaims.set(rootfs.containerId, process);
    }
    // Newest first within a container; an id sorts after its own beginnings, so children come before parents.
    const doomed = this.#inTree(containerId).reverse();
    doomed.sort((one, other) => compare(other.containerId, one.containerId));
    return { state: 'claimed', value: doomed.map(rootfsRecord) };
  }

  forgetRootfses(rootfsIds: readonly string[]): void {
    const touched = new Set<string>();
    for (const id of rootfsIds) {
      const rootfs = this.#rootfses.get(id);
      if (rootfs !== undefined) touched.add(rootfs.containerId);
      this.#rootfses.delete(id);
    }
    for (const container of touched) {
      if (!this.#inTree(container).some((rootfs) => rootfs.containerId === container)) {
        this.#containers.delete(container);
      }
      for (const claimed of [container, ...ancestors(container)]) {
        const going = this.#inTree(claimed).some((rootfs) => rootfs.state === 'destroying');
        if (!going) this.#destroyClaims.delete(claimed);
      }
    }
  }

  releaseClaims(containerId: string, process: ProcessIdentity): void {
    for (const rootfs of this.#inTree(containerId)) {
      if (rootfs.claim === process) this.#rootfses.set(rootfs.id, { ...rootfs, claim: undefined });
    }
    for (const [container, holder] of this.#destroyClaims) {
      if (holder === process && isInTree(container, containerId)) this.#destroyClaims.delete(container);
    }
  }

  get(containerId: string): ContainerRecord | undefined {
    const container = this.#containers.get(containerId);
    if (container === undefined) return undefined;
    const rootfses = this.#inTree(containerId).filter((rootfs) => rootfs.containerId === containerId);
    return { id: containerId, ...container, rootfses: rootfses.map(rootfsRecord) };
  }

  list(owner: string | undefined): ContainerRecord[] {
    return [...this.#containers.keys()]
      .sort(compare)
      .flatMap((id) => this.get(id) ?? [])
      .filter((container) => owner === undefined || container.owner === owner);
  }

  #inTree(top: string): StoredRootfs[] {
    return [...this.#rootfses.values()].filter((rootfs) => isInTree(rootfs.containerId, top));
  }

  #destroyersOf(containers: readonly string[]): ProcessIdentity[] {
    return containers.flatMap((container) => this.#destroyClaims.get(container) ?? []);
  }
}

/** Container ids are ASCII, so this is byte order. */
function compare(one: string, other: string): number {
  return one < other ? -1 : Number(one > other);
}

/** A copy: nobody outside holds what this manager stores. */
function rootfsRecord(rootfs: StoredRootfs): RootfsRecord {
  const { claim: _, ...record } = rootfs;
  return { ...record, layers: [...record.layers] };
}
