import { readdirSync } from 'node:fs';
import type { Readable } from 'node:stream';
import type { Backend } from '../backends/backend.js';
import { type BackendReport, Backends } from '../backends/backends.js';
import { BindBackend } from '../backends/bind-backend.js';
import { CopyBackend } from '../backends/copy-backend.js';
import { OverlayBackend } from '../backends/overlay-backend.js';
import { DEFAULT_PULL_COOL_DOWN, DEFAULT_PULL_LIMITS, defaultWorkers } from '../config.js';
import { crashPoint } from '../crash-points.js';
import { fileError, ProvisionerError, systemCode } from '../errors.js';
import { ProvisionerEmitter } from '../events.js';
import type { ImageId } from '../image/digest.js';
import { type ImageConfig, type RuntimeConfig, runtimeConfig } from '../image/image-config.js';
import { newIdentity } from '../locks/process-identity.js';
import { StoreLock, type StoreLockState } from '../locks/store-lock.js';
import type { ContainerRecord, ImageRecord, ImageSummary, MetadataManager } from '../metadata/metadata-manager.js';
import { defaultRoot, StorePaths } from '../paths.js';
import { checkPlan, type PrunePlan } from '../prune/plan.js';
import { type PruneOptions, type PruneReport, Pruner } from '../prune/pruner.js';
import { type Explanation, explain } from '../prune/why.js';
import { checkRegistryOptions } from '../registry/registry-options.js';
import type { Availability, PullUnderWay } from '../store/availability.js';
import { DiskSync } from '../store/disk-sync.js';
import { ImageStore, type PulledImage } from '../store/image-store.js';
import { Reserve } from '../store/reserve.js';
import { openStoreDirectory, type StoreFormat } from '../store/store-format.js';
import { type ParkedEntry, Sweeper } from '../store/sweeper.js';
import { loadSyscalls } from '../syscalls/load-syscalls.js';
import type { LockFile } from '../syscalls/lock-file.js';
import { WorkerPool } from '../workers/worker-pool.js';
import { checkContainerId } from './container-id.js';
import { Containers } from './containers.js';
import { ImageRequests, imageName, tryImageName, wantedPlatform } from './image-requests.js';
import { openRecords } from './open-records.js';
import type { ImageRequestOptions, ProvisionerOptions, ProvisionOptions, PullImageOptions } from './options.js';
import { type RecoverOptions, Recovery, type RecoveryReport } from './recovery.js';
import { RootfsDirectories } from './rootfs-directories.js';
import { rootfsesOnDisk } from './rootfses-on-disk.js';

/** A root filesystem, and what its image says about running it. */
export interface ProvisionedRootfs {
  readonly containerId: string;
  readonly rootfsId: string;
  /** Absolute. */
  readonly rootfs: string;
  readonly backend: string;
  readonly image: ImageRecord;
  readonly runtime: RuntimeConfig;
}

/** A container and where its rootfses are. */
export interface ContainerInfo extends Omit<ContainerRecord, 'rootfses'> {
  readonly rootfses: readonly (ContainerRecord['rootfses'][number] & { readonly rootfs: string })[];
}

export interface StoreInfo {
  readonly root: string;
  readonly format: StoreFormat;
  readonly owner: string;
  /** `native` with koffi on Linux. */
  readonly syscalls: 'native' | 'native-free';
  readonly workers: number;
  readonly backends: readonly BackendReport[];
  readonly images: number;
  readonly layers: number;
  readonly containers: number;
  /** Who is at the lock just now. */
  readonly lock: StoreLockState;
  /** What waits in `gc/` to be deleted; `parked` is what this process tried to delete and could not. */
  readonly gc: { readonly entries: number; readonly parked: readonly ParkedEntry[] };
}

interface Parts {
  /**
   * `storeLock` guards which directories under `layers/` may disappear. Shared by provision until it has recorded which layers it needs; held
   * alone by prune until its renames into `gc/` are done. Nothing that is called with it held asks for it again.
   * Order: a container's own lock, then this one, then a metadata transaction.
   */
  readonly paths: StorePaths;
  readonly format: StoreFormat;
  readonly owner: string;
  readonly options: ProvisionerOptions;
  readonly metadata: MetadataManager;
  readonly pool: WorkerPool;
  readonly events: ProvisionerEmitter;
  readonly reserve: Reserve;
  readonly storeLock: StoreLock;
}

/**
 * Turns container images into root filesystems, in this process, on a store that other processes may use at the same time.
 *
 *   const p = await Provisioner.open({ root });
 *   await p.pull('oci:/images/app', { name: 'app:v2' });
 *   const { rootfs, runtime } = await p.provision('job-1', 'app:v2');
 *   await p.destroy('job-1');
 *   await p.close();
 *
 * Instances share nothing, so several may live side by side. Nothing is printed; `events` tells what goes on.
 */
export class Provisioner {
  /** Progress and warnings. */
  readonly events: ProvisionerEmitter;
  /** The store's directory, absolute. */
  readonly root: string;

  readonly #parts: Parts;
  readonly #sweeper: Sweeper;
  readonly #images: ImageStore;
  readonly #requests: ImageRequests;
  readonly #containers: Containers;
  readonly #directories: RootfsDirectories;
  readonly #backends: Backends;
  readonly #pruner: Pruner;
  readonly #recovery: Recovery;
  readonly #running = new Set<Promise<unknown>>();
  #closing: Promise<void> | undefined;

  /**
   * Opens a store, making it when there is none.
   * @throws ProvisionerError `ERR_STORE_FORMAT`, `ERR_STORE_DAMAGED`, `ERR_NATIVE_MISSING`, `ERR_PERMISSION`, `ERR_BAD_OPTION`, `ERR_IO`
   */
  static async open(options: ProvisionerOptions = {}): Promise<Provisioner> {
    const { workers = defaultWorkers(), owner = 'default' } = options;
    if (!Number.isInteger(workers) || workers < 1 || workers > 64) {
      throw new ProvisionerError('ERR_BAD_OPTION', `workers must be 1 to 64, not ${workers}`);
    }
    if (owner === '' || owner.length > 255) {
      throw new ProvisionerError('ERR_BAD_OPTION', 'an owner is a text of 1 to 255 characters');
    }
    checkRegistryOptions(options.registry ?? {});
    const paths = new StorePaths(options.root ?? defaultRoot());
    const format = openStoreDirectory(paths, loadSyscalls);
    const reserve = new Reserve(paths);
    const records = options.records ?? 'sqlite';
    const metadata = await reserve.freeing(() => openRecords(paths, records, options.unsafeNoSync !== true));
    if (records === 'sqlite') reserve.ensure();
    const events = new ProvisionerEmitter();
    const storeLock = new StoreLock(openLockFile(paths, records), { onLongWait: warnOfWait(events) });
    const pool = new WorkerPool(workers);
    return new Provisioner({ paths, format, owner, options, metadata, pool, events, reserve, storeLock });
  }

  private constructor(parts: Parts) {
    const { paths, format, owner, options, metadata, pool, events, storeLock } = parts;
    const privileged = format.whiteouts !== 'plain' && process.geteuid?.() === 0;
    const { whiteouts } = format;
    this.#parts = parts;
    this.events = events;
    this.root = paths.root;
    const sweeper = new Sweeper(paths, events);
    const disk = new DiskSync(paths.staging, pool, options.unsafeNoSync !== true);
    const directories = new RootfsDirectories(paths, sweeper);
    const backends: readonly Backend[] = [
      new OverlayBackend(loadSyscalls, whiteouts),
      new CopyBackend({ syscalls: loadSyscalls, pool, whiteouts, privileged }),
      new BindBackend(loadSyscalls),
    ];
    const identity = newIdentity();
    const limits = { ...DEFAULT_PULL_LIMITS, ...options.limits };
    const coolDown = options.pullCoolDown ?? DEFAULT_PULL_COOL_DOWN;
    const store = { paths, metadata, sweeper, storeLock, directories, owner, identity };
    this.#sweeper = sweeper;
    this.#directories = directories;
    this.#backends = new Backends(backends, paths.staging);
    this.#images = new ImageStore({ ...store, pool, disk, events, whiteouts, privileged, limits, coolDown });
    this.#requests = new ImageRequests(this.#images, options.registry);
    this.#containers = new Containers({ ...store, backends: this.#backends, sync: () => disk.all() });
    this.#pruner = new Pruner({ ...store, isShared: options.records !== 'memory' });
    this.#recovery = new Recovery({ ...store, syscalls: loadSyscalls, containers: this.#containers });
  }

  /** Gets one image and stores it. @param source such as `app:v1`, `docker://registry.example/app:v1`, `oci:DIR`, `docker-archive:FILE` */
  async pull(source: string, options: PullImageOptions = {}): Promise<PulledImage> {
    this.#checkOpen();
    return this.#requests.pull(source, options);
  }

  /**
   * What is known of an image at once, without asking its source: whether it is stored, being pulled by any process, has failed of late, or is missing.
   * (`image` gives a stored image and throws when there is none.)
   * @param source as for `pull`
   */
  async availability(source: string, options: ImageRequestOptions = {}): Promise<Availability> {
    this.#checkOpen();
    return this.#requests.availability(source, options);
  }

  /**
   * Sees to it that an image will be stored, and says at once how that stands: what is missing is pulled in the background. A pull that failed is
   * repeated by the first request after `pullCoolDown`, or by one that forces it. `close` gives up what nobody waits for.
   * @param source as for `pull`
   */
  async request(source: string, options: ImageRequestOptions = {}): Promise<Availability> {
    this.#checkOpen();
    return this.#requests.request(source, options);
  }

  /** The pulls under way, of all processes that use this store, oldest first; what they tell is at most a second old. */
  async pulls(): Promise<PullUnderWay[]> {
    this.#checkOpen();
    return this.#images.pulls();
  }

  /** Stores all images of a `docker save` or OCI archive. @param input a file's path, or a stream of it */
  async load(input: string | Readable, options: PullImageOptions = {}): Promise<PulledImage[]> {
    this.#checkOpen();
    const archive =
      typeof input === 'string'
        ? ({ kind: 'file', path: input } as const)
        : ({ kind: 'stream', stream: input } as const);
    return this.#images.load(archive, {
      platform: wantedPlatform(options.platform),
      names: options.name === undefined ? undefined : [imageName(options.name)],
      signal: options.signal,
    });
  }

  /** All stored images, newest first, without their documents; `image` has those. */
  async images(): Promise<ImageSummary[]> {
    this.#checkOpen();
    return this.#parts.metadata.listImages();
  }

  /** One stored image. @param image a name, a digest, or the first digits of one @throws `ERR_IMAGE_NOT_FOUND`, `ERR_IMAGE_AMBIGUOUS` */
  async image(image: string): Promise<ImageRecord> {
    this.#checkOpen();
    return this.#images.find(image);
  }

  /** Gives an image one more name. @returns the name, normalised @throws `ERR_IMAGE_NOT_FOUND`, `ERR_BAD_REFERENCE` */
  async tag(image: string, name: string): Promise<string> {
    this.#checkOpen();
    const normalised = imageName(name);
    await this.#parts.metadata.addName(normalised, (await this.#images.find(image)).id);
    crashPoint('tag.done');
    return normalised;
  }

  /**
   * Takes a name away; or, of an image given by digest, all its names. Its layers stay until a prune.
   * @returns the names taken @throws `ERR_IMAGE_NOT_FOUND`
   */
  async removeNames(image: string): Promise<string[]> {
    this.#checkOpen();
    const { metadata } = this.#parts;
    const found = await this.#images.find(image);
    const name = found.names.find((candidate) => candidate === tryImageName(image));
    const removed = name === undefined ? await metadata.removeNames(found.id) : [name];
    if (name !== undefined && !(await metadata.removeName(name))) return [];
    crashPoint('rmi.done');
    return removed;
  }

  /**
   * Makes a root filesystem for a container; another one, when the container has some already. A failed call leaves nothing.
   * @param containerId such as `job-1` or `pod/sidecar` @param image a stored image, or a source to pull
   */
  async provision(containerId: string, image: string, options: ProvisionOptions = {}): Promise<ProvisionedRootfs> {
    this.#checkOpen();
    checkContainerId(containerId);
    const backend = options.backend ?? this.#parts.options.backend ?? 'auto';
    const find = () => this.#requests.resolve(image, options);
    const made = await this.#track(this.#containers.provision(containerId, find, backend, options.signal));
    return { containerId, ...made, runtime: runtimeConfig(JSON.parse(made.image.config) as ImageConfig) };
  }

  /** Removes a container's rootfses, those of nested containers first. @returns false when there is no such container */
  async destroy(containerId: string, options: { readonly signal?: AbortSignal } = {}): Promise<boolean> {
    this.#checkOpen();
    checkContainerId(containerId);
    return this.#freeing(() => this.#containers.destroy(containerId, options.signal));
  }

  /** Keeps an image from every prune, or no longer. @returns its id @throws `ERR_IMAGE_NOT_FOUND` */
  async setPinned(image: string, pinned: boolean): Promise<ImageId> {
    this.#checkOpen();
    const { id } = await this.#images.find(image);
    await this.#parts.metadata.setPinned(id, pinned);
    return id;
  }

  /**
   * Removes the images that nobody keeps and the layers that then nobody needs. Kept are excluded and pinned images, those that containers of any owner
   * are made of, those that the policy keeps, and what pulls under way need. Resolves when it is decided and out of sight; the sweep that gives
   * the space back goes on (see `swept`).
   * @param excludedImages names, digests, or patterns such as `ghcr.io/me/*`; those of images that are not stored are no error
   * @throws `ERR_BAD_REFERENCE`, `ERR_CONTAINER_UNTRUSTED`, `ERR_NATIVE_MISSING`
   */
  async pruneImages(excludedImages: readonly string[] = [], options: PruneOptions = {}): Promise<PruneReport> {
    this.#checkOpen();
    return this.#freeing(async () => {
      await this.#requireTrust();
      return this.#pruner.prune(excludedImages, options);
    });
  }

  /** Removes exactly what a dry run planned, or nothing. @throws `ERR_PLAN_OUTDATED`, and what `pruneImages` throws */
  async applyPrunePlan(plan: PrunePlan, options: { readonly signal?: AbortSignal } = {}): Promise<PruneReport> {
    this.#checkOpen();
    const checked = checkPlan(plan);
    return this.#freeing(async () => {
      await this.#requireTrust();
      return this.#pruner.apply(checked, options.signal);
    });
  }

  /** Resolves when everything that has been removed is deleted, or cannot be for now: what is left is in `info().gc`. */
  async swept(): Promise<void> {
    this.#checkOpen();
    await this.#sweeper.sweepAll();
    await this.#sweeper.idle();
  }

  /** What keeps an image or a layer. @param thing an image's name or id, a layer's id, or its first digits @throws `ERR_IMAGE_NOT_FOUND` */
  async why(thing: string): Promise<Explanation> {
    this.#checkOpen();
    return explain(thing, await this.#pruner.records(true), () => this.#images.find(thing));
  }

  /** Puts the store right after a crash or a reboot: see `RecoveryReport`. The sweep of what it retired goes on. */
  async recover(options: RecoverOptions = {}): Promise<RecoveryReport> {
    this.#checkOpen();
    for (const id of options.knownContainerIds ?? []) checkContainerId(id);
    return this.#freeing(() => this.#recovery.run(options));
  }

  /** The containers of all owners, or of one, sorted by id. */
  async containers(options: { readonly owner?: string } = {}): Promise<ContainerInfo[]> {
    this.#checkOpen();
    const containers = await this.#parts.metadata.listContainers(options.owner);
    return containers.map((container) => ({
      ...container,
      rootfses: container.rootfses.map((rootfs) => ({ ...rootfs, rootfs: this.#directories.rootfs(rootfs) })),
    }));
  }

  /** What this store is and what works here. Tries the backends. */
  async info(): Promise<StoreInfo> {
    this.#checkOpen();
    const { metadata, format, owner, pool, storeLock, paths } = this.#parts;
    return {
      root: this.root,
      format,
      owner,
      syscalls: loadSyscalls().kind,
      workers: pool.size,
      backends: this.#backends.report(),
      ...(await metadata.count()),
      lock: storeLock.state(),
      gc: { entries: readdirSync(paths.gc).length, parked: this.#sweeper.parked },
    };
  }

  /**
   * Waits for what is under way and lets go of everything. Containers stay as they are. Safe to call twice.
   * @param options.sweep `leave` what is not deleted yet to a later sweep. Default: `finish`
   */
  async close(options: { readonly sweep?: 'finish' | 'leave' } = {}): Promise<void> {
    this.#closing ??= this.#close(options.sweep ?? 'finish');
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(sweep: 'finish' | 'leave'): Promise<void> {
    await this.#requests.close();
    while (this.#running.size > 0) await Promise.allSettled(this.#running);
    await this.#images.close();
    if (sweep === 'finish') await this.#sweeper.idle();
    await this.#sweeper.close();
    await this.#parts.pool.close();
    await this.#parts.metadata.close();
    this.#parts.storeLock.close();
  }

  /** Prune decides by the records, so it stays away while these do not tell everything. */
  async #requireTrust(): Promise<void> {
    const { metadata, paths } = this.#parts;
    if (!(await metadata.areRecordsLost())) return;
    const mounted = (await rootfsesOnDisk(paths)).filter((rootfs) => rootfs.mounted);
    const names = [...new Set(mounted.map((rootfs) => rootfs.containerId))].sort();
    const whose = names.length === 0 ? '' : `, and containers may be in use that they do not name: ${names.join(', ')}`;
    throw new ProvisionerError('ERR_CONTAINER_UNTRUSTED', `the records of this store have been lost${whose}`, {
      hint:
        names.length === 0
          ? 'run `provisioner recover` first'
          : 'destroy the containers that are not in use, then run `provisioner recover`',
      details: { containers: names },
    });
  }

  /** Runs what frees space, on a full disk too. */
  async #freeing<T>(work: () => Promise<T>): Promise<T> {
    return this.#track(this.#parts.reserve.freeing(work));
  }

  /** Keeps `close` waiting for what is under way. */
  async #track<T>(operation: Promise<T>): Promise<T> {
    this.#running.add(operation);
    try {
      return await operation;
    } finally {
      this.#running.delete(operation);
    }
  }

  #checkOpen(): void {
    if (this.#closing !== undefined) throw new ProvisionerError('ERR_CLOSED', 'the provisioner has been closed');
  }
}

/** None in memory: there nobody else has the store open. None where the system has no such locks, which `prune` then says. */
function openLockFile(paths: StorePaths, records: 'sqlite' | 'memory'): LockFile | undefined {
  if (records === 'memory') return undefined;
  try {
    return loadSyscalls().openLockFile(paths.lock);
  } catch (error) {
    if (systemCode(error) === 'ENOTSUP') return undefined;
    throw fileError(error, 'open the lock', paths.lock);
  }
}

function warnOfWait(events: ProvisionerEmitter): (waited: number, state: StoreLockState) => void {
  return (waited, { writer, holders }) => {
    const seconds = Math.round(waited / 1000);
    const pids = holders.map((holder) => holder.pid).join(', ');
    const who = writer === undefined ? `processes ${pids}` : `process ${writer.pid} (${writer.purpose})`;
    events.emit('warning', {
      code: 'LOCK_WAIT',
      message: `waiting for ${seconds} s for the store's lock, which ${who} holds`,
      details: { waited, ...(writer ?? {}), holders: pids },
    });
  };
}
