import { setMaxListeners } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Backends } from '../backends/backends.js';
import { overridden } from '../base/check-options.js';
import { DEFAULT_PULL_COOL_DOWN, DEFAULT_PULL_LIMITS, defaultWorkers, type PullLimits } from '../base/config.js';
import { crashPoint } from '../base/crash-points.js';
import { fileError, ProvisionerError, systemCode } from '../base/errors.js';
import type { FailedEntry } from '../base/failed-entry.js';
import type { CheckParts } from '../check/check-parts.js';
import { ParkedLayers } from '../check/parked-layers.js';
import type { Containers } from '../containers/containers.js';
import type { Recovery } from '../containers/recovery.js';
import { RootfsDirectories } from '../containers/rootfs-directories.js';
import { ProvisionerEmitter } from '../events.js';
import { Marks } from '../files/tree/marks.js';
import { DiskSync } from '../layer-store/disk-sync.js';
import type { LayerStoreParts } from '../layer-store/layer-store.js';
import { Reserve } from '../layer-store/reserve.js';
import { Sweeper } from '../layer-store/sweeper.js';
import type { MetadataManager } from '../metadata/metadata-manager.js';
import { SqliteLifeLocks } from '../metadata/sqlite/sqlite-life-locks.js';
import { defaultRoot, StorePaths } from '../paths.js';
import type { Pruner } from '../prune/pruner.js';
import { findImage } from '../pulls/find-image.js';
import type { ImageStore } from '../pulls/image-store.js';
import { Registries } from '../pulls/registries.js';
import { Fidelity } from '../store-directory/fidelity.js';
import { findStore, type ReadOnlyStore } from '../store-directory/find-store.js';
import { openStoreDirectoryReadOnly, openStoreDirectoryWhenFree } from '../store-directory/open-store-directory.js';
import { OwnerWitness } from '../store-directory/owner-witness.js';
import type { StoreFormat } from '../store-directory/store-format.js';
import { StorePlace } from '../store-directory/store-place.js';
import { InProcessLifeLocks, KernelLifeLocks, LazyLifeLocks, type LifeLocks } from '../system/locks/life-locks.js';
import { Liveness } from '../system/locks/liveness.js';
import { blockersOf, describeBlockers, type LockBlocker } from '../system/locks/lock-blockers.js';
import { PROBE, transientName } from '../system/locks/process-identity.js';
import { StoreLock, type StoreLockState } from '../system/locks/store-lock.js';
import { loadSyscalls } from '../system/syscalls/load-syscalls.js';
import type { LockFile } from '../system/syscalls/lock-file.js';
import { WorkerPool } from '../workers/worker-pool.js';
import type { ImageRequests } from './image-requests.js';
import { checkRecords, openRecords } from './open-records.js';
import type { ProvisionerOptions } from './options.js';

/**
 * What a provisioner is made of. Parts that not every command needs are loaded when they are first asked for: a list of the images should not wait for
 * the code that unpacks them.
 */
export class Parts {
  readonly options: ProvisionerOptions;
  readonly paths: StorePaths;
  readonly format: StoreFormat;
  readonly owner: string;
  readonly metadata: MetadataManager;
  readonly events = new ProvisionerEmitter();
  readonly pool: WorkerPool;
  readonly sweeper: Sweeper;
  readonly disk: DiskSync;
  readonly directories: RootfsDirectories;
  readonly liveness: Liveness;
  readonly reserve: Reserve;
  /** Whether the root still leads to the store that was opened. */
  readonly place: StorePlace;
  /** Why nothing can be written to the store. */
  readonly readOnly: ReadOnlyStore | undefined;
  readonly marks: Marks;
  readonly witness: OwnerWitness;
  readonly fidelity: Fidelity;
  readonly registries: Registries;
  /**
   * Guards which directories under `layers/` may disappear. Shared by provision until it has recorded which layers it needs; held alone by prune
   * until its renames into `gc/` are done. Nothing that is called with it held asks for it again.
   * Order: a container's own lock, then this one, then a metadata transaction.
   */
  readonly storeLock: StoreLock;

  /** Aborted when the pulls are given up that were requested in the background, and those that are only going to be. */
  readonly #givingUp = new AbortController();
  #images: Promise<ImageStore> | undefined;
  #requests: Promise<ImageRequests> | undefined;
  #backends: Promise<Backends> | undefined;
  #containers: Promise<Containers> | undefined;
  #pruner: Promise<Pruner> | undefined;
  #recovery: Promise<Recovery> | undefined;

  /**
   * @param options checked
   * @throws ProvisionerError `ERR_STORE_NOT_FOUND`, `ERR_STORE_FORMAT`, `ERR_STORE_IN_USE`, `ERR_STORE_DAMAGED`, `ERR_NATIVE_MISSING`, `ERR_PERMISSION`, `ERR_IO`
   */
  static async open(options: ProvisionerOptions): Promise<Parts> {
    const { workers = defaultWorkers(), owner = 'default' } = options;
    const paths = new StorePaths(options.root ?? defaultRoot());
    const opened = await openStore(paths, options);
    return new Parts(options, { paths, ...opened, owner, workers });
  }

  private constructor(
    options: ProvisionerOptions,
    opened: Pick<Parts, 'paths' | 'owner' | OpenedParts> & { readonly workers: number },
  ) {
    const { paths, format, metadata, liveness, reserve, readOnly, owner, workers } = opened;
    this.options = options;
    this.paths = paths;
    this.format = format;
    this.metadata = metadata;
    this.liveness = liveness;
    this.reserve = reserve;
    this.readOnly = readOnly;
    const isFile = options.records !== 'memory' && readOnly === undefined;
    this.place = new StorePlace(paths.root, isFile ? metadata : undefined);
    this.owner = owner;
    this.pool = new WorkerPool(workers);
    this.sweeper = new Sweeper(paths, this.events);
    setMaxListeners(0, this.#givingUp.signal);
    this.disk = new DiskSync(paths.staging, this.pool, options.unsafeNoSync !== true);
    this.registries = new Registries(this.events);
    // What this process may do with marks can be found out on another file system too.
    const tryIn = () =>
      readOnly === undefined
        ? join(paths.staging, transientName(PROBE, liveness.identity))
        : join(tmpdir(), `provisioner-${PROBE}-`);
    this.witness = new OwnerWitness(paths.owners, tryIn);
    const owners = () => this.witness.outOfReach();
    this.marks = new Marks({ format: format.whiteouts, tryIn, syscalls: loadSyscalls, owners });
    this.fidelity = new Fidelity({
      format,
      marks: this.marks,
      witness: this.witness,
      tryIn,
      syscalls: loadSyscalls,
      allowDegraded: options.allowDegraded === true,
      events: this.events,
    });
    this.directories = new RootfsDirectories(paths, this.sweeper, loadSyscalls);
    const lockFile = () => openLockFile(paths, options.records ?? 'sqlite', readOnly !== undefined);
    this.storeLock = new StoreLock(lockFile, {
      onLongWait: warnOfWait(this.events),
      timeout: options.lockTimeout,
    });
  }

  /** Root, who may give files to others and make devices, or at least try. Not a question of what whiteouts the store has. */
  get privileged(): boolean {
    return process.geteuid?.() === 0;
  }

  images(): Promise<ImageStore> {
    this.#images ??= import('../pulls/image-store.js').then(({ ImageStore }) => {
      const coolDown = this.options.pullCoolDown ?? DEFAULT_PULL_COOL_DOWN;
      return new ImageStore({ ...this.storeParts(), registries: this.registries, limits: this.#limits(), coolDown });
    });
    return this.#images;
  }

  requests(): Promise<ImageRequests> {
    this.#requests ??= Promise.all([import('./image-requests.js'), this.images()]).then(
      ([{ ImageRequests }, images]) => {
        const find = (text: string) => findImage(this.metadata, text);
        return new ImageRequests(images, find, this.options.registry, this.#givingUp.signal);
      },
    );
    return this.#requests;
  }

  /** What those need who store layers. */
  storeParts(): LayerStoreParts {
    const {
      paths,
      place,
      metadata,
      sweeper,
      liveness,
      storeLock,
      pool,
      disk,
      reserve,
      events,
      privileged,
      format,
      fidelity,
    } = this;
    const limits = this.#limits();
    const { whiteouts } = format;
    return {
      paths,
      place,
      metadata,
      sweeper,
      liveness,
      storeLock,
      pool,
      disk,
      reserve,
      events,
      privileged,
      whiteouts,
      fidelity,
      limits,
    };
  }

  #limits(): PullLimits {
    return overridden(DEFAULT_PULL_LIMITS, this.options.limits);
  }

  /** @param liveness of its own where it claims something: a check must not take the claims of this process's pulls for its own */
  checkParts(liveness = this.liveness): CheckParts {
    return {
      ...this.storeParts(),
      registries: this.registries,
      marks: this.marks,
      liveness,
      registry: this.options.registry ?? {},
      syscalls: loadSyscalls,
    };
  }

  /** Has layers swept that were healed while they were in use, and are not any more. @returns those that cannot be taken away */
  async releaseParked(): Promise<FailedEntry[]> {
    return new ParkedLayers(this.paths, this.metadata, this.sweeper).release();
  }

  backends(): Promise<Backends> {
    this.#backends ??= import('../backends/make-backends.js').then(({ makeBackends }) => makeBackends(this));
    return this.#backends;
  }

  containers(): Promise<Containers> {
    this.#containers ??= Promise.all([import('../containers/containers.js'), this.backends()]).then(
      ([{ Containers }, backends]) => {
        const { paths, metadata, directories, storeLock, owner, liveness, disk, reserve, events } = this;
        const sync = () => disk.all();
        const makerWaits = { timeout: this.options.lockTimeout, onLongWait: warnOfMaker(this.events) };
        const shared = { paths, metadata, backends, directories, storeLock, owner, liveness, events };
        return new Containers({ ...shared, makerWaits, sync, reserve });
      },
    );
    return this.#containers;
  }

  pruner(): Promise<Pruner> {
    this.#pruner ??= import('../prune/pruner.js').then(({ Pruner }) => {
      const { paths, metadata, storeLock, sweeper } = this;
      const { liveness } = this;
      const shared = { paths, metadata, liveness, storeLock, sweeper, syscalls: loadSyscalls };
      return new Pruner({ ...shared, isShared: this.options.records !== 'memory' });
    });
    return this.#pruner;
  }

  recovery(): Promise<Recovery> {
    this.#recovery ??= Promise.all([
      import('../containers/recovery.js'),
      import('../containers/remounter.js'),
      this.containers(),
      this.backends(),
    ]).then(([{ Recovery }, { Remounter }, containers, backends]) => {
      const { paths, metadata, storeLock, sweeper, directories, owner, liveness } = this;
      const shared = { paths, metadata, liveness, storeLock, directories };
      const remounter = new Remounter({ ...shared, backends });
      return new Recovery({ ...shared, sweeper, owner, containers, remounter, syscalls: loadSyscalls });
    });
    return this.#recovery;
  }

  /** Stands before work that writes. @param deed as an infinitive @throws ProvisionerError `ERR_READ_ONLY` */
  requireWritable(deed: string): void {
    if (this.readOnly === undefined) return;
    const { reason, hint } = this.readOnly;
    throw new ProvisionerError('ERR_READ_ONLY', `cannot ${deed}: ${reason}`, {
      hint,
      details: { path: this.paths.root },
    });
  }

  /** Sets space aside again that was given up, when there is room. */
  restoreReserve(): void {
    if (this.options.records === 'memory' || this.readOnly !== undefined || !this.place.isInPlace) return;
    this.reserve.ensure();
  }

  /** Gives up the pulls that were requested in the background, and those of requests that have not had their turn yet. */
  async giveUpRequests(): Promise<void> {
    this.#givingUp.abort(new ProvisionerError('ERR_CLOSED', 'the provisioner has been closed'));
    await (await loaded(this.#requests))?.ended();
  }

  /** What lets go of everything, in this order: pulls, the sweep unless it is left to a later one, then all that is open. */
  closing(sweep: 'finish' | 'leave'): (() => unknown)[] {
    return [
      async () => (await loaded(this.#images))?.idle(),
      () => this.registries.close(),
      () => (sweep === 'finish' ? this.sweeper.idle() : undefined),
      () => this.sweeper.close(),
      () => this.pool.close(),
      () => this.metadata.close(),
      // What SQLite had beside the records is gone by now.
      () => this.restoreReserve(),
      () => this.storeLock.close(),
      () => this.liveness.close(),
    ];
  }
}

/** Whoever asked for a part has been told why it could not be loaded; then there is nothing of it to let go. */
function loaded<Part>(part: Promise<Part> | undefined): Promise<Part | undefined> | undefined {
  return part?.catch(() => undefined);
}

/** The kernel's where they can be had; where the system calls are missing, those that SQLite has. */
function lifeLocks(records: 'sqlite' | 'memory'): LifeLocks {
  if (loadSyscalls().kind === 'native') return new KernelLifeLocks(loadSyscalls);
  return records === 'memory' ? new InProcessLifeLocks() : new SqliteLifeLocks();
}

/** What of the parts comes of opening a store. */
type OpenedParts = 'format' | 'metadata' | 'liveness' | 'reserve' | 'readOnly';

/** What is on disk. A failed opening leaves nothing that it has made, and only one that has all decides what a new store is like. */
async function openStore(paths: StorePaths, options: ProvisionerOptions): Promise<Pick<Parts, OpenedParts>> {
  const { records = 'sqlite', allowDegraded = false, create = true, allowOtherFiles = false } = options;
  const readOnly = findStore(paths, { create, allowOtherFiles });
  await checkRecords(paths, records);
  const liveness = Liveness.in(paths.alive, new LazyLifeLocks(() => lifeLocks(records)));
  const access = { durable: options.unsafeNoSync !== true, readOnly: readOnly !== undefined };
  if (readOnly !== undefined) {
    const format = openStoreDirectoryReadOnly(paths);
    const metadata = await openRecords(paths, records, access);
    return { format, metadata, liveness, reserve: new Reserve(paths), readOnly };
  }
  const directory = await openStoreDirectoryWhenFree(paths, loadSyscalls, liveness, { allowDegraded });
  const reserve = new Reserve(paths);
  let metadata: MetadataManager | undefined;
  try {
    metadata = await reserve.freeing(() => openRecords(paths, records, access));
    crashPoint('open.recordsMade');
    const format = directory.complete();
    if (records === 'sqlite') reserve.ensure();
    return { format, metadata, liveness, reserve, readOnly };
  } catch (error) {
    await metadata?.close();
    directory.undo();
    throw error;
  }
}

/** None in memory: there nobody else has the store open. None where the system has no such locks, which `prune` then says. */
function openLockFile(paths: StorePaths, records: 'sqlite' | 'memory', readOnly: boolean): LockFile | undefined {
  if (records === 'memory') return undefined;
  try {
    return loadSyscalls().openLockFile(paths.lock, { readOnly });
  } catch (error) {
    const code = systemCode(error);
    // A store in which nobody has needed it yet has none, and where nothing can be written nobody makes one.
    if (code === 'ENOTSUP' || (readOnly && code === 'ENOENT')) return undefined;
    throw fileError(error, 'open the lock', paths.lock);
  }
}

function warnOfMaker(events: ProvisionerEmitter): (containerId: string, pid: number, waited: number) => void {
  return (containerId, pid, waited) => {
    events.count('longWaits');
    events.emit('warning', {
      code: 'CONTAINER_WAIT',
      message: `waiting for ${Math.round(waited / 1000)} s for process ${pid}, which is making a root filesystem of container ${containerId}`,
      details: { containerId, pid, waited: Math.round(waited) },
    });
  };
}

function warnOfWait(events: ProvisionerEmitter): (waited: number, state: StoreLockState) => void {
  return (waited, state) => {
    const blockers = blockersOf(state);
    const pids = (some: readonly LockBlocker[]) => some.map(({ pid }) => pid).join(', ');
    const isHolder = blockers.some(({ pid }) => pid === state.writer?.pid);
    const { pid, purpose, since } = state.writer ?? {};
    events.count('longWaits');
    events.emit('warning', {
      code: 'LOCK_WAIT',
      message: `waiting for ${Math.round(waited / 1000)} s for the store's lock, held by ${describeBlockers(blockers)}`,
      details: {
        waited,
        ...(isHolder && pid && purpose && since ? { pid, purpose, since } : {}),
        holders: pids(blockers),
        stopped: pids(blockers.filter(({ stopped }) => stopped)),
      },
    });
  };
}
