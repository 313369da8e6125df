import type { Digest, ImageId, LayerId } from '../../image/digest.js';
import type { LayerRecord } from '../layers/layer-records.js';
import { LAYER_COLUMNS, type LayerRow, layerRecord, missingLayers } from '../layers/layer-rows.js';
import { imageNotFound, layersNotFound } from '../record-errors.js';
import type { SqliteConnection } from '../sqlite/sqlite-connection.js';
import type { ImageRecord, ImageSummary, IndexChoice, Naming, NewImage } from './image-records.js';

/** Images and their names in SQLite. Each function runs inside a transaction of its caller. */

interface SummaryRow extends Omit<ImageSummary, 'layers' | 'names' | 'pinned'> {
  readonly key: number;
  readonly pinned: number;
  /** JSON lists. */
  readonly layers: string;
  readonly names: string;
}

interface ImageRow extends SummaryRow {
  readonly manifest: string;
  readonly config: string;
}

// One statement answers for a whole record, so that no other process can write between its parts.
const SUMMARY = `
  image.key, image.id, image.media_type AS mediaType, image.config_digest AS configDigest, image.platform, image.source,
  image.created_at AS createdAt, image.last_used_at AS lastUsedAt, image.use_order AS useOrder,
  image.pinned,
  (SELECT coalesce(sum(layer.bytes), 0) FROM layer
    WHERE layer.key IN (SELECT layer FROM stack_layer WHERE stack_layer.stack = image.stack)) AS bytes,
  (SELECT json_group_array(layer.id ORDER BY stack_layer.position)
    FROM stack_layer JOIN layer ON layer.key = stack_layer.layer WHERE stack_layer.stack = image.stack) AS layers,
  (SELECT json_group_array(image_name.name ORDER BY image_name.name)
    FROM image_name WHERE image_name.image = image.key) AS names`;

const SELECT_IMAGE = `
  SELECT ${SUMMARY}, document.manifest, document.config
  FROM image JOIN image_document AS document ON document.image = image.key`;

export const IMAGE_BY_ID = `${SELECT_IMAGE} WHERE image.id = ?`;

export const IMAGE_BY_NAME = `${SELECT_IMAGE} WHERE image.key = (SELECT image FROM image_name WHERE name = ?)`;

export const IMAGE_BY_INDEX = `${SELECT_IMAGE}
  WHERE image.key = (SELECT image FROM index_choice WHERE digest = ? AND platform = ?)`;

/** Of several, the one that was stored last. */
export const IMAGE_BESIDE = `${SELECT_IMAGE}
  WHERE image.key = (
    SELECT max(beside.image) FROM index_choice AS own JOIN index_choice AS beside ON beside.digest = own.digest
    WHERE own.image = (SELECT key FROM image WHERE id = ?) AND beside.platform = ?)`;

export const IMAGES_OF_INDEX = `
  SELECT DISTINCT image.id FROM index_choice JOIN image ON image.key = index_choice.image
  WHERE index_choice.digest = ? ORDER BY image.id`;

/** `g` follows the last hex digit. */
export const IMAGES_BY_PREFIX = `
  SELECT id FROM image WHERE id >= 'sha256:' || @prefix AND id < 'sha256:' || @prefix || 'g'
  UNION ALL
  SELECT id FROM image WHERE id >= 'sha512:' || @prefix AND id < 'sha512:' || @prefix || 'g'
  ORDER BY id LIMIT @limit`;

/** What stands for an image in other rows. */
type Key = number | bigint;

export function putImage(
  db: SqliteConnection,
  image: NewImage,
  { names, naming }: { readonly names: readonly string[]; readonly naming: Naming },
  choice: IndexChoice | undefined,
  { now, order }: Use,
): ImageRecord {
  const missing = missingLayers(db, image.layers);
  if (missing.length > 0) throw layersNotFound(missing);
  const key = imageKey(db, image.id) ?? insertImage(db, image, now);
  db.statement<[string, number, number, Key]>(
    'UPDATE image SET source = ?, last_used_at = ?, use_order = ? WHERE key = ?',
  ).run(image.source, now, order, key);
  for (const name of names) putName(db, name, key, naming);
  if (choice !== undefined) putIndexChoice(db, choice, key);
  return getImage(db, image.id, now) as ImageRecord;
}

function insertImage(db: SqliteConnection, image: NewImage, now: number): Key {
  const stack = insertStack(db, image.layers);
  const { lastInsertRowid: key } = db
    .statement<[ImageId, string, Digest, string, string, number, number, Key]>(
      `INSERT INTO image (id, media_type, config_digest, platform, source, created_at, last_used_at, pinned, stack)
       VALUES (?, ?, ?, ?, ?, ?, ?, 0, ?)`,
    )
    .run(image.id, image.mediaType, image.configDigest, image.platform, image.source, now, now, stack);
  db.statement<[Key, string, string]>('INSERT INTO image_document (image, manifest, config) VALUES (?, ?, ?)').run(
    key,
    image.manifest,
    image.config,
  );
  return key;
}

function insertStack(db: SqliteConnection, layers: readonly LayerId[]): Key {
  const { lastInsertRowid: stack } = db.statement<[number]>('INSERT INTO stack (size) VALUES (?)').run(layers.length);
  // CROSS JOIN keeps the order of the loops: look up each layer of the list, not each layer of the store.
  db.statement<[Key, string]>(
    `INSERT INTO stack_layer (stack, position, layer)
     SELECT ?, list.key, layer.key FROM json_each(?) AS list CROSS JOIN layer ON layer.id = list.value`,
  ).run(stack, JSON.stringify(layers));
  return stack;
}

/** @param now no use is told as later than that, here and below */
export function getImage(db: SqliteConnection, id: ImageId, now: number): ImageRecord | undefined {
  const row = db.statement<[ImageId], ImageRow>(IMAGE_BY_ID).get(id);
  return row && imageRecord(row, now);
}

export function getImageByName(db: SqliteConnection, name: string, now: number): ImageRecord | undefined {
  const row = db.statement<[string], ImageRow>(IMAGE_BY_NAME).get(name);
  return row && imageRecord(row, now);
}

export function findImages(db: SqliteConnection, prefix: string, limit: number): ImageId[] {
  return db
    .statement<[{ prefix: string; limit: number }], { id: ImageId }>(IMAGES_BY_PREFIX)
    .all({ prefix, limit: Math.max(0, limit) })
    .map((row) => row.id);
}

export function getStack(db: SqliteConnection, image: ImageId): LayerRecord[] {
  return db
    .statement<[ImageId], LayerRow>(
      `SELECT ${LAYER_COLUMNS} FROM image
       JOIN stack_layer ON stack_layer.stack = image.stack JOIN layer ON layer.key = stack_layer.layer
       WHERE image.id = ? ORDER BY stack_layer.position`,
    )
    .all(image)
    .map(layerRecord);
}

/** In the order in which they were recorded, with their last uses as they are recorded. @param after the key of the last one before, 0 to begin */
export function imagePage(db: SqliteConnection, after: number, limit: number): (ImageSummary & { key: number })[] {
  return db
    .statement<[number, number], SummaryRow>(
      `SELECT ${SUMMARY} FROM image WHERE image.key > ? ORDER BY image.key LIMIT ?`,
    )
    .all(after, limit)
    .map((row) => lists(row));
}

function imageRecord(row: ImageRow, now: number): ImageRecord {
  const { key: _, ...record } = row;
  return lists({ ...record, lastUsedAt: Math.min(record.lastUsedAt, now) });
}

function lists<Row extends Pick<SummaryRow, 'pinned' | 'layers' | 'names'>>(row: Row) {
  return {
    ...row,
    pinned: row.pinned !== 0,
    layers: JSON.parse(row.layers) as LayerId[],
    names: JSON.parse(row.names) as string[],
  };
}

export function setPinned(db: SqliteConnection, id: ImageId, pinned: boolean): void {
  const set = db.statement<[number, ImageId]>('UPDATE image SET pinned = ? WHERE id = ?').run(Number(pinned), id);
  if (set.changes === 0) throw imageNotFound(id);
}

export function addName(db: SqliteConnection, name: string, id: ImageId, naming: Naming): void {
  const key = imageKey(db, id);
  if (key === undefined) throw imageNotFound(id);
  putName(db, name, key, naming);
}

/** When something is used. */
export interface Use {
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** Greater than that of each use before. */
  readonly order: number;
}

/** To a second: an image that is used all the time is not written all the time. @returns whether it was written */
export function markUsed(db: SqliteConnection, id: ImageId, { now, order }: Use): boolean {
  const used = db
    .statement<[number, number, ImageId, number, number]>(
      'UPDATE image SET last_used_at = ?, use_order = ? WHERE id = ? AND (last_used_at < ? OR last_used_at > ?)',
    )
    .run(now, order, id, now - 1000, now);
  return used.changes > 0;
}

/** Uses that were written while the clock was ahead count as made now: else nothing would ever be said of their age until the clock has come there. */
export function endFutureUses(db: SqliteConnection, now: number): void {
  db.statement<[number, number]>('UPDATE image SET last_used_at = ? WHERE last_used_at > ?').run(now, now);
}

export function removeName(db: SqliteConnection, name: string): boolean {
  return db.statement<[string]>('DELETE FROM image_name WHERE name = ?').run(name).changes > 0;
}

export function removeNames(db: SqliteConnection, id: ImageId): string[] {
  return db
    .statement<[ImageId], { name: string }>(
      'DELETE FROM image_name WHERE image = (SELECT key FROM image WHERE id = ?) RETURNING name',
    )
    .all(id)
    .map((row) => row.name)
    .sort();
}

function putIndexChoice(db: SqliteConnection, { index, platform }: IndexChoice, key: Key): void {
  db.statement<[Digest, string, Key]>(
    `INSERT INTO index_choice (digest, platform, image) VALUES (?, ?, ?)
     ON CONFLICT (digest, platform) DO UPDATE SET image = excluded.image`,
  ).run(index, platform, key);
}

export function imageOfIndex(
  db: SqliteConnection,
  index: Digest,
  platform: string,
  now: number,
): ImageRecord | undefined {
  const row = db.statement<[Digest, string], ImageRow>(IMAGE_BY_INDEX).get(index, platform);
  return row && imageRecord(row, now);
}

export function imageBeside(db: SqliteConnection, id: ImageId, platform: string, now: number): ImageRecord | undefined {
  const row = db.statement<[ImageId, string], ImageRow>(IMAGE_BESIDE).get(id, platform);
  return row && imageRecord(row, now);
}

export function imagesOfIndex(db: SqliteConnection, index: Digest): ImageId[] {
  return db
    .statement<[Digest], { id: ImageId }>(IMAGES_OF_INDEX)
    .all(index)
    .map((row) => row.id);
}

function imageKey(db: SqliteConnection, id: ImageId): Key | undefined {
  return db.statement<[ImageId], { key: Key }>('SELECT key FROM image WHERE id = ?').get(id)?.key;
}

const PUT_NAME =
  'INSERT INTO image_name (name, image) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET image = excluded.image';
const PLATFORM = (key: string) => `(SELECT platform FROM image WHERE key = ${key})`;
const PUT_NAMES: Readonly<Record<Naming, string>> = {
  any: PUT_NAME,
  'own platform': `${PUT_NAME} WHERE ${PLATFORM('image_name.image')} = ${PLATFORM('excluded.image')}`,
};

function putName(db: SqliteConnection, name: string, image: Key, naming: Naming): void {
  db.statement<[string, Key]>(PUT_NAMES[naming]).run(name, image);
}
