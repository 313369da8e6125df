import { isProvisionerError } from '../../base/errors.js';
import type { Digest, ImageId } from '../../image/digest.js';
import type { LayerRecord } from '../layers/layer-records.js';
import { type RecordsDatabase, STACKS_PER_PAGE } from '../sqlite/records-database.js';
import type { SqliteConnection } from '../sqlite/sqlite-connection.js';
import { newestFirst } from './image-order.js';
import type { ImageRecord, ImageRecords, ImageSummary, IndexChoice, Naming, NewImage } from './image-records.js';
import * as images from './image-rows.js';

/** Images in SQLite. */
export class SqliteImages implements ImageRecords {
  readonly #records: RecordsDatabase;
  readonly #db: SqliteConnection;

  constructor(records: RecordsDatabase) {
    this.#records = records;
    this.#db = records.connection;
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
    return this.#db.read(() => this.#records.cache.get(`image ${name}`, ask));
  }

  async getStack(image: ImageId): Promise<LayerRecord[]> {
    const ask = () => images.getStack(this.#db, image);
    const stack = await this.#db.read(() => this.#records.cache.get(`stack ${image}`, ask));
    return [...stack];
  }

  async findImages(hexPrefix: string, limit: number): Promise<ImageId[]> {
    return this.#db.read(() => images.findImages(this.#db, hexPrefix, limit));
  }

  async listImages(): Promise<ImageSummary[]> {
    const records = await this.#records.pages<ImageSummary & { key: number }>(STACKS_PER_PAGE, (last, limit) =>
      images.imagePage(this.#db, last?.key ?? 0, limit),
    );
    const now = Date.now();
    if (records.some(({ lastUsedAt }) => lastUsedAt > now)) await this.#endFutureUses(now);
    return records
      .map(({ key: _, ...image }) => ({ ...image, lastUsedAt: Math.min(image.lastUsedAt, now) }))
      .sort(newestFirst);
  }

  async addName(name: string, id: ImageId, naming: Naming = 'any'): Promise<void> {
    return this.#addition(() => images.addName(this.#db, name, id, naming));
  }

  async markUsed(id: ImageId): Promise<void> {
    return this.#addition((use) => void images.markUsed(this.#db, id, use));
  }

  async setPinned(id: ImageId, pinned: boolean): Promise<void> {
    return this.#addition(() => images.setPinned(this.#db, id, pinned));
  }

  async removeName(name: string): Promise<boolean> {
    return this.#records.freeing(() => this.#records.change(() => images.removeName(this.#db, name)));
  }

  async removeNames(id: ImageId): Promise<string[]> {
    return this.#records.freeing(() => this.#records.change(() => images.removeNames(this.#db, id)));
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

  /** @param change is given when it is, should it be a use */
  #addition<Result>(change: (use: images.Use) => Result): Promise<Result> {
    return this.#records.addition((order) => change({ now: Date.now(), order }));
  }

  /** Where that cannot be written, the next one who looks does it. */
  async #endFutureUses(now: number): Promise<void> {
    try {
      await this.#records.change(() => images.endFutureUses(this.#db, now));
    } catch (error) {
      if (!isProvisionerError(error, 'ERR_NO_SPACE', 'ERR_PERMISSION', 'ERR_READ_ONLY', 'ERR_STORE_BUSY')) throw error;
    }
  }
}

/** Several callers get the same record. */
function frozen(image: ImageRecord | undefined): ImageRecord | undefined {
  if (image === undefined) return undefined;
  Object.freeze(image.layers);
  Object.freeze(image.names);
  return Object.freeze(image);
}
