import { takeAll } from '../base/assembly.js';
import { crashPoint } from '../base/crash-points.js';
import { ProvisionerError } from '../base/errors.js';
import { ProvisionerEmitter } from '../events.js';
import { Reserve } from '../layer-store/reserve.js';
import type { MetadataManager } from '../metadata/metadata-manager.js';
import type { Freeing } from '../metadata/sqlite/records-database.js';
import { SqliteLifeLocks } from '../metadata/sqlite/sqlite-life-locks.js';
import { defaultRoot, StorePaths } from '../paths.js';
import { findStore, type ReadOnlyStore } from '../store-directory/find-store.js';
import { openStoreDirectoryReadOnly, openStoreDirectoryWhenFree } from '../store-directory/open-store-directory.js';
import type { StoreFormat } from '../store-directory/store-format.js';
import { StorePlace } from '../store-directory/store-place.js';
import { InProcessLifeLocks, KernelLifeLocks, LazyLifeLocks, type LifeLocks } from '../system/locks/life-locks.js';
import { Liveness } from '../system/locks/liveness.js';
import { loadSyscalls } from '../system/syscalls/load-syscalls.js';
import { checkRecords, openRecords } from './open-records.js';
import type { ProvisionerOptions } from './options.js';

/** What is on disk. */
interface OnDisk {
  readonly format: StoreFormat;
  readonly metadata: MetadataManager;
  readonly liveness: Liveness;
  readonly reserve: Reserve;
  /** Why nothing can be written to the store. */
  readonly readOnly: ReadOnlyStore | undefined;
}

/** A store that is open, and how it was asked for: what all services of a provisioner have in common. */
export class OpenStore implements OnDisk {
  readonly options: ProvisionerOptions;
  readonly paths: StorePaths;
  readonly format: StoreFormat;
  readonly owner: string;
  readonly metadata: MetadataManager;
  readonly liveness: Liveness;
  readonly reserve: Reserve;
  readonly readOnly: ReadOnlyStore | undefined;
  /** Whether the root still leads to the store that was opened. */
  readonly place: StorePlace;
  readonly events = new ProvisionerEmitter();

  /**
   * @param options checked
   * @throws ProvisionerError `ERR_STORE_NOT_FOUND`, `ERR_STORE_FORMAT`, `ERR_STORE_IN_USE`, `ERR_STORE_DAMAGED`, `ERR_NATIVE_MISSING`, `ERR_PERMISSION`, `ERR_IO`
   */
  static async open(options: ProvisionerOptions): Promise<OpenStore> {
    const paths = new StorePaths(options.root ?? defaultRoot());
    return new OpenStore(options, paths, await openOnDisk(paths, options));
  }

  private constructor(options: ProvisionerOptions, paths: StorePaths, onDisk: OnDisk) {
    const { format, metadata, liveness, reserve, readOnly } = onDisk;
    this.options = options;
    this.paths = paths;
    this.owner = options.owner ?? 'default';
    this.format = format;
    this.metadata = metadata;
    this.liveness = liveness;
    this.reserve = reserve;
    this.readOnly = readOnly;
    const isFile = options.records !== 'memory' && readOnly === undefined;
    this.place = new StorePlace(paths.root, isFile ? metadata : undefined);
  }

  /** Root, who may give files to others and make devices, or at least try. Not a question of what whiteouts the store has. */
  get privileged(): boolean {
    return process.geteuid?.() === 0;
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

  /** @throws what the first step threw that failed; the others have been taken */
  async close(): Promise<void> {
    await takeAll([
      () => this.metadata.close(),
      // What SQLite had beside the records is gone by now.
      () => this.restoreReserve(),
      () => this.liveness.close(),
    ]);
  }
}

/** The kernel's where they can be had; where the system calls are missing, those that SQLite has. */
function lifeLocks(records: 'sqlite' | 'memory'): LifeLocks {
  if (loadSyscalls().kind === 'native') return new KernelLifeLocks(loadSyscalls);
  return records === 'memory' ? new InProcessLifeLocks() : new SqliteLifeLocks();
}

/** What is on disk. A failed opening leaves nothing that it has made, and only one that has all decides what a new store is like. */
async function openOnDisk(paths: StorePaths, options: ProvisionerOptions): Promise<OnDisk> {
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
    const freeing: Freeing = (work) => reserve.freeing(work);
    metadata = await freeing(() => openRecords(paths, records, { ...access, freeing }));
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
