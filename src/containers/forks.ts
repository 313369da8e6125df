import { randomUUID } from 'node:crypto';
import { lstatSync, mkdirSync } from 'node:fs';
import { type Backend, rootAttributesOf, type StackedLayer } from '../backends/backend.js';
import type { Backends } from '../backends/backends.js';
import { copyOnThreads } from '../backends/copy-on-threads.js';
import { isInMemory, isMemoryGone, keptIn, memoryUse } from '../backends/memory-place.js';
import { crashPoint } from '../base/crash-points.js';
import { fileError, isProvisionerError, ProvisionerError, throwIfAborted } from '../base/errors.js';
import type { ProvisionerEmitter } from '../events.js';
import { hasFewEntries } from '../files/tree/removal/has-few-entries.js';
import type { WhiteoutFormat } from '../files/tree/whiteouts.js';
import type { ImageId } from '../image/digest.js';
import type { MetadataManager, RootfsRecord } from '../metadata/metadata-manager.js';
import { anonymousVolumes, type StorePaths } from '../paths.js';
import type { Liveness } from '../system/locks/liveness.js';
import { type MountNamespace, mountNamespaceHere } from '../system/locks/mount-place.js';
import type { StoreLock } from '../system/locks/store-lock.js';
import type { WorkerPool } from '../workers/worker-pool.js';
import type { ForkOptions } from './container-options.js';
import type { Containers } from './containers.js';
import { countOutcome, MADE } from './count-outcome.js';
import { layersGone, tellingLostLayers } from './lost-layers.js';
import { layersToShow } from './rootfses/empty-layer.js';
import type { RootfsDirectories } from './rootfses/rootfs-directories.js';
import type { RootfsPlace } from './rootfses/rootfs-place.js';
import type { PlacedRootfs } from './rootfses/rootfs-remover.js';

/** A root filesystem that began as what another one was. */
export interface ForkedRootfs {
  readonly containerId: string;
  readonly rootfsId: string;
  /** Absolute. */
  readonly rootfs: string;
  readonly backend: string;
  /** That of the other one; it may not be stored any more. */
  readonly imageId: ImageId;
}

export interface ForksNeeds {
  readonly paths: StorePaths;
  readonly metadata: MetadataManager;
  readonly backends: Backends;
  readonly directories: RootfsDirectories;
  readonly storeLock: StoreLock;
  readonly owner: string;
  readonly liveness: Liveness;
  readonly containers: Pick<Containers, 'inTurn' | 'takeApart'>;
  readonly pool: WorkerPool;
  readonly whiteouts: WhiteoutFormat;
  readonly privileged: boolean;
  /** Returns when all that was written to the store's file system would survive a power cut. */
  readonly sync: () => Promise<void>;
  readonly events: Pick<ProvisionerEmitter, 'count'>;
}

/** Of so few entries a second thread makes no copy faster. */
const FOR_ONE_THREAD = 500;

/**
 * Makes containers whose root filesystem is what another container's is now.
 *
 *   lock shared [ record `provisioning`, with the maker, and the stack of the other one ] ──► directories ──► copy of what was written ──► is the other one there still? ──► sync ──► mount ──► record `ready`
 *
 * From the record on the layers are kept, and whatever a crash leaves is half a copy, which the next recovery or destroy takes away. The one that is copied is not held: whoever destroys it meanwhile has his way,
 * and the copy, which may lack what was deleted, is given up. He renames before he deletes, so a directory that is in its place after the copy was whole all the while.
 */
export class Forks {
  readonly #needs: ForksNeeds;
  readonly #here: MountNamespace = mountNamespaceHere();

  constructor(needs: ForksNeeds) {
    this.#needs = needs;
  }

  /** @throws ProvisionerError `ERR_CONTAINER_NOT_FOUND`, `ERR_CONTAINER_EXISTS`, `ERR_ROOTFS_UNAVAILABLE`, `ERR_LAYER_NOT_FOUND`, `ERR_NO_SPACE`, `ERR_ABORTED`, and as the backend mounts */
  async fork(containerId: string, newId: string, options: ForkOptions): Promise<ForkedRootfs> {
    const { containers, events } = this.#needs;
    const inTurn = () => containers.inTurn(newId, () => this.#fork(containerId, newId, options), options.signal);
    return countOutcome(events, MADE, inTurn);
  }

  async #fork(
    containerId: string,
    newId: string,
    { rootfsId, whileCopied, changing = false, signal }: ForkOptions,
  ): Promise<ForkedRootfs> {
    const { metadata, owner, storeLock, liveness, directories, backends, sync } = this.#needs;
    const source = await this.#source(containerId, rootfsId);
    const backend = backends.choose(source.backend as Backend['name']);
    const place: RootfsPlace = { id: randomUUID(), containerId: newId, backend: source.backend };
    directories.requireOwn(place);
    const mount = backend.mounts ? { ...this.#here, process: liveness.identity } : undefined;
    await liveness.during(async (maker) => {
      await storeLock.withShared(async () => {
        const forked = { containerId: newId, id: place.id, owner, mount };
        if (!(await metadata.forkRootfs(source, forked, maker.identity))) throw destroyedMeanwhile(containerId);
      }, signal);
      crashPoint('fork.recorded');
      try {
        const copy = () => this.#copy(source, place, backend, { changing, signal });
        if (whileCopied === undefined) await copy();
        else {
          // What it has written so far reaches the disk while it runs still, on a thread that is there then.
          await sync();
          await whileCopied(copy);
        }
        crashPoint('fork.copied');
        await sync();
        crashPoint('fork.synced');
        await this.#mount(source, place, backend, signal);
        crashPoint('fork.mounted');
        throwIfAborted(signal);
        await metadata.finishRootfs(place);
      } catch (error) {
        await this.#undo({ ...place, mount });
        throw fileError(error, `copy container ${containerId}`, directories.rootfs(place));
      }
    });
    crashPoint('fork.finished');
    const { id, backend: name } = place;
    return {
      containerId: newId,
      rootfsId: id,
      rootfs: directories.rootfs(place),
      backend: name,
      imageId: source.image,
    };
  }

  async #source(containerId: string, rootfsId: string | undefined): Promise<RootfsRecord> {
    const container = await this.#needs.metadata.getContainer(containerId);
    if (container === undefined) {
      throw new ProvisionerError('ERR_CONTAINER_NOT_FOUND', `there is no container ${containerId}`, {
        hint: '`provisioner ps` lists the containers',
        details: { containerId },
      });
    }
    const all = container.rootfses;
    const [rootfs, ...others] = rootfsId === undefined ? all : all.filter(({ id }) => id === rootfsId);
    if (rootfs === undefined) throw unavailable(containerId, 'it is not there any more', 'look at `provisioner ps`');
    if (others.length > 0)
      throw unavailable(containerId, `it has ${all.length} of them`, 'provision each image in a container of its own');
    if (rootfs.state !== 'ready')
      throw unavailable(containerId, 'it is being made, or was not made to its end', 'wait, or recover the store');
    if (!rootfs.complete) throw layersGone(rootfs.image, 'where it came from');
    return rootfs;
  }

  /** @throws ProvisionerError `ERR_CONTAINER_NOT_FOUND` when the other one has been destroyed meanwhile, and as `copyLayers` */
  async #copy(
    source: RootfsRecord,
    place: RootfsPlace,
    backend: Backend,
    how: Pick<ForkOptions, 'changing' | 'signal'>,
  ): Promise<void> {
    const { directories } = this.#needs;
    const from = { rootfs: directories.rootfs(source), scratch: directories.scratch(source) };
    const link = directories.symlinkTo(source);
    if (link !== undefined) throw unavailable(source.containerId, `${link} is a symlink`, 'put the directory back');
    if (isMemoryGone(from.scratch))
      throw unavailable(source.containerId, 'what was written to it was in memory, and is gone', 'launch it anew');
    const written = backend.writtenIn(from.rootfs, from.scratch);
    const places = written === undefined ? [from.scratch] : [written, from.scratch];
    const before = places.map(identityOf).join();
    const isInPlace = () => places.map(identityOf).join() === before && !before.includes(NOWHERE);
    const target = directories.create(place);
    try {
      // Of its own, and of the same size.
      backend.layOut(target.scratch, memoryUse(from.scratch)?.bytes);
      crashPoint('fork.directoriesMade');
      const own = backend.writtenIn(target.rootfs, target.scratch);
      if (written !== undefined && own !== undefined) await this.#copyTree(written, own, backend.mounts, how);
      // What a container has in volumes without a name is nobody else's.
      const volumes = anonymousVolumes(keptIn(from.scratch));
      if (identityOf(volumes) !== NOWHERE) {
        const ownVolumes = anonymousVolumes(keptIn(target.scratch));
        mkdirSync(ownVolumes);
        await this.#copyTree(volumes, ownVolumes, backend.mounts, how);
      }
    } catch (error) {
      if (!isInPlace()) throw destroyedMeanwhile(source.containerId);
      const full = isInMemory(target.scratch) && isProvisionerError(fileError(error, 'copy', '/'), 'ERR_NO_SPACE');
      throw full ? noRoom(source.containerId, error) : error;
    }
    if (!isInPlace()) throw destroyedMeanwhile(source.containerId);
  }

  /** @param isWhole whether it must lack nothing */
  async #copyTree(
    from: string,
    target: string,
    isWhole: boolean,
    { changing = false, signal }: Pick<ForkOptions, 'changing' | 'signal'>,
  ): Promise<void> {
    const { pool, whiteouts, privileged } = this.#needs;
    const threads = changing || hasFewEntries(from, FOR_ONE_THREAD) ? 1 : pool.size;
    const job = { layers: [from], target, whiteouts, privileged, asIs: true, changing };
    const shares = await copyOnThreads(pool, job, threads, signal);
    if (!isWhole || shares.every(({ skipped }) => skipped.owners + skipped.devices + skipped.xattrs === 0)) return;
    // What is gone would be there again, and what was somebody's would be another's.
    throw new ProvisionerError('ERR_PERMISSION', `owners, devices or attributes of ${from} cannot be copied here`, {
      hint: 'do it as the user who has made the store, with the capabilities of root',
      details: { path: from },
    });
  }

  async #mount(
    source: RootfsRecord,
    place: RootfsPlace,
    backend: Backend,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { metadata, paths, directories } = this.#needs;
    const stack: StackedLayer[] = [];
    for (const id of source.layers) {
      const layer = await metadata.getLayer(id);
      if (layer === undefined) throw layersGone(source.image, 'where it came from');
      stack.push({ ...layer, rootfs: paths.layerRootfs(id) });
    }
    const places = { rootfs: directories.rootfs(place), scratch: directories.scratch(place) };
    const layers = layersToShow(stack, places.scratch);
    const request = { layers, rootAttributes: rootAttributesOf(layers), ...places, signal, aside: true };
    await tellingLostLayers(layers, () => backend.restore(request));
  }

  /** Why it failed is what is told; what cannot be taken away now, the next destroy or recovery takes. */
  async #undo(place: PlacedRootfs): Promise<void> {
    const { containers, metadata } = this.#needs;
    try {
      await containers.takeApart(place);
      await metadata.forgetRootfses([place]);
    } catch {}
  }
}

/** Stands for a directory that is not there. */
const NOWHERE = '-';

function identityOf(path: string): string {
  const status = lstatSync(path, { throwIfNoEntry: false });
  return status === undefined ? NOWHERE : `${status.dev}:${status.ino}`;
}

function unavailable(containerId: string, why: string, hint: string): ProvisionerError {
  return new ProvisionerError(
    'ERR_ROOTFS_UNAVAILABLE',
    `the root filesystem of container ${containerId} cannot be copied: ${why}`,
    { hint, details: { containerId } },
  );
}

function noRoom(containerId: string, cause: unknown): ProvisionerError {
  return new ProvisionerError(
    'ERR_NO_SPACE',
    `container ${containerId} cannot be copied: a copy takes more than it may have in memory`,
    {
      cause,
      hint: 'give it more (`provisioner update --storage-opt size=…`), or have nothing write there meanwhile, then copy it again',
      details: { containerId },
    },
  );
}

function destroyedMeanwhile(containerId: string): ProvisionerError {
  return new ProvisionerError('ERR_CONTAINER_NOT_FOUND', `container ${containerId} was destroyed while it was copied`, {
    hint: 'copy one that stays',
    details: { containerId },
  });
}
