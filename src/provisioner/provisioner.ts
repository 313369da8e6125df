import { Assembly, SERVICE, type Service, takeAll } from '../base/assembly.js';
import type { Counters } from '../base/codes/counter-tables.js';
import { machineError, ProvisionerError } from '../base/errors.js';
import { checkArgument, checkOptions, listOf, text } from '../base/options/check-options.js';
import { takeOptions } from '../base/options/take-options.js';
import { checkContainerId } from '../containers/container-id.js';
import type { DestroyOptions, ForkOptions, RecoverOptions } from '../containers/container-options.js';
import type { ForkedRootfs } from '../containers/forks.js';
import type { RecoveryReport } from '../containers/recovery.js';
import type { ProvisionerEmitter } from '../events.js';
import type { RuntimeConfig } from '../image/image-config.js';
import type { ImageRecord } from '../metadata/metadata-manager.js';
import { PRUNE_OPTIONS, type PruneOptions } from '../prune/prune-options.js';
import type { PruneReport } from '../prune/pruner.js';
import { warnOfForeign } from '../pulls/foreign-images.js';
import { Calls } from './calls/calls.js';
import { ContainerCalls } from './calls/container-calls.js';
import { HoldingCalls } from './calls/holding-calls.js';
import { ImageCalls } from './calls/image-calls.js';
import { LaunchCalls } from './calls/launch-calls.js';
import { StoreCalls } from './calls/store-calls.js';
import { VolumeCalls } from './calls/volume-calls.js';
import { countPrune, readCounters } from './counters.js';
import { imageRuntime } from './image-runtime.js';
import { OpenStore } from './open-store.js';
import type { CloseOptions, ProvisionerOptions, ProvisionOptions } from './options.js';
import * as o from './options.js';
import { requireTrust } from './require-trust.js';
import {
  CONTAINERS,
  FORKS,
  GIVING_UP,
  IMAGE_REQUESTS,
  PARKED_LAYERS,
  PRUNER,
  RECOVERY,
  SWEEPER,
  VOLUMES,
} from './services.js';

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
 *   await p.images.pull('oci:/images/app', { name: 'app:v2' });
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
  /** Whom the containers that are made here belong to. */
  readonly owner: string;
  readonly images: ImageCalls;
  readonly containers: ContainerCalls;
  /** For what runs containers. */
  readonly launches: LaunchCalls;
  /** What of this machine only one may have at a time. */
  readonly holdings: HoldingCalls;
  /** Directories with names, which outlive the containers that have them. */
  readonly volumes: VolumeCalls;
  readonly store: StoreCalls;

  readonly #store: OpenStore;
  readonly #services: Assembly<OpenStore>;
  /** What stands on this provisioner, such as what runs the containers: see `use`. */
  readonly #wings = new Assembly<Provisioner>(this);
  readonly #calls: Calls;
  #closing: Promise<void> | undefined;

  /**
   * Opens a store, making it when there is none, unless told not to (`create`). It must be this user's own: see `openRoot`. One that fails leaves nothing that
   * it has made. A store on which nothing can be written, on a read-only mount or without the right to, can be looked at; each call that would write fails with `ERR_READ_ONLY`.
   * Records of an older release are brought up to date when nobody else has the store open.
   * @throws ProvisionerError `ERR_STORE_NOT_FOUND`, `ERR_STORE_FORMAT`, `ERR_STORE_IN_USE`, `ERR_STORE_DAMAGED`, `ERR_NATIVE_MISSING`, `ERR_PERMISSION`, `ERR_BAD_OPTION`, `ERR_IO`
   */
  static async open(options: ProvisionerOptions = {}): Promise<Provisioner> {
    checkOptions('open', o.PROVISIONER_OPTIONS, options);
    try {
      return new Provisioner(await OpenStore.open(options));
    } catch (error) {
      throw machineError(error, 'open the store');
    }
  }

  private constructor(store: OpenStore) {
    this.#store = store;
    this.#services = new Assembly(store);
    this.#calls = new Calls(store);
    this.events = store.events;
    this.root = store.paths.root;
    this.owner = store.owner;
    const { get } = this.#services;
    this.images = new ImageCalls(store, get, this.#calls);
    this.containers = new ContainerCalls(store, get, this.#calls);
    this.launches = new LaunchCalls(store, get, this.#calls);
    this.holdings = new HoldingCalls(store, this.#calls);
    this.volumes = new VolumeCalls(store, get, this.#calls);
    this.store = new StoreCalls(store, get, this.#calls);
  }

  /**
   * Makes a root filesystem for a container; another one, when the container has some already. A failed call leaves nothing.
   * @param containerId such as `job-1` or `pod/sidecar` @param image a stored image, or a source to pull
   * @throws `ERR_CONTAINER_FOREIGN` when the container is another owner's, and what a pull throws
   */
  async provision(containerId: string, image: string, options: ProvisionOptions = {}): Promise<ProvisionedRootfs> {
    return this.#calls.writing('provision', async () => {
      checkArgument('provision', 'containerId', text, containerId);
      checkArgument('provision', 'image', text, image);
      const own = takeOptions('provision', o.PROVISION_OPTIONS, options);
      checkContainerId(containerId);
      const backend = own.backend ?? this.#store.options.backend ?? 'auto';
      const find = async (beforePull: () => Promise<void>) =>
        (await this.#services.get(IMAGE_REQUESTS)).resolve(image, own, beforePull);
      const made = await (await this.#services.get(CONTAINERS)).provision(containerId, find, backend, own);
      warnOfForeign(this.events, made.image, containerId);
      return { containerId, ...made, runtime: imageRuntime(made.image) };
    });
  }

  /**
   * Makes a container of this owner whose root filesystem begins as what another container's is now, of whatever owner: with all that was written there, made of the same image by the same backend, be that stored
   * still or not. What is in volumes without a name is copied as well, and named volumes are shared. Nothing keeps what runs in the other one from writing meanwhile. A failed call leaves nothing.
   * @param newId of a container that is not there
   * @throws `ERR_CONTAINER_NOT_FOUND` also when the other one was destroyed meanwhile, `ERR_CONTAINER_EXISTS`, `ERR_ROOTFS_UNAVAILABLE`, `ERR_LAYER_NOT_FOUND`, `ERR_NO_SPACE`, `ERR_ABORTED`
   */
  async fork(containerId: string, newId: string, options: ForkOptions = {}): Promise<ForkedRootfs> {
    return this.#calls.writing('fork', async () => {
      checkArgument('fork', 'containerId', text, containerId);
      checkArgument('fork', 'newId', text, newId);
      const own = takeOptions('fork', o.FORK_OPTIONS, options);
      checkContainerId(containerId);
      checkContainerId(newId);
      return (await this.#services.get(FORKS)).fork(containerId, newId, own);
    });
  }

  /**
   * Removes a container's rootfses, those of nested containers first.
   * @returns false when there is no such container
   * @throws `ERR_CONTAINER_FOREIGN` when it, or one nested in it, is another owner's, `ERR_CONTAINER_RUNNING` when something runs in
   * one of them, or has been launched in one that has not ended as far as the records tell, `ERR_CONTAINER_ELSEWHERE` when it is in use in another mount namespace
   */
  async destroy(containerId: string, options: DestroyOptions = {}): Promise<boolean> {
    return this.#calls.freeing('destroy', async () => {
      checkArgument('destroy', 'containerId', text, containerId);
      const own = takeOptions('destroy', o.DESTROY_OPTIONS, options);
      checkContainerId(containerId);
      const parked = this.#services.get(PARKED_LAYERS);
      // Whatever becomes of what is parked, the container is destroyed, and the next prune, check or recovery comes by again.
      const isShown = await parked.isShownIn(containerId).catch(() => false);
      const destroyed = await (await this.#services.get(CONTAINERS)).destroy(containerId, own);
      if (isShown) await parked.release().catch(() => []);
      return destroyed;
    });
  }

  /**
   * Removes the images that nobody keeps and the layers that then nobody needs. Kept are excluded and pinned images, those that containers of any owner
   * are made of, those that the policy keeps, and what pulls under way need. A layer that cannot be taken away stays, and is told in the report's `failed`.
   * Resolves when it is decided and out of sight; the sweep that gives
   * the space back goes on (see `store.swept`).
   * @param excludedImages names, digests, or patterns such as `ghcr.io/me/*`; those of images that are not stored are no error
   * @throws `ERR_BAD_REFERENCE`, `ERR_CONTAINER_UNTRUSTED`, `ERR_NATIVE_MISSING`
   */
  async pruneImages(excludedImages: readonly string[] = [], options: PruneOptions = {}): Promise<PruneReport> {
    return this.#calls.freeing(options?.dryRun ? undefined : 'prune', async () => {
      checkArgument('pruneImages', 'excludedImages', listOf(text), excludedImages);
      const own = takeOptions('pruneImages', PRUNE_OPTIONS, options);
      await requireTrust(this.#store);
      const report = await (await this.#services.get(PRUNER)).prune(excludedImages, own);
      if (report.dryRun) return report;
      countPrune(this.events, report);
      return { ...report, failed: [...report.failed, ...(await this.#services.get(PARKED_LAYERS).release())] };
    });
  }

  /** Puts the store right after a crash or a reboot: see `RecoveryReport`. The sweep of what it retired goes on. */
  async recover(options: RecoverOptions = {}): Promise<RecoveryReport> {
    return this.#calls.freeing('recover', async () => {
      const own = takeOptions('recover', o.RECOVER_OPTIONS, options);
      for (const id of own.knownContainerIds ?? []) checkContainerId(id);
      const report = await (await this.#services.get(RECOVERY)).run(own);
      this.events.count('recoveries');
      this.events.count('remounts', report.remounted.length);
      const volumes = await (await this.#services.get(VOLUMES)).recover();
      const parked = await this.#services.get(PARKED_LAYERS).release();
      return {
        ...report,
        finished: [...report.finished, ...volumes.removed],
        failed: [...report.failed, ...volumes.failed, ...parked],
      };
    });
  }

  /** What this provisioner has done since it was opened, in plain numbers that only grow; also after `close`. docs/errors.md says what each counts. */
  counters(): Counters {
    return readCounters(this.events);
  }

  /**
   * What stands on this provisioner: opened when it is first asked for, and closed before the store is, the last one first.
   * @throws ProvisionerError `ERR_CLOSED`, `ERR_BAD_OPTION`, and what its `open` throws
   */
  use<T>(wing: Service<Provisioner, T>): T {
    this.#calls.requireOpen();
    checkArgument('use', 'wing', SERVICE, wing);
    return this.#wings.get(wing);
  }

  /**
   * Waits for what is under way, calls made before it all of them, and lets go of everything. Containers stay as they are. Safe to call twice.
   * @throws the first error of what could not be let go; the rest has been, all the same
   */
  async close(options: CloseOptions = {}): Promise<void> {
    const { sweep = 'finish' } = takeOptions('close', o.CLOSE_OPTIONS, options);
    this.#closing ??= this.#close(sweep);
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #close(sweep: 'finish' | 'leave'): Promise<void> {
    const closeStore = () => this.#calls.close(() => this.#closeStore(sweep));
    if (this.#wings.isEmpty) return closeStore();
    // What stands on the store may call it until it has ended; and what was called before counts on what that keeps and holds.
    return takeAll([() => this.#giveUpRequests(), () => this.#calls.settled(), () => this.#wings.close(), closeStore]);
  }

  #closeStore(sweep: 'finish' | 'leave'): Promise<void> {
    return takeAll([
      () => this.#giveUpRequests(),
      () => this.#calls.idle(),
      // What they end with may leave something to sweep.
      async () => (await this.#services.ifOpened(IMAGE_REQUESTS))?.idle(),
      async () => (sweep === 'finish' ? (await this.#services.ifOpened(SWEEPER))?.idle() : undefined),
      () => this.#services.close(),
      () => this.#store.close(),
    ]);
  }

  /** The pulls that were requested in the background, and those of requests that have not had their turn yet. */
  async #giveUpRequests(): Promise<void> {
    this.#services.get(GIVING_UP).abort(new ProvisionerError('ERR_CLOSED', 'the provisioner has been closed'));
    await (await this.#services.ifOpened(IMAGE_REQUESTS))?.ended();
  }
}
