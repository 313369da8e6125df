import type { ImageId, LayerId } from '../../image/digest.js';
import type { ProcessIdentity } from '../../system/locks/process-identity.js';
import { removalOutdated } from '../record-errors.js';
import type { SqliteConnection } from '../sqlite/sqlite-connection.js';
import { isPointedAt } from '../sqlite/sqlite-errors.js';
import type { Removal, Removed } from './removals.js';

/**
 * What prune and recovery take out of the records in SQLite. Each function runs inside a transaction of its caller. A row of which this file knows nothing, that
 * points with a foreign key at an image, a stack or a layer, keeps what it points at.
 */

interface DoomedImage {
  readonly key: number;
  readonly stack: number;
}

/** An image that is as it was looked at. */
export const UNCHANGED_IMAGE = `
  SELECT key, stack FROM image
  WHERE id = ? AND pinned = 0 AND last_used_at = ?
    AND (SELECT json_group_array(name ORDER BY name) FROM image_name WHERE image_name.image = image.key) = ?`;

/**
 * What keeps a layer, section by section: stacks, which images and rootfses stand on, and leases.
 */
const LAYER_KEEPERS = [
  'SELECT 1 FROM stack_layer WHERE stack_layer.layer = layer.key',
  'SELECT 1 FROM lease_layer WHERE lease_layer.layer = layer.id',
];

export const DELETE_UNUSED_LAYER = `
  DELETE FROM layer WHERE id = @id ${LAYER_KEEPERS.map((keeper) => `AND NOT EXISTS (${keeper})`).join(' ')}`;

export function removeUnused(
  db: SqliteConnection,
  removal: Removal,
  process: ProcessIdentity,
  exactly: boolean,
): Removed {
  const images: ImageId[] = [];
  // Once for all of them: an index would cost each provision and destroy more than this costs a prune.
  const used = removal.images.length === 0 ? new Set() : new Set(usedImages(db));
  for (const { id, names, lastUsedAt } of removal.images) {
    const image = used.has(id)
      ? undefined
      : db
          .statement<[ImageId, number, string], DoomedImage>(UNCHANGED_IMAGE)
          .get(id, lastUsedAt, JSON.stringify(names));
    if (image === undefined) {
      if (exactly) throw removalOutdated(`image ${id} is in use, has changed, or is gone`, id);
      continue;
    }
    if (deleteImage(db, image)) images.push(id);
    else if (exactly) throw removalOutdated(`image ${id} is kept by what stands on the store`, id);
  }
  const layers: LayerId[] = [];
  const claim = claimStatement(db);
  for (const id of removal.layers) {
    const statement = db.statement<[{ id: LayerId }]>(DELETE_UNUSED_LAYER);
    if (deletedUnlessKept(() => statement.run({ id })) === 0) {
      if (exactly) throw removalOutdated(`layer ${id} is needed now, or is gone`, id);
      continue;
    }
    claim.run(id, process);
    layers.push(id);
  }
  return { images, layers };
}

/** Those that rootfses name, be it an earlier record of the image that they were made of. */
function usedImages(db: SqliteConnection): ImageId[] {
  return db
    .statement<[], { image: ImageId }>('SELECT DISTINCT image FROM rootfs')
    .all()
    .map(({ image }) => image);
}

function claimStatement(db: SqliteConnection) {
  return db.statement<[LayerId, ProcessIdentity]>(
    'INSERT INTO layer_claim (layer, process) VALUES (?, ?) ON CONFLICT (layer) DO UPDATE SET process = excluded.process',
  );
}

/** With its stack, unless a rootfs still stands on that. @returns false when something keeps it */
function deleteImage(db: SqliteConnection, { key, stack }: DoomedImage): boolean {
  const ofImage = db.statement<[number]>('DELETE FROM image WHERE key = ?');
  if (deletedUnlessKept(() => ofImage.run(key)) === 0) return false;
  const ofStack = db.statement<[{ stack: number }]>(
    `DELETE FROM stack WHERE key = @stack AND NOT EXISTS (SELECT 1 FROM rootfs WHERE stack = @stack)
       AND NOT EXISTS (SELECT 1 FROM image WHERE stack = @stack)`,
  );
  deletedUnlessKept(() => ofStack.run({ stack }));
  return true;
}

/** @returns how many rows went: none when something points at one of them */
function deletedUnlessKept(run: () => { readonly changes: number | bigint }): number {
  try {
    return Number(run().changes);
  } catch (error) {
    if (isPointedAt(error)) return 0;
    throw error;
  }
}

const UNUSED_STACK = `
  SELECT key FROM stack WHERE NOT EXISTS (SELECT 1 FROM image WHERE image.stack = stack.key)
    AND NOT EXISTS (SELECT 1 FROM rootfs WHERE rootfs.stack = stack.key)`;

/** @returns how many; there are no more when it is less than `limit` */
export function dropSomeUnusedStacks(db: SqliteConnection, limit: number): number {
  try {
    return db.statement<[number]>(`DELETE FROM stack WHERE key IN (${UNUSED_STACK} LIMIT ?)`).run(limit).changes;
  } catch (error) {
    if (!isPointedAt(error)) throw error;
  }
  // One by one, as few stacks are kept by what is not known here.
  const deleteOne = db.statement<[number]>('DELETE FROM stack WHERE key = ?');
  for (const { key } of db.statement<[], { key: number }>(UNUSED_STACK).all())
    deletedUnlessKept(() => deleteOne.run(key));
  return 0;
}

export function forgetLayers(db: SqliteConnection, layers: readonly LayerId[]): ImageId[] {
  const images: ImageId[] = [];
  for (const id of layers) {
    const needing = db
      .statement<[LayerId], DoomedImage & { id: ImageId }>(
        `SELECT DISTINCT image.key, image.stack, image.id FROM image JOIN stack_layer ON stack_layer.stack = image.stack
         WHERE stack_layer.layer = (SELECT key FROM layer WHERE id = ?) ORDER BY image.id`,
      )
      .all(id);
    for (const image of needing) if (deleteImage(db, image)) images.push(image.id);
    // A rootfs that stands on it keeps a stack without that layer: what it shows is as broken as before, and destroying it stays possible.
    db.statement<[LayerId]>('DELETE FROM stack_layer WHERE layer = (SELECT key FROM layer WHERE id = ?)').run(id);
    const ofLayer = db.statement<[LayerId]>('DELETE FROM layer WHERE id = ?');
    deletedUnlessKept(() => ofLayer.run(id));
  }
  return images;
}
