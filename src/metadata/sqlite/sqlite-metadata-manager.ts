import { setImmediate } from 'node:timers/promises';
import { isProvisionerError } from '../../base/errors.js';
import type { Digest, ImageId, LayerId } from '../../image/digest.js';
import type { MountPlace } from '../../system/locks/mount-place.js';
import type { ProcessIdentity } from '../../system/locks/process-identity.js';
import { type ContainerRecord, containersOf } from '../containers.js';
import { newestFirst } from '../image-order.js';
import type { LongWork } from '../long-work.js';
import type {
  ImageRecord,
  ImageSummary,
  IndexChoice,
  LayerClaim,
  LayerRecord,
  LeaseRecord,
  MetadataManager,
  Naming,
  NewImage,
  NewRootfs,
  RecordCounts,
  RecordsGap,
  Removal,
  Removed,
  RootfsKey,
  RootfsRecord,
  RootfsSummary,
} from '../metadata-manager.js';
import type {
  FoundPulls,
  NewPull,
  PullAnnouncement,
  PullKey,
  PullRecord,
  PullReport,
  PullResult,
} from '../pull-records.js';
import type { SqliteDriver } from './drivers/sqlite-driver.js';
import { RecordsWitness, writeGap } from './records-witness.js';
import { SqliteCache } from './sqlite-cache.js';
import { SqliteConnection } from './sqlite-connection.js';
import * as images from './sqlite-images.js';
import * as layers from './sqlite-layers.js';
import * as leases from './sqlite-leases.js';
import * as prune from './sqlite-prune.js';
import * as pulls from './sqlite-pulls.js';
import * as rootfses from './sqlite-rootfses.js';
import { verifyDatabase } from './sqlite-verify.js';

export interface SqliteMetadataManagerOptions {
  /** How long a call waits for other processes that are writing, in milliseconds. Default: 10 000. */
  readonly busyTimeout?: number;
  /** Whether what has been reported survives a power cut. Default: true. */
  readonly durable?: boolean;
  /** Nothing is made or written; whatever would fails with `ERR_READ_ONLY`. Default: false. */
  readonly readOnly?: boolean;
  /** Default: the one that this process uses. */
  readonly driver?: SqliteDriver;
  /** Asked when the records are made, or are older: false when the store has something in it, which they then do not tell of. Default: true. */
  readonly isStoreEmpty?: () => boolean;
  /** The file that says how far they have come: see `RecordsWitness`. Default: none, so that older records are not told. */
  readonly generationFile?: string;
  /** Takes what would keep the event loop for long. Default: it is done here. */
  readonly longWork?: LongWork;
}

/** The store's records in one SQLite database, shared by all processes that have the store open. */
export class SqliteMetadataManager implements MetadataManager {
  readonly #db: SqliteConnection;
  readonly #cache: SqliteCache;
  readonly #witness: RecordsWitness;
  readonly #longWork: LongWork | undefined;

  private constructor(db: SqliteConnection, witness: RecordsWitness, longWork: LongWork | undefined) {
    this.#db = db;
    this.#witness = witness;
    this.#longWork = longWork;
    this.#cache = new SqliteCache(db);
  }

  /**
   * Opens the database at `path`; makes it when it is not there, and brings one of an older release up to date.
   * @throws ProvisionerError `ERR_STORE_FORMAT` when a newer release or another program wrote it, `ERR_STORE_DAMAGED` when it is no
   *   database, `ERR_STORE_BUSY`, `ERR_NATIVE_MISSING`, `ERR_PERMISSION`, `ERR_NO_SPACE` or `ERR_IO`
   */
  static async open(path: string, options: SqliteMetadataManagerOptions = {}): Promise<SqliteMetadataManager> {
    const { isStoreEmpty = () => true, generationFile, longWork, ...others } = options;
    const onCreated = (db: SqliteConnection) => {
      if (!isStoreEmpty()) writeGap(db, 'lost');
    };
    const db = await SqliteConnection.open(path, { ...others, onCreated });
    const { durable = true } = options;
    const witness = new RecordsWitness(db, { path: generationFile, durable, isStoreEmpty });
    const manager = new SqliteMetadataManager(db, witness, longWork);
    try {
      await witness.compare();
      return manager;
    } catch (error) {
      await manager.close();
      throw error;
    }
  }

  async putImage(
    image: NewImage,
    names: readonly string[],
    choice?: IndexChoice,
    naming: Naming = 'any',
  ): Promise<ImageRecord> {
    return this.#addition((use) => images.putImage(this.#db, image, { names, naming }, choice, use));
  }

  async getImage(id: ImageId): Promise<ImageRecord | undefined> {
    return this.#db.read(() => images.getImage(this.#db, id, Date.now()));
  }

  async getImageByName(name: string): Promise<ImageRecord | undefined> {
    const ask = () => frozen(images.getImageByName(this.#db, name, Date.now()));
    return this.#db.read(() => this.#cache.get(`image ${name}`, ask));
  }

  async findImages(hexPrefix: string, limit: number): Promise<ImageId[]> {
    return this.#db.read(() => images.findImages(this.#db, hexPrefix, limit));
  }

  async listImages(): Promise<ImageSummary[]> {
    const records = await this.#pages<ImageSummary & { key: number }>(STACKS_PER_PAGE, (last, limit) =>
      images.imagePage(this.#db, last?.key ?? 0, limit),
    );
    const now = Date.now();
    if (records.some(({ lastUsedAt }) => lastUsedAt > now)) await this.#endFutureUses(now);
    return records
      .map(({ key: _, ...image }) => ({ ...image, lastUsedAt: Math.min(image.lastUsedAt, now) }))
      .sort(newestFirst);
  }

  async setPinned(id: ImageId, pinned: boolean): Promise<void> {
    return this.#addition(() => images.setPinned(this.#db, id, pinned));
  }

  async addName(name: string, id: ImageId, naming: Naming = 'any'): Promise<void> {
    return this.#addition(() => images.addName(this.#db, name, id, naming));
  }

  async markUsed(id: ImageId): Promise<void> {
    return this.#addition((use) => void images.markUsed(this.#db, id, use));
  }

  async removeName(name: string): Promise<boolean> {
    return this.#change(() => images.removeName(this.#db, name));
  }

  async removeNames(id: ImageId): Promise<string[]> {
    return this.#change(() => images.removeNames(this.#db, id));
  }

  async imageOfIndex(index: Digest, platform: string): Promise<ImageRecord | undefined> {
    return this.#db.read(() => images.imageOfIndex(this.#db, index, platform, Date.now()));
  }

  async imageBeside(id: ImageId, platform: string): Promise<ImageRecord | undefined> {
    return this.#db.read(() => images.imageBeside(this.#db, id, platform, Date.now()));
  }

  async imagesOfIndex(index: Digest): Promise<ImageId[]> {
    return this.#db.read(() => images.imagesOfIndex(this.#db, index));
  }

  async getLayer(id: LayerId): Promise<LayerRecord | undefined> {
    return this.#db.read(() => layers.getLayer(this.#db, id));
  }

  async getStack(image: ImageId): Promise<LayerRecord[]> {
    const stack = await this.#db.read(() => this.#cache.get(`stack ${image}`, () => layers.getStack(this.#db, image)));
    return [...stack];
  }

  async missingLayers(ids: readonly LayerId[]): Promise<LayerId[]> {
    return this.#db.read(() => layers.missingLayers(this.#db, ids));
  }

  async putLayers(records: readonly LayerRecord[]): Promise<void> {
    if (records.length === 0) return;
    return this.#witness.write(() => layers.putLayers(this.#db, records));
  }

  async listLayers(): Promise<LayerRecord[]> {
    return this.#pages<LayerRecord>(ROWS_PER_PAGE, (last, limit) => layers.layerPage(this.#db, last?.id ?? '', limit));
  }

  async count(): Promise<RecordCounts> {
    return this.#db.read(() => countRecords(this.#db));
  }

  async setLayerBytes(id: LayerId, bytes: number): Promise<void> {
    return this.#change(() => layers.setLayerBytes(this.#db, id, bytes));
  }

  async claimLayer(
    id: LayerId,
    process: ProcessIdentity,
    isAlive: (process: ProcessIdentity) => boolean,
  ): Promise<LayerClaim> {
    return this.#db.writeForTheLiving(() => layers.claimLayer(this.#db, id, process, isAlive));
  }

  async releaseLayerClaims(process: ProcessIdentity, ids?: readonly LayerId[]): Promise<void> {
    if (ids === undefined) return this.#portions((limit) => layers.releaseSomeClaims(this.#db, process, limit));
    return this.#db.writeForTheLiving(() => layers.releaseLayerClaims(this.#db, process, ids));
  }

  async dropDeadClaims(isAlive: (process: ProcessIdentity) => boolean): Promise<void> {
    const holders = await this.#db.read(() => layers.claimHolders(this.#db));
    // The dead do not come back, so this needs no transaction with the look at them.
    for (const holder of holders) if (!isAlive(holder)) await this.releaseLayerClaims(holder);
  }

  async putRootfs(rootfs: NewRootfs, maker?: ProcessIdentity): Promise<void> {
    const put = (order: number) => rootfses.putRootfs(this.#db, rootfs, maker, { now: Date.now(), order });
    const used = await this.#witness.write(put);
    if (used) this.#cache.clear();
  }

  async containerOwner(containerId: string): Promise<string | undefined> {
    return this.#db.read(() => rootfses.containerOwner(this.#db, containerId));
  }

  async setRootfsMounts(keys: readonly RootfsKey[], mount: MountPlace): Promise<void> {
    return this.#db.write(() => rootfses.setRootfsMounts(this.#db, keys, mount));
  }

  async finishRootfs(rootfs: RootfsKey): Promise<void> {
    return this.#witness.write(() => rootfses.finishRootfs(this.#db, rootfs));
  }

  async rootfsesIn(containerId: string): Promise<RootfsSummary[]> {
    return this.#db.read(() => rootfses.rootfsesIn(this.#db, containerId));
  }

  async forgetRootfses(keys: readonly RootfsKey[]): Promise<number> {
    if (keys.length === 0) return 0;
    return this.#db.write(() => rootfses.forgetRootfses(this.#db, keys));
  }

  async getContainer(containerId: string): Promise<ContainerRecord | undefined> {
    return this.#db.read(() => rootfses.getContainer(this.#db, containerId));
  }

  async listContainers(owner?: string): Promise<ContainerRecord[]> {
    const all = await this.#pages<RootfsRecord>(STACKS_PER_PAGE, (last, limit) =>
      rootfses.rootfsPage(this.#db, owner, [last?.containerId ?? '', last?.id ?? ''], limit),
    );
    return containersOf(all);
  }

  async openLease(pull: string, process: ProcessIdentity): Promise<void> {
    return this.#db.writeForTheLiving(() => leases.openLease(this.#db, pull, process, Date.now()));
  }

  async leaseLayers(pull: string, ids: readonly LayerId[]): Promise<void> {
    return this.#db.writeForTheLiving(() => leases.leaseLayers(this.#db, pull, ids));
  }

  async closeLeases(pulls: readonly string[]): Promise<void> {
    if (pulls.length === 0) return;
    return this.#db.writeForTheLiving(() => leases.closeLeases(this.#db, pulls));
  }

  async listLeases(): Promise<LeaseRecord[]> {
    return this.#db.read(() => leases.listLeases(this.#db));
  }

  async announcePull(pull: NewPull, isAlive: (process: ProcessIdentity) => boolean): Promise<PullAnnouncement> {
    return this.#db.writeForTheLiving(() => pulls.announcePull(this.#db, pull, isAlive, Date.now()));
  }

  async reportPull(pull: string, report: PullReport): Promise<void> {
    return this.#db.writeForTheLiving(() => pulls.reportPull(this.#db, pull, report));
  }

  async finishPull(pull: string, result: PullResult, at: number = Date.now()): Promise<void> {
    return this.#db.writeForTheLiving(() => pulls.finishPull(this.#db, pull, result, at));
  }

  async findPulls(image: Pick<PullKey, 'source' | 'platform'>): Promise<FoundPulls> {
    // In this order a pull that finishes in between is in both, not in neither.
    const running = await this.#db.read(() => pulls.runningPulls(this.#db, image));
    return { running, outcomes: await this.#db.read(() => pulls.pullOutcomes(this.#db, image)) };
  }

  async listPulls(): Promise<PullRecord[]> {
    return this.#db.read(() => pulls.listPulls(this.#db));
  }

  async prepareRemoval(removal: Removal): Promise<void> {
    if (isLong(removal)) await this.#longWork?.prepare();
  }

  async removeUnused(removal: Removal, process: ProcessIdentity, exactly: boolean): Promise<Removed> {
    this.requireInPlace();
    // For this connection that is another process's change, which `SqliteCache` notices.
    if (this.#longWork !== undefined && isLong(removal)) return this.#longWork.removeUnused(removal, process, exactly);
    return this.#change(() => prune.removeUnused(this.#db, removal, process, exactly));
  }

  async dropUnusedStacks(): Promise<void> {
    return this.#portions((limit) => prune.dropSomeUnusedStacks(this.#db, limit));
  }

  async forgetLayers(ids: readonly LayerId[]): Promise<ImageId[]> {
    if (ids.length === 0) return [];
    return this.#change(() => prune.forgetLayers(this.#db, ids));
  }

  async recordsGap(): Promise<RecordsGap | undefined> {
    return this.#witness.gap();
  }

  async setRecordsGap(gap: RecordsGap | undefined): Promise<void> {
    return this.#db.write(() => writeGap(this.#db, gap));
  }

  requireInPlace(): void {
    this.#db.requireInPlace();
  }

  async verify(): Promise<string[]> {
    const pages = await this.#db.read(() => this.#db.statement<[], { page_count: number }>('PRAGMA page_count').get());
    if (this.#longWork !== undefined && (pages?.page_count ?? 0) > VERIFIED_AT_ONCE) return this.#longWork.verify();
    return this.#db.read(() => verifyDatabase(this.#db));
  }

  async close(): Promise<void> {
    await this.#longWork?.close();
    this.#witness.close();
    this.#db.close();
  }

  /** A write of what is kept of images and stacks, and would be missed. @param change is given when it is, should it be a use */
  async #addition<Result>(change: (use: images.Use) => Result): Promise<Result> {
    return this.#witness.write((order) => {
      this.#cache.clear();
      return change({ now: Date.now(), order });
    });
  }

  /** Where that cannot be written, the next one who looks does it. */
  async #endFutureUses(now: number): Promise<void> {
    try {
      await this.#change(() => images.endFutureUses(this.#db, now));
    } catch (error) {
      if (!isProvisionerError(error, 'ERR_NO_SPACE', 'ERR_PERMISSION', 'ERR_READ_ONLY', 'ERR_STORE_BUSY')) throw error;
    }
  }

  /** A write that changes what is kept of images and stacks. */
  async #change<Result>(change: () => Result): Promise<Result> {
    return this.#db.write(() => {
      this.#cache.clear();
      return change();
    });
  }

  /** A long change in portions, each a transaction, with a turn for others between them. @param change does at most so much, and tells how much */
  async #portions(change: (limit: number) => number): Promise<void> {
    while ((await this.#db.write(() => change(ROWS_PER_PORTION))) === ROWS_PER_PORTION) await setImmediate();
  }

  /** A long answer in pages, with a turn for others between them. What is written meanwhile may be in it or not. */
  async #pages<Row>(limit: number, page: (last: Row | undefined, limit: number) => Row[]): Promise<Row[]> {
    const rows: Row[] = [];
    for (;;) {
      const next = await this.#db.read(() => page(rows.at(-1), limit));
      for (const row of next) rows.push(row);
      if (next.length < limit) return rows;
      await setImmediate();
    }
  }
}

/** A page takes some milliseconds, a portion too. What has a stack has perhaps ten layers. */
const STACKS_PER_PAGE = 250;
const ROWS_PER_PAGE = 1000;
const ROWS_PER_PORTION = 500;

/** Layers, each of which takes 10 to 20 µs to go. An image, with its documents, names and stack, takes as long as three. */
const REMOVED_AT_ONCE = 1500;
function isLong({ images, layers }: Removal): boolean {
  return 3 * images.length + layers.length > REMOVED_AT_ONCE;
}

/** Pages of 4 KiB, of which 1 MiB takes some 5 ms. */
const VERIFIED_AT_ONCE = 1000;

/** Several callers get the same record. */
function frozen(image: ImageRecord | undefined): ImageRecord | undefined {
  if (image === undefined) return undefined;
  Object.freeze(image.layers);
  Object.freeze(image.names);
  return Object.freeze(image);
}

function countRecords(db: SqliteConnection): RecordCounts {
  const counts = db
    .statement<[], RecordCounts>(
      `SELECT (SELECT count(*) FROM image) AS images, (SELECT count(*) FROM layer) AS layers,
         (SELECT count(DISTINCT container) FROM rootfs) AS containers`,
    )
    .get();
  return counts as RecordCounts;
}
