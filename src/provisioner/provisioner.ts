import type { Readable } from 'node:stream';
import type { BackendChoice, BackendReport } from '../backends/backends.js';
import type { DiskUsage } from '../check/disk-usage.js';
import type { CheckReport } from '../check/findings.js';
import { crashPoint } from '../crash-points.js';
import { ProvisionerError } from '../errors.js';
import type { ProvisionerEmitter, ProvisionerEvents } from '../events.js';
import type { ImageId } from '../image/digest.js';
import { type ImageConfig, type RuntimeConfig, runtimeConfig } from '../image/image-config.js';
import { isalMissingReason, loadIsal } from '../isal/load-isal.js';
import type { StoreLockState } from '../locks/store-lock.js';
import type { ContainerRecord, ImageRecord, ImageSummary } from '../metadata/metadata-manager.js';
import type { PrunePlan } from '../prune/plan.js';
import type { PruneOptions, PruneReport } from '../prune/pruner.js';
import type { Explanation } from '../prune/why.js';
import { overridden } from '../registry/registry-options.js';
import type { Availability, PullUnderWay } from '../store/availability.js';
import type { Degradation } from '../store/fidelity.js';
import { findImage } from '../store/find-image.js';
import type { PulledImage } from '../store/image-store.js';
import type { StoreFormat } from '../store/store-format.js';
import type { ParkedEntry } from '../store/sweeper.js';
import { loadSyscalls, nativeMissingReason } from '../syscalls/load-syscalls.js';
import { readNames } from '../tree/read-names.js';
import { mapUnhurried } from '../unhurried.js';
import { zstdMissingReason } from '../zstd/load-zstd.js';
import { checkContainerId } from './container-id.js';
import type { MadeRootfs } from './containers.js';
import { imageName, tryImageName, wantedPlatform } from './image-names.js';
import type {
  CheckOptions,
  ImageRequestOptions,
  ProvisionerOptions,
  ProvisionOptions,
  PullImageOptions,
} from './options.js';
import { Parts } from './parts.js';
import type { RecoverOptions, RecoveryReport } from './recovery.js';

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
  /** Why they are not native. */
  readonly nativeMissing: string | undefined;
  /** What its layers lose though this machine could keep it; undefined for a store that is as good as it can be here. */
  readonly degradation: Degradation | undefined;
  /** What inflates gzip layers: ISA-L where the system has it, else Node's zlib. */
  readonly gzip: 'isal' | 'zlib';
  /** Why that is not ISA-L. */
  readonly isalMissing: string | undefined;
  /** What inflates zstd layers: libzstd where the system has it, else Node's own from 22.15 on, else JavaScript. */
  readonly zstd: 'libzstd' | 'node' | 'javascript';
  /** Why that is not libzstd. */
  readonly zstdMissing: string | undefined;
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
  readonly #running = new Set<Promise<unknown>>();
  #closing: Promise<void> | undefined;

  /**
   * Opens a store, making it when there is none. It must be this user's own: see `openRoot`. One that fails leaves nothing that it has made.
   * @throws ProvisionerError `ERR_STORE_FORMAT`, `ERR_STORE_DAMAGED`, `ERR_NATIVE_MISSING`, `ERR_PERMISSION`, `ERR_BAD_OPTION`, `ERR_IO`
   */
  static async open(options: ProvisionerOptions = {}): Promise<Provisioner> {
    return new Provisioner(await Parts.open(options));
  }

  private constructor(parts: Parts) {
    this.#parts = parts;
    this.events = parts.events;
    this.root = parts.paths.root;
  }

  /** Gets one image and stores it. @param source such as `app:v1`, `docker://registry.example/app:v1`, `oci:DIR`, `docker-archive:FILE` */
  async pull(source: string, options: PullImageOptions = {}): Promise<PulledImage> {
    this.#checkOpen();
    return (await this.#parts.requests()).pull(source, options);
  }

  /**
   * What is known of an image at once, without asking its source: whether it is stored, being pulled by any process, has failed of late, or is missing.
   * (`image` gives a stored image and throws when there is none.)
   * @param source as for `pull`
   */
  async availability(source: string, options: ImageRequestOptions = {}): Promise<Availability> {
    this.#checkOpen();
    return (await this.#parts.requests()).availability(source, options);
  }

  /**
   * Sees to it that an image will be stored, and says at once how that stands: what is missing is pulled in the background. A pull that failed is
   * repeated by the first request after `pullCoolDown`, or by one that forces it. `close` gives up what nobody waits for.
   * @param source as for `pull`
   */
  async request(source: string, options: ImageRequestOptions = {}): Promise<Availability> {
    this.#checkOpen();
    return (await this.#parts.requests()).request(source, options);
  }

  /** The pulls under way, of all processes that use this store, oldest first; what they tell is at most a second old. */
  async pulls(): Promise<PullUnderWay[]> {
    this.#checkOpen();
    return (await this.#parts.images()).pulls();
  }

  /** Stores all images of a `docker save` or OCI archive. @param input a file's path, or a stream of it */
  async load(input: string | Readable, options: PullImageOptions = {}): Promise<PulledImage[]> {
    this.#checkOpen();
    const archive =
      typeof input === 'string'
        ? ({ kind: 'file', path: input } as const)
        : ({ kind: 'stream', stream: input } as const);
    return (await this.#parts.images()).load(archive, {
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
    return this.#find(image);
  }

  /** Gives an image one more name. @returns the name, normalised @throws `ERR_IMAGE_NOT_FOUND`, `ERR_BAD_REFERENCE` */
  async tag(image: string, name: string): Promise<string> {
    this.#checkOpen();
    const normalised = imageName(name);
    await this.#parts.metadata.addName(normalised, (await this.#find(image)).id);
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
    const found = await this.#find(image);
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
    const find = async () => (await this.#parts.requests()).resolve(image, options);
    const made = await this.#track(this.#provision(containerId, find, backend, options.signal));
    return { containerId, ...made, runtime: runtimeConfig(JSON.parse(made.image.config) as ImageConfig) };
  }

  /** Removes a container's rootfses, those of nested containers first. @returns false when there is no such container */
  async destroy(containerId: string, options: { readonly signal?: AbortSignal } = {}): Promise<boolean> {
    this.#checkOpen();
    checkContainerId(containerId);
    return this.#freeing(async () => (await this.#parts.containers()).destroy(containerId, options.signal));
  }

  /** Keeps an image from every prune, or no longer. @returns its id @throws `ERR_IMAGE_NOT_FOUND` */
  async setPinned(image: string, pinned: boolean): Promise<ImageId> {
    this.#checkOpen();
    const { id } = await this.#find(image);
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
      const report = await (await this.#parts.pruner()).prune(excludedImages, options);
      if (!report.dryRun) await this.#parts.releaseParked();
      return report;
    });
  }

  /** Removes exactly what a dry run planned, or nothing. @throws `ERR_PLAN_OUTDATED`, and what `pruneImages` throws */
  async applyPrunePlan(plan: PrunePlan, options: { readonly signal?: AbortSignal } = {}): Promise<PruneReport> {
    this.#checkOpen();
    return this.#freeing(async () => {
      await this.#requireTrust();
      const report = await (await this.#parts.pruner()).apply(plan, options.signal);
      await this.#parts.releaseParked();
      return report;
    });
  }

  /** Resolves when everything that has been removed is deleted, or cannot be for now: what is left is in `info().gc`. */
  async swept(): Promise<void> {
    this.#checkOpen();
    await this.#parts.sweeper.sweepAll();
    await this.#parts.sweeper.idle();
    this.#parts.restoreReserve();
  }

  /** What keeps an image or a layer. @param thing an image's name or id, a layer's id, or its first digits @throws `ERR_IMAGE_NOT_FOUND` */
  async why(thing: string): Promise<Explanation> {
    this.#checkOpen();
    const { explain } = await import('../prune/why.js');
    const records = await (await this.#parts.pruner()).records(true);
    return explain(thing, records, () => this.#find(thing));
  }

  /** Puts the store right after a crash or a reboot: see `RecoveryReport`. The sweep of what it retired goes on. */
  async recover(options: RecoverOptions = {}): Promise<RecoveryReport> {
    this.#checkOpen();
    for (const id of options.knownContainerIds ?? []) checkContainerId(id);
    return this.#freeing(async () => {
      const report = await (await this.#parts.recovery()).run(options);
      await this.#parts.releaseParked();
      return report;
    });
  }

  /** The containers of all owners, or of one, sorted by id. */
  async containers(options: { readonly owner?: string } = {}): Promise<ContainerInfo[]> {
    this.#checkOpen();
    const containers = await this.#parts.metadata.listContainers(options.owner);
    return mapUnhurried(containers, (container) => ({
      ...container,
      rootfses: container.rootfses.map((rootfs) => ({ ...rootfs, rootfs: this.#parts.directories.rootfs(rootfs) })),
    }));
  }

  /**
   * Compares the store with its records, while it is in use, and heals what is damaged when asked to. `events` tells how far it is.
   * @throws `ERR_ABORTED`; damage is no error, see `CheckReport.sound`
   */
  async check(options: CheckOptions = {}): Promise<CheckReport> {
    this.#checkOpen();
    const { full = false, repair = false, registry, signal } = options;
    const report = (progress: ProvisionerEvents['checkProgress'][0]) => this.events.emit('checkProgress', progress);
    const { checkStore } = await import('../check/check-store.js');
    const run = { mode: full ? 'full' : 'quick', signal, report } as const;
    const parts = this.#parts.checkParts();
    const reached = { ...parts, registry: overridden(parts.registry, registry) };
    return this.#freeing(() => checkStore(reached, run, repair));
  }

  /** Where the store's disk space goes. */
  async diskUsage(options: { readonly signal?: AbortSignal | undefined } = {}): Promise<DiskUsage> {
    this.#checkOpen();
    const { measureStore } = await import('../check/disk-usage.js');
    return this.#track(measureStore(this.#parts.checkParts(), options.signal));
  }

  /** What this store is and what works here. Tries the backends. */
  async info(): Promise<StoreInfo> {
    this.#checkOpen();
    const { metadata, format, owner, pool, storeLock, paths, sweeper, fidelity } = this.#parts;
    const { chooseZstdDecoder } = await import('../unpack/inflate-zstd.js');
    const decoder = chooseZstdDecoder();
    return {
      root: this.root,
      format,
      owner,
      syscalls: loadSyscalls().kind,
      nativeMissing: nativeMissingReason(),
      degradation: fidelity.degradation(),
      gzip: loadIsal() === null ? 'zlib' : 'isal',
      isalMissing: isalMissingReason(),
      zstd: typeof decoder === 'string' ? decoder : 'libzstd',
      zstdMissing: zstdMissingReason(),
      workers: pool.size,
      backends: (await this.#parts.backends()).report(),
      ...(await metadata.count()),
      lock: storeLock.state(),
      gc: { entries: (await readNames(paths.gc)).length, parked: sweeper.parked },
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
    await this.#parts.giveUpRequests();
    while (this.#running.size > 0) await Promise.allSettled(this.#running);
    await this.#parts.close(sweep);
  }

  async #provision(
    containerId: string,
    find: () => Promise<ImageRecord>,
    backend: BackendChoice,
    signal: AbortSignal | undefined,
  ): Promise<MadeRootfs> {
    return (await this.#parts.containers()).provision(containerId, find, backend, signal);
  }

  #find(image: string): Promise<ImageRecord> {
    return findImage(this.#parts.metadata, image);
  }

  /** Prune decides by the records, so it stays away while these do not tell everything. */
  async #requireTrust(): Promise<void> {
    const { metadata, paths } = this.#parts;
    if (!(await metadata.areRecordsLost())) return;
    const { rootfsesOnDisk } = await import('./rootfses-on-disk.js');
    const containers = await metadata.listContainers();
    const recorded = new Set(containers.flatMap(({ rootfses }) => rootfses.map(({ id }) => id)));
    const mounted = (await rootfsesOnDisk(paths)).filter(({ id, mounted }) => mounted && !recorded.has(id));
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
    const all = async () => {
      await this.#parts.letGo();
      return work();
    };
    return this.#track(this.#parts.reserve.freeing(all));
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
