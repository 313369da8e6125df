import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Backend, rootAttributesOf, type StackedLayer } from '../backends/backend.js';
import type { BackendChoice, Backends } from '../backends/backends.js';
import { requireKeptInMemory } from '../backends/memory-place.js';
import { crashPoint } from '../base/crash-points.js';
import { fileError, isProvisionerError, throwIfAborted } from '../base/errors.js';
import type { ProvisionerEmitter } from '../events.js';
import type { ContainerRecord, ImageRecord, MetadataManager, RootfsSummary } from '../metadata/metadata-manager.js';
import { containerForeign, containerRunning } from '../metadata/record-errors.js';
import type { StorePaths } from '../paths.js';
import { ContainerLocks } from '../system/locks/container-locks.js';
import type { Liveness } from '../system/locks/liveness.js';
import { type MountNamespace, type MountPlace, mountNamespaceHere } from '../system/locks/mount-place.js';
import { pidOf } from '../system/locks/process-identity.js';
import type { StoreLock } from '../system/locks/store-lock.js';
import type { DestroyOptions, NewRootfsOptions } from './container-options.js';
import { countOutcome, DESTROYED, MADE, type Outcome } from './count-outcome.js';
import { destroyUnrecorded } from './destroy-unrecorded.js';
import type { Holders } from './holders.js';
import { layersGone, tellingLostLayers } from './lost-layers.js';
import { MakerWait, type MakerWaitOptions } from './maker-wait.js';
import { layersToShow } from './rootfses/empty-layer.js';
import type { RootfsDirectories } from './rootfses/rootfs-directories.js';
import type { RootfsPlace } from './rootfses/rootfs-place.js';
import { type PlacedRootfs, RootfsRemover } from './rootfses/rootfs-remover.js';
import type { FoundRootfs } from './rootfses/rootfses-on-disk.js';

export interface ContainersNeeds {
  readonly paths: StorePaths;
  readonly metadata: MetadataManager;
  readonly backends: Backends;
  readonly directories: RootfsDirectories;
  /** Guards which directories under `layers/` may disappear: docs/architecture.md, "Locks", says who takes it. */
  readonly storeLock: StoreLock;
  readonly owner: string;
  readonly liveness: Liveness;
  /** Those that run something in containers. */
  readonly holders: Holders;
  /** How long a container that another process is making is waited for. */
  readonly makerWaits: MakerWaitOptions;
  /** Returns when all that was written to the store's file system would survive a power cut. */
  readonly sync: () => Promise<void>;
  readonly events: Pick<ProvisionerEmitter, 'count'>;
}

export interface MadeRootfs {
  readonly image: ImageRecord;
  /** Absolute. */
  readonly rootfs: string;
  readonly rootfsId: string;
  readonly backend: string;
}

interface Removed {
  /** How many rootfses were recorded until now. */
  readonly forgotten: number;
  /** Whether it is known that nothing is left of the container whose rootfs was the last one. */
  readonly clearedLast: boolean;
}

const NOTHING_REMOVED: Removed = { forgotten: 0, clearedLast: false };

/** How long to wait before asking again for a container that another process works on, in milliseconds. */
const MAKER_POLL = [2, 5, 10, 20, 50] as const;
/** How often an image is found again that a prune took between finding it and using it. */
const FIND_ATTEMPTS = 3;

/**
 * Provisions and destroys the rootfses of containers.
 *
 *   provision by a mount:   lock shared [ directories ──► mount ──► record `ready` ]
 *   provision by a copy:    lock shared [ record `provisioning` ] ──► directories ──► copy ──► sync ──► record `ready`
 *   destroy:                lock shared [ has its launch ended? ──► let go ──► remove directories ──► forget ]
 *
 * What a crash leaves between two steps tells how far it came: directories without a record are a mount that was never reported; a record
 * without its rootfs directory is a destroy that was under way; a `provisioning` record whose maker is dead is half a copy. The next
 * recovery, or destroy, puts it right.
 *
 * The lock keeps the layers until the record does. It also parts a destroy from whoever launches something in a rootfs that is there already: he records the launch, and then
 * waits until he has had the lock alone. A destroy that had looked before has ended by then; one that looks later finds the launch.
 *
 * A container belongs to the owner of its rootfses; one that is nested in it, to whoever made that. Whether another one may add to it is decided in the
 * transaction that records the rootfs; whether it may be destroyed, by the records of just those rootfses that then go: a rootfs never changes its owner.
 */
export class Containers {
  readonly #needs: ContainersNeeds;
  readonly #locks = new ContainerLocks();
  readonly #here: MountNamespace = mountNamespaceHere();
  readonly #remover: RootfsRemover;
  /** Provisions and destroys under way. */
  #atWork = 0;

  constructor(needs: ContainersNeeds) {
    this.#needs = needs;
    this.#remover = new RootfsRemover(needs.backends, needs.directories, this.#here);
  }

  /** @param findImage called when it is this call's turn, so that a destroy that comes after waits for all of it; it calls `beforePull` before it pulls */
  async provision(
    containerId: string,
    findImage: (beforePull: () => Promise<void>) => Promise<ImageRecord>,
    choice: BackendChoice,
    options: NewRootfsOptions,
  ): Promise<MadeRootfs> {
    return this.#withContainer(
      MADE,
      containerId,
      async () => {
        const backend = this.#needs.backends.choose(choice);
        if (options.inMemoryBytes !== undefined) requireKeptInMemory(backend);
        for (let attempt = 1; ; attempt++) {
          // Before an image is pulled for nothing. What counts is asked when the rootfs is recorded.
          const image = await findImage(async () => {
            if (!options.anyOwner) await this.#requireOwner(containerId);
          });
          const place = { id: randomUUID(), containerId, backend: backend.name };
          this.#needs.directories.requireOwn(place);
          try {
            await (backend.mounts
              ? this.#mount(place, image, backend, options)
              : this.#copy(place, image, backend, options));
            return { image, rootfs: this.#needs.directories.rootfs(place), rootfsId: place.id, backend: backend.name };
          } catch (error) {
            const pruned = isProvisionerError(error, 'ERR_IMAGE_NOT_FOUND', 'ERR_LAYER_NOT_FOUND');
            if (!pruned || attempt === FIND_ATTEMPTS) throw error;
          }
        }
      },
      options.signal,
    );
  }

  /** @returns false when there is no such container @throws ProvisionerError `ERR_CONTAINER_FOREIGN`, `ERR_CONTAINER_RUNNING`, `ERR_CONTAINER_ELSEWHERE` */
  async destroy(containerId: string, { signal, anyOwner, running, rootfsIds }: DestroyOptions): Promise<boolean> {
    return this.#withContainer(
      DESTROYED,
      containerId,
      async () => {
        const all = await this.#made(containerId, anyOwner ?? false, signal);
        const rootfses = rootfsIds === undefined ? all : all.filter(({ id }) => rootfsIds.includes(id));
        const ids = [...rootfses.map((rootfs) => rootfs.containerId), containerId];
        await this.#needs.holders.release(ids, running ?? 'refuse', signal);
        // When several destroy it at once, each does all of it, and one says so.
        const requireEnded = () => this.#requireEnded(containerId);
        const { forgotten, clearedLast } = await this.#removeShared(rootfses, requireEnded, signal);
        const isCleared = clearedLast && rootfses.at(-1)?.containerId === containerId;
        if (isCleared || rootfsIds !== undefined) return forgotten > 0;
        const takeApart = (rootfs: FoundRootfs) => this.takeApart(rootfs);
        const unrecorded = { containerId, running: running ?? 'refuse', takeApart, signal } as const;
        return (await destroyUnrecorded(this.#needs, unrecorded)) || forgotten > 0;
      },
      signal,
    );
  }

  /**
   * Destroys the rootfses of a container that were seen, as far as they are recorded still; those nested in it may be another owner's, and those made since are
   * somebody's who goes on. @returns false when there were none @throws ProvisionerError `ERR_CONTAINER_RUNNING`
   */
  async destroyAlone({ id, rootfses: seen }: ContainerRecord, signal: AbortSignal | undefined): Promise<boolean> {
    return this.#withContainer(
      DESTROYED,
      id,
      async () => {
        this.#needs.metadata.requireInPlace();
        await this.#needs.holders.release([id], 'refuse', signal);
        const rootfses = await this.#needs.metadata.rootfsesIn(id);
        const { owner } = this.#needs;
        const wasSeen = (rootfs: RootfsSummary) => seen.some((other) => other.id === rootfs.id);
        const own = rootfses.filter((one) => one.containerId === id && one.owner === owner && wasSeen(one));
        return (await this.#removeShared(own, () => this.#requireEnded(id, id), signal)).forgotten > 0;
      },
      signal,
    );
  }

  /**
   * Does work when it is the turn of a container: then no provision or destroy of it, of one that it is nested in, or of one nested in it, is under way in this
   * provisioner. One that is called from within waits for ever.
   */
  inTurn<T>(containerId: string, work: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    return this.#locks.withContainer(containerId, work, signal);
  }

  /**
   * Takes rootfses apart and forgets them, in the order given. One that cannot be taken apart does not stop the others; it stays recorded. With the lock
   * shared, so that no recovery mounts one of them again in between.
   * @param requireEnded throws when something has been launched in them that has not ended
   * @throws for the first that could not be taken apart
   */
  async #removeShared(
    rootfses: readonly RootfsSummary[],
    requireEnded: () => Promise<void>,
    signal: AbortSignal | undefined,
  ): Promise<Removed> {
    if (rootfses.length === 0) {
      await requireEnded();
      return NOTHING_REMOVED;
    }
    // Shared until it is forgotten: a recovery must neither mount it again nor take it for a destroy that a crash cut short.
    const removed = await this.#needs.storeLock.withShared(async () => {
      await requireEnded();
      return this.#remove(rootfses);
    }, signal);
    crashPoint('destroy.forgotten');
    return removed;
  }

  /**
   * Removes what a crash left half made or half destroyed. Call it with the lock held alone, so nobody is at it.
   * @param isHalf asked of its record as it is then @returns false when it is not half any more
   */
  async removeHalf({ containerId, id }: RootfsSummary, isHalf: (rootfs: RootfsSummary) => boolean): Promise<boolean> {
    const { metadata } = this.#needs;
    metadata.requireInPlace();
    const rootfs = (await metadata.rootfsesIn(containerId)).find((other) => other.id === id);
    return rootfs !== undefined && isHalf(rootfs) && (await this.#remove([rootfs])).forgotten > 0;
  }

  async #remove(rootfses: readonly RootfsSummary[]): Promise<Removed> {
    const { metadata, paths } = this.#needs;
    const gone: RootfsSummary[] = [];
    let clearedLast = false;
    let first: { readonly error: unknown; readonly containerId: string } | undefined;
    for (const rootfs of rootfses) {
      try {
        clearedLast = await this.takeApart(rootfs);
        gone.push(rootfs);
      } catch (error) {
        first ??= { error, containerId: rootfs.containerId };
      }
    }
    const forgotten = await metadata.forgetRootfses(gone);
    if (first !== undefined) throw fileError(first.error, 'destroy the container', paths.container(first.containerId));
    return { forgotten, clearedLast };
  }

  get #othersWait(): boolean {
    return this.#atWork > 1;
  }

  /** Where this provisioner mounts. */
  get #place(): MountPlace {
    return { ...this.#here, process: this.#needs.liveness.identity };
  }

  async #withContainer<T>(
    outcome: Outcome,
    containerId: string,
    work: () => Promise<T>,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    const ordered = () => this.#locks.withContainer(containerId, work, signal);
    this.#atWork++;
    try {
      return await countOutcome(this.#needs.events, outcome, ordered);
    } finally {
      this.#atWork--;
    }
  }

  async #mount(
    place: RootfsPlace,
    image: ImageRecord,
    backend: Backend,
    { signal, anyOwner, inMemoryBytes }: NewRootfsOptions,
  ): Promise<void> {
    const { metadata, owner, storeLock } = this.#needs;
    const mount = this.#place;
    await storeLock.withShared(async () => {
      const stack = await this.#stack(image);
      await this.#undoing({ ...place, mount }, async () => {
        await this.#make(place, stack, backend, { signal, inMemoryBytes });
        // The record reaches the disk by fsync, which on a file system with one journal takes along the directories that were made before.
        await metadata.putRootfs({ ...place, owner, anyOwner, image: image.id, mount });
      });
    }, signal);
    crashPoint('provision.finished');
  }

  async #copy(
    place: RootfsPlace,
    image: ImageRecord,
    backend: Backend,
    { signal, anyOwner }: NewRootfsOptions,
  ): Promise<void> {
    const { metadata, owner, storeLock, liveness, sync } = this.#needs;
    await liveness.during(async (maker) => {
      const stack = await storeLock.withShared(async () => {
        const layers = await this.#stack(image);
        await metadata.putRootfs({ ...place, owner, anyOwner, image: image.id }, maker.identity);
        return layers;
      }, signal);
      crashPoint('provision.recorded');
      await this.#undoing(place, async () => {
        await this.#make(place, stack, backend, { signal });
        await sync();
        crashPoint('provision.synced');
        await metadata.finishRootfs(place);
      });
    });
    crashPoint('provision.finished');
  }

  async #make(
    place: RootfsPlace,
    stack: readonly StackedLayer[],
    backend: Backend,
    { signal, inMemoryBytes }: Omit<NewRootfsOptions, 'anyOwner'>,
  ): Promise<void> {
    const { rootfs, scratch } = this.#needs.directories.create(place);
    crashPoint('provision.directoriesMade');
    const layers = layersToShow(stack, scratch);
    const request = {
      layers,
      rootAttributes: rootAttributesOf(layers),
      rootfs,
      scratch,
      inMemoryBytes,
      signal,
      aside: this.#othersWait,
    };
    await tellingLostLayers(layers, () => backend.provision(request));
    throwIfAborted(signal);
    crashPoint('provision.made');
  }

  async #undoing(place: PlacedRootfs, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      // Why it failed is what is told; what cannot be taken away now, the next destroy or recovery takes.
      await this.takeApart(place)
        .then(() => this.#needs.metadata.forgetRootfses([place]))
        .catch(() => {});
      throw fileError(error, 'provision the rootfs', this.#needs.directories.rootfs(place));
    }
  }

  /** As `RootfsRemover.takeApart`. */
  takeApart(rootfs: PlacedRootfs): Promise<boolean> {
    return this.#remover.takeApart(rootfs, this.#othersWait);
  }

  /** As `RootfsRemover.possibleUse`. */
  possibleUse(rootfs: FoundRootfs): string | undefined {
    return this.#remover.possibleUse(rootfs);
  }

  /** The layers of an image with what the records say of them, bottom first. */
  async #stack(image: ImageRecord): Promise<StackedLayer[]> {
    const { metadata, paths } = this.#needs;
    const stack = await metadata.getStack(image.id);
    if (stack.length === image.layers.length) {
      return stack.map((layer) => ({ ...layer, rootfs: paths.layerRootfs(layer.id) }));
    }
    throw layersGone(image.id, image.source);
  }

  async #requireOwner(containerId: string): Promise<void> {
    const { metadata, owner } = this.#needs;
    const recorded = await metadata.containerOwner(containerId);
    if (recorded !== undefined && recorded !== owner) throw containerForeign(containerId, recorded);
  }

  /**
   * Whoever runs it, in whatever process, and be it dead: only what runs containers knows whether it has ended.
   * @param only the id of the one container that it is about. Default: the container and all nested in it
   * @throws ProvisionerError `ERR_CONTAINER_RUNNING`
   */
  async #requireEnded(containerId: string, only?: string): Promise<void> {
    const unended = await this.#needs.metadata.unendedLaunches(containerId);
    const launch = unended.find((one) => only === undefined || one.containerId === only);
    if (launch !== undefined) throw containerRunning(launch);
  }

  /**
   * What is recorded in the tree of a container, once no living process is making a part of it any more.
   * @throws ProvisionerError `ERR_CONTAINER_FOREIGN` when a part of it is another owner's, unless that does not matter
   */
  async #made(containerId: string, anyOwner: boolean, signal: AbortSignal | undefined): Promise<RootfsSummary[]> {
    const { metadata, liveness, owner, makerWaits } = this.#needs;
    // What this provisioner has under way comes before or after, by the container's own lock; what has failed is not alive any more.
    const isBeingMade = ({ maker }: RootfsSummary) => maker !== undefined && liveness.isAlive(maker);
    const wait = new MakerWait(containerId, makerWaits);
    for (let attempt = 0; ; attempt++) {
      throwIfAborted(signal);
      const rootfses = await metadata.rootfsesIn(containerId);
      // The container itself rather than one in it: children come first.
      const foreign = anyOwner ? undefined : rootfses.findLast((rootfs) => rootfs.owner !== owner);
      if (foreign !== undefined) throw containerForeign(foreign.containerId, foreign.owner);
      const { maker } = rootfses.find(isBeingMade) ?? {};
      if (maker === undefined) return rootfses;
      wait.goOn(pidOf(maker));
      await sleep(MAKER_POLL[Math.min(attempt, MAKER_POLL.length - 1)]);
      metadata.requireInPlace();
    }
  }
}
