import type { Readable } from 'node:stream';
import type { Backend } from '../backends/backend.js';
import { type BackendReport, Backends } from '../backends/backends.js';
import { BindBackend } from '../backends/bind-backend.js';
import { CopyBackend } from '../backends/copy-backend.js';
import { OverlayBackend } from '../backends/overlay-backend.js';
import type { CheckParts } from '../check/check-parts.js';
import { checkStore } from '../check/check-store.js';
import { type DiskUsage, measureStore } from '../check/disk-usage.js';
import type { CheckReport } from '../check/findings.js';
import { DEFAULT_UNPACK_LIMITS, defaultWorkers } from '../config.js';
import { ProvisionerError } from '../errors.js';
import { ProvisionerEmitter, type ProvisionerEvents } from '../events.js';
import { type ImageConfig, type RuntimeConfig, runtimeConfig } from '../image/image-config.js';
import { machinePlatform, type Platform, parsePlatform } from '../image/platform.js';
import { formatReference, parseReference } from '../image/reference.js';
import { newIdentity } from '../locks/process-identity.js';
import { ReadWriteLock } from '../locks/read-write-lock.js';
import type { ContainerRecord, ImageRecord, MetadataManager } from '../metadata/metadata-manager.js';
import { defaultRoot, StorePaths } from '../paths.js';
import { parseSource } from '../pull/source.js';
import { ImageStore, type PulledImage } from '../store/image-store.js';
import { openStoreDirectory, type StoreFormat } from '../store/store-format.js';
import { Sweeper } from '../store/sweeper.js';
import { loadSyscalls } from '../syscalls/load-syscalls.js';
import { WorkerPool } from '../workers/worker-pool.js';
import { checkContainerId } from './container-id.js';
import { Containers } from './containers.js';
import type { CheckOptions, ProvisionerOptions, ProvisionOptions, PullImageOptions } from './options.js';
import { RootfsDirectories } from './rootfs-directories.js';

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
}

interface Parts {
  readonly paths: StorePaths;
  readonly format: StoreFormat;
  readonly owner: string;
  readonly options: ProvisionerOptions;
  readonly metadata: MetadataManager;
  readonly pool: WorkerPool;
  readonly events: ProvisionerEmitter;
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
  readonly #containers: Containers;
  readonly #directories: RootfsDirectories;
  readonly #backends: Backends;
  /**
   * Guards which directories under `layers/` may disappear. Shared by provision while it records which layers it needs; held alone by prune
   * until its renames into `gc/` are done. Nothing that is called with it held asks for it again.
   * Order: a container's own lock, then this one, then a metadata transaction.
   */
  readonly #layersLock = new ReadWriteLock();
  readonly #checkParts: CheckParts;
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
    const paths = new StorePaths(options.root ?? defaultRoot());
    const format = openStoreDirectory(paths, loadSyscalls);
    const metadata = await openRecords(paths, options.records ?? 'sqlite');
    const events = new ProvisionerEmitter();
    return new Provisioner({ paths, format, owner, options, metadata, pool: new WorkerPool(workers), events });
  }

  private constructor(parts: Parts) {
    const { paths, format, owner, options, metadata, pool, events } = parts;
    const privileged = format.whiteouts !== 'plain' && process.geteuid?.() === 0;
    const { whiteouts } = format;
    this.#parts = parts;
    this.events = events;
    this.root = paths.root;
    this.#sweeper = new Sweeper(paths, pool, events);
    this.#directories = new RootfsDirectories(paths, this.#sweeper);
    const backends: readonly Backend[] = [
      new OverlayBackend(loadSyscalls, whiteouts),
      new CopyBackend({ syscalls: loadSyscalls, pool, whiteouts, privileged }),
      new BindBackend(loadSyscalls),
    ];
    this.#backends = new Backends(backends, paths.staging);
    const identity = newIdentity();
    const limits = { ...DEFAULT_UNPACK_LIMITS, ...options.limits };
    const storeParts = {
      paths,
      metadata,
      pool,
      sweeper: this.#sweeper,
      events,
      whiteouts,
      privileged,
      limits,
      identity,
    };
    this.#images = new ImageStore(storeParts);
    this.#checkParts = {
      ...storeParts,
      // One of its own: a check must not take the claims of this process's pulls for its own.
      identity: newIdentity(),
      layersLock: this.#layersLock,
      syscalls: loadSyscalls,
    };
    this.#containers = new Containers({
      paths,
      metadata,
      backends: this.#backends,
      directories: this.#directories,
      layersLock: this.#layersLock,
      owner,
      identity,
    });
  }

  /** Gets one image and stores it. @param source such as `oci:DIR`, `oci-archive:FILE:REF`, `docker-archive:FILE` */
  async pull(source: string, options: PullImageOptions = {}): Promise<PulledImage> {
    this.#checkOpen();
    return this.#images.pull(parseSource(source), {
      platform: wantedPlatform(options.platform),
      names: options.name === undefined ? undefined : [imageName(options.name)],
      signal: options.signal,
    });
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

  /** All stored images, newest first. */
  async images(): Promise<ImageRecord[]> {
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
    if (name === undefined) return metadata.removeNames(found.id);
    return (await metadata.removeName(name)) ? [name] : [];
  }

  /**
   * Makes a root filesystem for a container; another one, when the container has some already. A failed call leaves nothing.
   * @param containerId such as `job-1` or `pod/sidecar` @param image a stored image, or a source to pull
   */
  async provision(containerId: string, image: string, options: ProvisionOptions = {}): Promise<ProvisionedRootfs> {
    this.#checkOpen();
    checkContainerId(containerId);
    const backend = options.backend ?? this.#parts.options.backend ?? 'auto';
    const find = () => this.#resolve(image, options);
    const made = await this.#track(this.#containers.provision(containerId, find, backend, options.signal));
    return { containerId, ...made, runtime: runtimeConfig(JSON.parse(made.image.config) as ImageConfig) };
  }

  /** Removes a container's rootfses, those of nested containers first. @returns false when there is no such container */
  async destroy(containerId: string, options: { readonly signal?: AbortSignal } = {}): Promise<boolean> {
    this.#checkOpen();
    return this.#track(this.#containers.destroy(checkContainerId(containerId), options.signal));
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

  /**
   * Compares the store with its records, while it is in use, and heals what is damaged when asked to. `events` tells how far it is.
   * @throws `ERR_ABORTED`; damage is no error, see `CheckReport.sound`
   */
  async check(options: CheckOptions = {}): Promise<CheckReport> {
    this.#checkOpen();
    const { full = false, repair = false, signal } = options;
    const report = (progress: ProvisionerEvents['checkProgress'][0]) => this.events.emit('checkProgress', progress);
    return this.#track(checkStore(this.#checkParts, { mode: full ? 'full' : 'quick', signal, report }, repair));
  }

  /** Where the store's disk space goes. */
  async diskUsage(options: { readonly signal?: AbortSignal | undefined } = {}): Promise<DiskUsage> {
    this.#checkOpen();
    return this.#track(measureStore(this.#checkParts, options.signal));
  }

  /** What this store is and what works here. Tries the backends. */
  async info(): Promise<StoreInfo> {
    this.#checkOpen();
    const { metadata, format, owner, pool } = this.#parts;
    const [images, layers, containers] = await Promise.all([
      metadata.listImages(),
      metadata.listLayers(),
      metadata.listContainers(),
    ]);
    return {
      root: this.root,
      format,
      owner,
      syscalls: loadSyscalls().kind,
      workers: pool.size,
      backends: this.#backends.report(),
      images: images.length,
      layers: layers.length,
      containers: containers.length,
    };
  }

  /** Waits for what is under way, deletions too, and lets go of everything. Containers stay as they are. Safe to call twice. */
  async close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    while (this.#running.size > 0) await Promise.allSettled(this.#running);
    await this.#images.idle();
    await this.#sweeper.idle();
    await this.#parts.pool.close();
    await this.#parts.metadata.close();
  }

  async #resolve(image: string, options: ProvisionOptions): Promise<ImageRecord> {
    const isSource = /^(?:oci|oci-archive|docker-archive):/.test(image);
    const { pullPolicy = 'missing', platform, signal } = options;
    if (isSource && pullPolicy === 'never') {
      throw new ProvisionerError('ERR_BAD_OPTION', `a source cannot be used without pulling it: ${image}`, {
        hint: 'name a stored image, or leave the pull policy never out',
      });
    }
    // A layout or an archive must be read to know which image is in it; its layers are read only when they are missing.
    if (isSource || pullPolicy === 'always') {
      return this.#images.pull(parseSource(image), { platform: wantedPlatform(platform), signal });
    }
    return this.#images.find(image);
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

/** SQLite takes 512 bytes, for the names of its companion files too. @see SQLite, os_unix.c, MAX_PATHNAME */
const SQLITE_PATH_MAX = 500;

async function openRecords(paths: StorePaths, kind: 'sqlite' | 'memory'): Promise<MetadataManager> {
  if (kind === 'memory') {
    const { MemoryMetadataManager } = await import('../metadata/memory-metadata-manager.js');
    return new MemoryMetadataManager();
  }
  const length = Buffer.byteLength(paths.metadata);
  if (length > SQLITE_PATH_MAX) {
    throw new ProvisionerError(
      'ERR_BAD_OPTION',
      `the path of the store is too long for its database: ${length} bytes`,
      {
        hint: `choose a root of at most ${SQLITE_PATH_MAX - length + Buffer.byteLength(paths.root)} bytes`,
        details: { root: paths.root, length, limit: SQLITE_PATH_MAX },
      },
    );
  }
  const { SqliteMetadataManager } = await import('../metadata/sqlite-metadata-manager.js');
  return SqliteMetadataManager.open(paths.metadata);
}

function wantedPlatform(text: string | undefined): Platform {
  return text === undefined ? machinePlatform() : parsePlatform(text);
}

function imageName(text: string): string {
  return formatReference(parseReference(text));
}

function tryImageName(text: string): string | undefined {
  try {
    return imageName(text);
  } catch {
    return undefined;
  }
}
