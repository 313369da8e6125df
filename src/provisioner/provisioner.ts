import type { Readable } from 'node:stream';
import { checkArgument, checkOptions, flag, listOf, overridden, text } from '../base/check-options.js';
import { crashPoint } from '../base/crash-points.js';
import { machineError } from '../base/errors.js';
import type { FailedEntry } from '../base/failed-entry.js';
import { unhurried } from '../base/unhurried.js';
import type { DiskUsage } from '../check/disk-usage.js';
import type { CheckReport } from '../check/findings.js';
import { checkContainerId } from '../containers/container-id.js';
import { type ContainerInfo, containerInfo } from '../containers/container-info.js';
import type { ChangeOptions, RecoverOptions } from '../containers/container-options.js';
import type { RecoveryReport } from '../containers/recovery.js';
import type { ProvisionerEmitter, ProvisionerEvents } from '../events.js';
import type { ImageId } from '../image/digest.js';
import type { RuntimeConfig } from '../image/image-config.js';
import { RootfsMounts } from '../layer-store/rootfs-mounts.js';
import type { ImageRecord, ImageSummary } from '../metadata/metadata-manager.js';
import type { PrunePlan } from '../prune/plan.js';
import { PRUNE_OPTIONS, type PruneOptions } from '../prune/prune-options.js';
import type { PruneReport } from '../prune/pruner.js';
import type { Explanation } from '../prune/why.js';
import type { Availability, PullUnderWay } from '../pulls/availability.js';
import { findImage } from '../pulls/find-image.js';
import { warnOfForeign } from '../pulls/foreign-images.js';
import type { PulledImage } from '../pulls/image-store.js';
import { takeOverStream } from '../sources/archives/take-over-stream.js';
import { nameToGive, tryImageName, wantedPlatform } from './image-names.js';
import { imageRuntime } from './image-runtime.js';
import { Operations, takeAll } from './operations.js';
import type {
  ApplyPlanOptions,
  CheckOptions,
  CloseOptions,
  ContainersOptions,
  DiskUsageOptions,
  ImageRequestOptions,
  LoadOptions,
  ProvisionerOptions,
  ProvisionOptions,
  PullImageOptions,
} from './options.js';
import * as o from './options.js';
import { Parts } from './parts.js';
import { requireRegistryFiles } from './require-registry-files.js';
import { requireTrust } from './require-trust.js';
import { type StoreInfo, storeInfo } from './store-info.js';
import { takeOptions } from './take-options.js';

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
  readonly #operations = new Operations(() => this.#parts.place.require());

  /**
   * Opens a store, making it when there is none, unless told not to (`create`). It must be this user's own: see `openRoot`. One that fails leaves nothing that
   * it has made. A store on which nothing can be written, on a read-only mount or without the right to, can be looked at; each call that would write fails with `ERR_READ_ONLY`.
   * @throws ProvisionerError `ERR_STORE_NOT_FOUND`, `ERR_STORE_FORMAT`, `ERR_STORE_DAMAGED`, `ERR_NATIVE_MISSING`, `ERR_PERMISSION`, `ERR_BAD_OPTION`, `ERR_IO`
   */
  static async open(options: ProvisionerOptions = {}): Promise<Provisioner> {
    checkOptions('open', o.PROVISIONER_OPTIONS, options);
    try {
      return new Provisioner(await Parts.open(options));
    } catch (error) {
      throw machineError(error, 'open the store');
    }
  }

  private constructor(parts: Parts) {
    this.#parts = parts;
    this.events = parts.events;
    this.root = parts.paths.root;
  }

  /** Gets one image and stores it. @param source such as `app:v1`, `docker://registry.example/app:v1`, `oci:DIR`, `docker-archive:FILE` */
  async pull(source: string, options: PullImageOptions = {}): Promise<PulledImage> {
    return this.#writing('pull', async () => {
      checkArgument('pull', 'source', text, source);
      const own = takeOptions('pull', o.PULL_IMAGE_OPTIONS, options);
      return (await this.#parts.requests()).pull(source, own);
    });
  }

  /**
   * What is known of an image at once, without asking its source: whether it is stored, being pulled by any process, has failed of late, or is missing.
   * (`image` gives a stored image and throws when there is none.)
   * @param source as for `pull`
   */
  async availability(source: string, options: ImageRequestOptions = {}): Promise<Availability> {
    return this.#operations.run(async () => {
      checkArgument('availability', 'source', text, source);
      const own = takeOptions('availability', o.IMAGE_REQUEST_OPTIONS, options);
      return (await this.#parts.requests()).availability(source, own);
    });
  }

  /**
   * Sees to it that an image will be stored, and says at once how that stands: what is missing is pulled in the background. A pull that failed is
   * repeated by the first request after `pullCoolDown`, or by one that forces it. `close` gives up what nobody waits for.
   * @param source as for `pull`
   */
  async request(source: string, options: ImageRequestOptions = {}): Promise<Availability> {
    return this.#writing('request an image', async () => {
      checkArgument('request', 'source', text, source);
      const own = takeOptions('request', o.IMAGE_REQUEST_OPTIONS, options);
      return (await this.#parts.requests()).request(source, own);
    });
  }

  /** The pulls under way, of all processes that use this store, oldest first; what they tell is at most a second old. */
  async pulls(): Promise<PullUnderWay[]> {
    return this.#operations.run(async () => (await this.#parts.images()).pulls());
  }

  /**
   * Stores all images of a `docker save` or OCI archive.
   * @param input a file's path, or a stream of it, which is used up, and destroyed when this fails
   */
  async load(input: string | Readable, options: LoadOptions = {}): Promise<PulledImage[]> {
    // Before anything is waited for: a stream can fail at any moment from here on.
    if (typeof input === 'string' || !o.LOAD_INPUT.holds(input)) return this.#load(input, options);
    const stream = takeOverStream(input);
    try {
      return await this.#load(stream, options);
    } catch (error) {
      stream.destroy();
      throw error;
    }
  }

  #load(input: string | Readable, options: LoadOptions): Promise<PulledImage[]> {
    return this.#writing('load', async () => {
      checkArgument('load', 'input', o.LOAD_INPUT, input);
      const own = takeOptions('load', o.LOAD_OPTIONS, options);
      const { name, platform, maxImageBytes, signal } = own;
      const archive =
        typeof input === 'string'
          ? ({ kind: 'file', path: input } as const)
          : ({ kind: 'stream', stream: input } as const);
      return (await this.#parts.images()).load(archive, {
        platform: wantedPlatform(platform),
        names: name === undefined ? undefined : [nameToGive(name)],
        maxImageBytes,
        signal,
      });
    });
  }

  /** All stored images, newest first, without their documents; `image` has those. */
  async images(): Promise<ImageSummary[]> {
    return this.#operations.run(() => this.#parts.metadata.listImages());
  }

  /** One stored image. @param image a name, a digest, or the first digits of one @throws `ERR_IMAGE_NOT_FOUND`, `ERR_IMAGE_AMBIGUOUS` */
  async image(image: string): Promise<ImageRecord> {
    return this.#operations.run(async () => {
      checkArgument('image', 'image', text, image);
      return this.#find(image);
    });
  }

  /** Gives an image one more name. @returns the name, normalised @throws `ERR_IMAGE_NOT_FOUND`, `ERR_BAD_REFERENCE` */
  async tag(image: string, name: string): Promise<string> {
    return this.#writing('give an image a name', async () => {
      checkArgument('tag', 'image', text, image);
      checkArgument('tag', 'name', text, name);
      const normalised = nameToGive(name);
      await this.#parts.metadata.addName(normalised, (await this.#find(image)).id);
      crashPoint('tag.done');
      return normalised;
    });
  }

  /**
   * Takes a name away; or, of an image given by digest, all its names. Its layers stay until a prune.
   * @returns the names taken @throws `ERR_IMAGE_NOT_FOUND`
   */
  async removeNames(image: string): Promise<string[]> {
    return this.#writing('remove names', async () => {
      checkArgument('removeNames', 'image', text, image);
      const { metadata } = this.#parts;
      const found = await this.#find(image);
      const name = found.names.find((candidate) => candidate === tryImageName(image));
      const removed = name === undefined ? await metadata.removeNames(found.id) : [name];
      if (name !== undefined && !(await metadata.removeName(name))) return [];
      crashPoint('rmi.done');
      return removed;
    });
  }

  /**
   * Makes a root filesystem for a container; another one, when the container has some already. A failed call leaves nothing.
   * @param containerId such as `job-1` or `pod/sidecar` @param image a stored image, or a source to pull
   * @throws `ERR_CONTAINER_FOREIGN` when the container is another owner's, and what a pull throws
   */
  async provision(containerId: string, image: string, options: ProvisionOptions = {}): Promise<ProvisionedRootfs> {
    return this.#writing('provision', async () => {
      checkArgument('provision', 'containerId', text, containerId);
      checkArgument('provision', 'image', text, image);
      const own = takeOptions('provision', o.PROVISION_OPTIONS, options);
      checkContainerId(containerId);
      const backend = own.backend ?? this.#parts.options.backend ?? 'auto';
      const find = async (beforePull: () => Promise<void>) =>
        (await this.#parts.requests()).resolve(image, own, beforePull);
      const made = await (await this.#parts.containers()).provision(containerId, find, backend, own);
      warnOfForeign(this.events, made.image, containerId);
      return { containerId, ...made, runtime: imageRuntime(made.image) };
    });
  }

  /**
   * Removes a container's rootfses, those of nested containers first.
   * @returns false when there is no such container
   * @throws `ERR_CONTAINER_FOREIGN` when it, or one nested in it, is another owner's, `ERR_CONTAINER_ELSEWHERE` when it is in use in another mount namespace
   */
  async destroy(containerId: string, options: ChangeOptions = {}): Promise<boolean> {
    return this.#freeing('destroy', async () => {
      checkArgument('destroy', 'containerId', text, containerId);
      const own = takeOptions('destroy', o.CHANGE_OPTIONS, options);
      checkContainerId(containerId);
      return (await this.#parts.containers()).destroy(containerId, own);
    });
  }

  /** Keeps an image from every prune, or no longer. @returns its id @throws `ERR_IMAGE_NOT_FOUND` */
  async setPinned(image: string, pinned: boolean): Promise<ImageId> {
    return this.#writing('pin or unpin', async () => {
      checkArgument('setPinned', 'image', text, image);
      checkArgument('setPinned', 'pinned', flag, pinned);
      const { id } = await this.#find(image);
      await this.#parts.metadata.setPinned(id, pinned);
      return id;
    });
  }

  /**
   * Removes the images that nobody keeps and the layers that then nobody needs. Kept are excluded and pinned images, those that containers of any owner
   * are made of, those that the policy keeps, and what pulls under way need. A layer that cannot be taken away stays, and is told in the report's `failed`.
   * Resolves when it is decided and out of sight; the sweep that gives
   * the space back goes on (see `swept`).
   * @param excludedImages names, digests, or patterns such as `ghcr.io/me/*`; those of images that are not stored are no error
   * @throws `ERR_BAD_REFERENCE`, `ERR_CONTAINER_UNTRUSTED`, `ERR_NATIVE_MISSING`
   */
  async pruneImages(excludedImages: readonly string[] = [], options: PruneOptions = {}): Promise<PruneReport> {
    return this.#freeing(options?.dryRun ? undefined : 'prune', async () => {
      checkArgument('pruneImages', 'excludedImages', listOf(text), excludedImages);
      const own = takeOptions('pruneImages', PRUNE_OPTIONS, options);
      await requireTrust(this.#parts);
      const report = await (await this.#parts.pruner()).prune(excludedImages, own);
      if (report.dryRun) return report;
      return { ...report, failed: [...report.failed, ...(await this.#parts.releaseParked())] };
    });
  }

  /** Removes exactly what a dry run planned, or nothing. @throws `ERR_PLAN_OUTDATED`, and what `pruneImages` throws */
  async applyPrunePlan(plan: PrunePlan, options: ApplyPlanOptions = {}): Promise<PruneReport> {
    return this.#freeing('prune', async () => {
      const own = takeOptions('applyPrunePlan', o.APPLY_PLAN_OPTIONS, options);
      await requireTrust(this.#parts);
      const report = await (await this.#parts.pruner()).apply(plan, own.signal);
      return { ...report, failed: [...report.failed, ...(await this.#parts.releaseParked())] };
    });
  }

  /**
   * Resolves when everything that has been removed is deleted, or cannot be for now.
   * @returns what could not be; it is tried again later, by this process and others, and `info().gc` has it too
   */
  async swept(): Promise<FailedEntry[]> {
    return this.#writing('sweep', async () => {
      await this.#parts.sweeper.sweepAll();
      await this.#parts.sweeper.idle();
      this.#parts.restoreReserve();
      return this.#parts.sweeper.failed;
    });
  }

  /** What keeps an image or a layer. @param thing an image's name or id, a layer's id, or its first digits @throws `ERR_IMAGE_NOT_FOUND` */
  async why(thing: string): Promise<Explanation> {
    return this.#operations.run(async () => {
      checkArgument('why', 'thing', text, thing);
      const { explain } = await import('../prune/why.js');
      const records = await (await this.#parts.pruner()).records();
      return explain(thing, records, () => this.#find(thing));
    });
  }

  /** Puts the store right after a crash or a reboot: see `RecoveryReport`. The sweep of what it retired goes on. */
  async recover(options: RecoverOptions = {}): Promise<RecoveryReport> {
    return this.#freeing('recover', async () => {
      const own = takeOptions('recover', o.RECOVER_OPTIONS, options);
      for (const id of own.knownContainerIds ?? []) checkContainerId(id);
      const report = await (await this.#parts.recovery()).run(own);
      return { ...report, failed: [...report.failed, ...(await this.#parts.releaseParked())] };
    });
  }

  /** The containers of all owners, or of one, sorted by id. */
  async containers(options: ContainersOptions = {}): Promise<ContainerInfo[]> {
    return this.#operations.run(async () => {
      const own = takeOptions('containers', o.CONTAINERS_OPTIONS, options);
      const { paths, metadata, directories } = this.#parts;
      const containers = await metadata.listContainers(own.owner);
      // After the records: what is recorded as a mount is mounted by then.
      const mounts = new RootfsMounts(paths);
      const infos: ContainerInfo[] = [];
      for await (const container of unhurried(containers)) {
        infos.push(await containerInfo(container, directories, mounts));
      }
      return infos;
    });
  }

  /**
   * Compares the store with its records, while it is in use, and heals what is damaged when asked to. `events` tells how far it is.
   * @throws `ERR_ABORTED`; damage is no error, see `CheckReport.sound`
   */
  async check(options: CheckOptions = {}): Promise<CheckReport> {
    return this.#freeing(options?.repair ? 'repair' : undefined, async () => {
      const own = takeOptions('check', o.CHECK_OPTIONS, options);
      const { full = false, repair = false, registry, signal } = own;
      await requireRegistryFiles(registry);
      const report = (progress: ProvisionerEvents['checkProgress'][0]) => this.events.emit('checkProgress', progress);
      const { checkStore } = await import('../check/check-store.js');
      const run = { mode: full ? 'full' : 'quick', signal, report } as const;
      return this.#parts.liveness.during((liveness) => {
        const parts = this.#parts.checkParts(liveness);
        return checkStore({ ...parts, registry: overridden(parts.registry, registry) }, run, repair);
      });
    });
  }

  /** Where the store's disk space goes. */
  async diskUsage(options: DiskUsageOptions = {}): Promise<DiskUsage> {
    return this.#operations.run(async () => {
      const own = takeOptions('diskUsage', o.DISK_USAGE_OPTIONS, options);
      const { measureStore } = await import('../check/disk-usage.js');
      return measureStore(this.#parts.checkParts(), own.signal);
    });
  }

  /** What this store is and what works here. Tries the backends. */
  async info(): Promise<StoreInfo> {
    return this.#operations.run(() => storeInfo(this.#parts));
  }

  /**
   * Waits for what is under way, calls made before it all of them, and lets go of everything. Containers stay as they are. Safe to call twice.
   * @throws the first error of what could not be let go; the rest has been, all the same
   */
  async close(options: CloseOptions = {}): Promise<void> {
    const own = takeOptions('close', o.CLOSE_OPTIONS, options);
    return this.#operations.close(() =>
      takeAll([
        () => this.#parts.giveUpRequests(),
        () => this.#operations.idle(),
        ...this.#parts.closing(own.sweep ?? 'finish'),
      ]),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #find(image: string): Promise<ImageRecord> {
    return findImage(this.#parts.metadata, image);
  }

  /** Runs what writes. @param deed as an infinitive; undefined for what only looks after all */
  async #writing<T>(deed: string | undefined, work: () => Promise<T>): Promise<T> {
    return this.#operations.run(async () => {
      if (deed !== undefined) this.#parts.requireWritable(deed);
      return work();
    });
  }

  /** Runs what frees space, on a full disk too. @param deed as for `#writing` */
  async #freeing<T>(deed: string | undefined, work: () => Promise<T>): Promise<T> {
    return this.#writing(deed, () => this.#parts.reserve.freeing(work));
  }
}
